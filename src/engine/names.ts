/** Names for containers that were given none: a mood and a thing of the harbour. */
import { randomInt } from 'node:crypto'

// biome-ignore format: a word list
const MOODS = [
  'able','airy','ample','apt','bold','brave','bright','brisk','calm','candid','chirpy','civil','clear','clever',
  'cosy','crisp','curious','dapper','deft','eager','earnest','easy','fair','fancy','fleet','fond','frank','free',
  'fresh','gentle','glad','golden','grand','handy','happy','hardy','hearty','honest','humble','jolly','keen','kind',
  'lively','loyal','lucky','mellow','merry','mild','modest','neat','nimble','noble','patient','placid','plucky',
  'polite','proud','quick','quiet','rapid','ready','robust','rosy','savvy','serene','sharp','shiny','sleek','smart',
  'snug','solid','spry','steady','sturdy','sunny','swift','tender','tidy','trusty','upbeat','vivid','warm','wise',
  'witty','zesty',
]

// biome-ignore format: a word list
const THINGS = [
  'anchor','barge','beacon','berth','bollard','boom','bow','breeze','brig','bulkhead','buoy','cabin','canal','capstan',
  'cargo','chart','clipper','coast','compass','cove','crane','crate','crew','current','cutter','davit','deck','derrick',
  'dinghy','dock','dolphin','estuary','fathom','ferry','fjord','fleet','flotilla','frigate','galley','gangway','gull',
  'halyard','harbour','haven','hawser','heron','hoist','hold','horizon','hull','jetty','keel','ketch','knot','lagoon',
  'landing','lantern','lighthouse','locker','marina','mast','mooring','narwhal','oar','otter','pelican','pier','pilot',
  'plank','pontoon','port','pulley','quay','raft','reef','rigging','rope','rudder','sail','schooner','sextant','shoal',
  'sloop','spinnaker','stern','tern','tide','tiller','trawler','tug','vessel','voyage','wake','wharf','winch','yawl',
]

const pick = (words: string[]) => words[randomInt(words.length)]!

/** A name that `taken` does not know. After a few tries a digit is added, as Docker does. */
export function generateName(taken: (name: string) => boolean): string {
  for (let attempt = 0; ; attempt++) {
    const name = `${pick(MOODS)}_${pick(THINGS)}${attempt > 3 ? randomInt(attempt > 20 ? 1_000_000 : 10) : ''}`
    if (!taken(name)) return name
  }
}

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/

/** Whether a person may give this name (without the slash). */
export function isValidName(name: string): boolean {
  return NAME.test(name)
}
