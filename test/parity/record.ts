/**
 * Records what an engine answers to the scenarios, as test data: `DOCKER_HOST=… sh scripts/node test/parity/record.ts [area…]`.
 * The engine is meant to be a real Docker; nothing but what the scenarios made there is touched.
 */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { folders, loadAreas, Runner } from './run.ts'
import type { Recording } from './scenario.ts'

const host = process.env['DOCKER_HOST']
if (!host) throw new Error('DOCKER_HOST must name the engine to record')

const runner = new Runner(host)
try {
  await runner.prepare()
  for (const area of await loadAreas(process.argv.slice(2))) {
    const recording: Recording = {}
    for (const scenario of area.scenarios) recording[scenario.name] = await runner.run(area, scenario)
    const file = path.join(folders.recordings, `${area.name}.json`)
    fs.writeFileSync(file, `${JSON.stringify(recording, null, 2)}\n`)
    process.stdout.write(`${area.name}: ${area.scenarios.length}\n`)
  }
} finally {
  await runner.finish()
}
