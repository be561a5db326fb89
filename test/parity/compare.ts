/**
 * Shows where an engine answers otherwise than the recording: `DOCKER_HOST=… sh scripts/node test/parity/compare.ts [area[/name]…]`.
 */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { folders, loadAreas, Runner } from './run.ts'
import type { Outcome, Recording } from './scenario.ts'

const host = process.env['DOCKER_HOST']
if (!host) throw new Error('DOCKER_HOST must name the engine to compare')

const wanted = process.argv.slice(2)
const runner = new Runner(host)
let same = 0
let different = 0
try {
  await runner.prepare()
  for (const area of await loadAreas([...new Set(wanted.map(entry => entry.split('/')[0]!))])) {
    const file = path.join(folders.recordings, `${area.name}.json`)
    const recording = JSON.parse(fs.readFileSync(file, 'utf8')) as Recording
    for (const scenario of area.scenarios) {
      const title = `${area.name}/${scenario.name}`
      if (wanted.length > 0 && !wanted.some(entry => entry === area.name || entry === title)) continue
      const expected = recording[scenario.name]
      const actual = await runner.run(area, scenario).catch((error: Error) => error)
      if (actual instanceof Error) {
        different++
        process.stdout.write(`\n✖ ${title}: the preparation failed\n${actual.message}\n`)
      } else if (JSON.stringify(actual) === JSON.stringify(expected)) same++
      else {
        different++
        process.stdout.write(`\n✖ ${title}\n  ${scenario.run}\n${differences(expected, actual)}`)
      }
    }
  }
} finally {
  await runner.finish()
}
process.stdout.write(`\n${same} the same, ${different} different\n`)

function differences(expected: Outcome | undefined, actual: Outcome): string {
  return (['stdout', 'stderr', 'code'] as const)
    .filter(part => expected?.[part] !== actual[part])
    .map(
      part =>
        `  Docker ${part}: ${JSON.stringify(expected?.[part])}\n  here   ${part}: ${JSON.stringify(actual[part])}\n`,
    )
    .join('')
}
