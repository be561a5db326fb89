/** `gantry daemon`: flags as dockerd has them. */
import { Command, Option } from 'commander'
import { invalid } from '../../errors.ts'
import type { Values } from './config-file.ts'
import { type Kind, keyOf, type Row, rows } from './options.ts'

export interface DaemonFlags {
  /** By their keys in `daemon.json`. */
  values: Values
  /** undefined where the flag was not given. */
  configFile?: string
  validate: boolean
}

export function daemonCommand(run: (flags: DaemonFlags) => Promise<void>): Command {
  const command = new Command('daemon')
    .description("The engine: serves Docker's API")
    .option('--config-file <file>', 'Daemon configuration file (default "/etc/docker/daemon.json")')
    .option('--validate [bool]', 'Validate daemon configuration and exit', (text: string) =>
      parsers.boolean(text, undefined as never),
    )
    .helpOption('--help', 'Print usage')
    .allowExcessArguments(false)
  for (const entry of rows) if (entry.flag) command.addOption(optionOf(entry))
  command.action(async () => {
    const options = command.opts()
    const values: Values = {}
    for (const entry of rows) {
      if (!entry.flag) continue
      const value = options[attributeName(entry.flag)]
      if (value !== undefined) values[keyOf(entry)] = value
    }
    const configFile = options['configFile'] as string | undefined
    await run({
      values,
      validate: Boolean(options['validate']),
      ...(configFile !== undefined && { configFile }),
    })
  })
  return command
}

function optionOf({ flag, short, kind, help }: Row): Option {
  const names = `${short ? `-${short}, ` : ''}--${flag}`
  const value = kind === 'boolean' ? '[bool]' : kind === 'number' ? '<int>' : '<value>'
  const parser = parsers[kind] as (value: string, previous: unknown) => unknown
  const option = new Option(`${names} ${value}`, help)
  option.argParser((text, previous) => {
    try {
      return parser(text, previous)
    } catch {
      throw invalid(`invalid argument ${JSON.stringify(text)} for "--${flag}" flag`)
    }
  })
  if (kind === 'boolean') option.preset('true')
  return option
}

const attributeName = (flag: string) => flag.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())

/** As Go's flags read a value; the second argument is what the flag was before. */
const parsers: Record<Kind, (text: string, previous: never) => unknown> = {
  boolean: text => {
    if (['true', '1', 't', 'T', 'TRUE', 'True'].includes(text)) return true
    if (['false', '0', 'f', 'F', 'FALSE', 'False'].includes(text)) return false
    throw invalid(text)
  },
  number: text => {
    if (!/^-?\d+$/.test(text)) throw invalid(text)
    return Number(text)
  },
  text: text => text.replace(/^=/, ''),
  list: (text, previous: string[] = []) => [...previous, text.replace(/^=/, '')],
  map: (text, previous: Record<string, string> = {}) => {
    const at = text.indexOf('=')
    if (at < 1) throw invalid(text)
    return { ...previous, [text.slice(0, at)]: text.slice(at + 1) }
  },
  object: text => text,
}
