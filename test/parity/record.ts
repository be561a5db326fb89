/**
 * Records what an engine answers to the scenarios, as test data: `DOCKER_HOST=… sh scripts/node test/parity/record.ts [area[/name]…]`.
 * The engine is meant to be a real Docker; nothing but what the scenarios made there is touched.
 */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { folders, loadAreas, Runner } from './run.ts'
import type { Recording } from './scenario.ts'

const host = process.env['DOCKER_HOST']
if (!host) throw new Error('DOCKER_HOST must name the engine to record')

const wanted = process.argv.slice(2)
const runner = new Runner(host)
try {
  await runner.prepare()
  for (const area of await loadAreas([...new Set(wanted.map(entry => entry.split('/')[0]!))])) {
    const file = path.join(folders.recordings, `${area.name}.json`)
    const known: Recording = fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8')) : {}
    const recording: Recording = {}
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
