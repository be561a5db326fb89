/**
 * Records what an engine answers to the scenarios, as test data: `DOCKER_HOST=… sh scripts/node test/parity/record.ts [area[/name]…]`.
 * The engine is meant to be a real Docker; nothing but what the scenarios made there is touched.
 */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { folders, loadAreas, Runner } from './run.ts'
import type { Recording, Scenario } from './scenario.ts'

const host = process.env['DOCKER_HOST']
if (!host) throw new Error('DOCKER_HOST must name the engine to record')

/**
 * An engine that is recorded may be shared. `system prune` and `builder prune` take the build cache whatever filter they are given,
 * and any other prune takes what is not the scenario's unless a label holds it back.
 */
function checkHarmless(title: string, { setup = '', run }: Scenario): void {
  for (const [command, kind] of `${setup}\n${run}`.matchAll(/docker (\w+) prune[^;|\n]*/g)) {
    if (['system', 'builder', 'buildx'].includes(kind!) || !command.includes('--filter label=$N')) {
      throw new Error(`${title} would prune what others made: ${command}`)
    }
  }
}

const wanted = process.argv.slice(2)
const runner = new Runner(host)
try {
  await runner.prepare()
  for (const area of await loadAreas([...new Set(wanted.map(entry => entry.split('/')[0]!))])) {
    const file = path.join(folders.recordings, `${area.name}.json`)
    const known: Recording = fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8')) : {}
    const recording: Recording = {}
    for (const scenario of area.scenarios) checkHarmless(`${area.name}/${scenario.name}`, scenario)
    for (const scenario of area.scenarios) {
      const asked =
        wanted.length === 0 || wanted.includes(area.name) || wanted.includes(`${area.name}/${scenario.name}`)
      recording[scenario.name] =
        (!asked && known[scenario.name]) ||
        (await runner.run(area, scenario).catch(error => {
          throw new Error(`${area.name}/${scenario.name}`, { cause: error })
        }))
    }
    fs.writeFileSync(file, `${JSON.stringify(recording, null, 2)}\n`)
    process.stdout.write(`${area.name}: ${area.scenarios.length}\n`)
  }
} finally {
  await runner.finish()
}
