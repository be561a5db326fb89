import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import * as path from 'node:path'
import { test } from 'node:test'
import { buildFolder } from '../linux/index.ts'

const native = new URL('../../native', import.meta.url).pathname
const tests = ['', '-exec', '-crash', '-log'].map(
  part => new URL(`./launcher${part}.test.ts`, import.meta.url).pathname,
)
const skip = process.getuid?.() === 0 ? false : 'needs root: it makes namespaces and mounts'

/** A fault ends the shim, and with it the test that it served. */
test('the launcher’s tests, with a shim that watches its own memory', { skip }, () => {
  const make = spawnSync('make', ['-s', '-C', native, 'sanitized'], { encoding: 'utf8' })
  assert.equal(make.status, 0, make.stderr)
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  const run = spawnSync(process.execPath, ['--test', ...tests], {
    encoding: 'utf8',
    env: { ...env, GANTRY_SHIM: path.join(buildFolder, 'sanitized/gantry-shim') },
  })
  assert.equal(run.status, 0, run.stdout)
})
