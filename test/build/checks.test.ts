/**
 * What `docker build --check` says of each Dockerfile in `checks.txt`, as the real Docker said it (`checks.json`, written by
 * `DOCKER_HOST=… GANTRY_RECORD=1 scripts/node --test test/build/checks.test.ts`).
 */
import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { after, before, test } from 'node:test'
import { busyboxChanges, busyboxRootfs } from '../support/busybox.ts'
import { cannotRunDaemon, Daemon } from '../support/daemon.ts'
import { type BuildCase, parseCases, writeContext } from './cases.ts'
import { docker } from './outcome.ts'

const BASE = 'gantry-check-base'
const recording = path.join(import.meta.dirname, 'checks.json')
const isRecording = process.env['GANTRY_RECORD'] !== undefined
const cases = parseCases(fs.readFileSync(path.join(import.meta.dirname, 'checks.txt'), 'utf8'))
const wanted: Record<string, string[]> = isRecording ? {} : JSON.parse(fs.readFileSync(recording, 'utf8'))

const skip = cannotRunDaemon()
let daemon: Daemon | undefined
let host = process.env['DOCKER_HOST'] ?? ''

before(async () => {
  if (skip) return
  if (!isRecording) {
    daemon = await Daemon.start({ image: false })
    host = daemon.host
  }
  const imported = await docker(host, ['import', ...busyboxChanges, busyboxRootfs(), `${BASE}:latest`])
  assert.equal(imported.code, 0, imported.stderr)
})

after(async () => {
  await daemon?.remove()
  if (!isRecording) return
  await docker(host, ['rmi', '-f', BASE])
  fs.writeFileSync(recording, `${JSON.stringify(wanted, null, 1)}\n`)
})

async function check(one: BuildCase): Promise<string[]> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gantry-check-'))
  try {
    writeContext(one, folder, BASE)
    const env = { DOCKER_BUILDKIT: '1' }
    const { code, stdout, stderr } = await docker(host, ['build', '--check', '--progress=quiet', folder], env)
    const text = `${stdout}\n${stderr}`.replaceAll(folder, '').replaceAll(BASE, 'base')
    return [`exit code ${code}`, ...text.split('\n').filter(line => line.trim() !== '')]
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

for (const one of cases) {
  test(`--check: ${one.name}`, { skip }, async () => {
    const said = await check(one)
    if (isRecording) wanted[one.name] = said
    else assert.deepEqual(said, wanted[one.name])
  })
}
