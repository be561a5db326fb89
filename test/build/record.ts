/**
 * Records what the real Docker makes of the cases: `DOCKER_HOST=… scripts/node test/build/record.ts [name…]` writes
 * `recordings/<name>.json`. The engine needs nothing but the docker client's reach; what is made there is removed again.
 */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { busyboxChanges, busyboxRootfs } from '../support/busybox.ts'
import { readCases } from './cases.ts'
import { buildCase, docker } from './outcome.ts'

const BASE = 'gantry-case-base'
const host = process.env['DOCKER_HOST']
if (!host) throw new Error('DOCKER_HOST names the engine to ask')
const folder = path.join(import.meta.dirname, 'recordings')
fs.mkdirSync(folder, { recursive: true })
const wanted = new Set(process.argv.slice(2))
const cases = readCases().filter(one => wanted.size === 0 || wanted.has(one.name))
const imported = await docker(host, ['import', ...busyboxChanges, busyboxRootfs(), `${BASE}:latest`])
if (imported.code !== 0) throw new Error(imported.stderr)
try {
  for (const one of cases) {
    const outcome = await buildCase(one, host, BASE)
    fs.writeFileSync(path.join(folder, `${one.name}.json`), `${JSON.stringify(outcome, null, 1)}\n`)
    process.stdout.write(`${one.name}${outcome.error === undefined ? '' : `: ${outcome.error}`}\n`)
  }
} finally {
  await docker(host, ['rmi', '-f', `${BASE}:latest`])
}
