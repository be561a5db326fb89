/** Every case is built, and must come to what the real Docker made of it. */
import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { after, before, test } from 'node:test'
import { busyboxChanges, busyboxRootfs } from '../support/busybox.ts'
import { cannotRunDaemon, Daemon } from '../support/daemon.ts'
import { readCases } from './cases.ts'
import { buildCase, docker, type Outcome } from './outcome.ts'

const BASE = 'gantry-case-base'
/** Where Gantry does better on purpose, and how. */
const better: Record<string, RegExp | 'builds'> = {
  // Docker says 1, whatever happened.
  'run-missing-command': /"\/nosuch" did not complete successfully: exit code: 127$/,
  // Docker says `invalid syntax`.
  'copy-chmod-bad': /^invalid chmod parameter: 'abc'/,
  // Docker knows the flag only with another front end.
  'copy-parents': 'builds',
  // Docker does not say which.
  // Docker speaks of an index of -1.
  'more-chown-scratch-nolink': /^cannot look up --chown=nobody: the stage has no files yet/,
  'odd-ignore-bad': /^invalid pattern "a\[": syntax error in pattern$/,
  // Docker does not say how to allow it.
  'odd-run-network-host': /^network\.host is not allowed: build with --allow network\.host$/,
}

const skip = cannotRunDaemon()
let daemon: Daemon | undefined
let host = process.env['GANTRY_CASES_HOST'] ?? ''

before(async () => {
  if (skip) return
  if (host === '') {
    daemon = await Daemon.start({ image: false })
    host = daemon.host
  }
  const imported = await docker(host, ['import', ...busyboxChanges, busyboxRootfs(), `${BASE}:latest`])
  assert.equal(imported.code, 0, imported.stderr)
})

after(async () => daemon?.remove())

for (const one of readCases()) {
  const recording = path.join(import.meta.dirname, 'recordings', `${one.name}.json`)
  test(one.name, { skip }, async () => {
    const wanted = JSON.parse(fs.readFileSync(recording, 'utf8')) as Outcome
    const outcome = await buildCase(one, host, BASE)
    const expected = better[one.name]
    if (expected === 'builds') assert.equal(outcome.error, undefined)
    else if (expected) assert.match(outcome.error ?? '', expected)
    else assert.deepEqual(outcome, wanted)
  })
}
