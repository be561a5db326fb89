import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { test } from 'node:test'
import { readIndex, type Told, writeIndex } from './session-index.ts'

test('an index is read as it was written, in the same boot only, and whole only', async t => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gantry-index-'))
  t.after(() => fs.rmSync(folder, { recursive: true }))
  const file = path.join(folder, 'index.json')
  assert.equal(readIndex(file), undefined)
  const told: Told = { metadata: '420 0 0 3 1 ', mode: 0o100644, uid: 0, gid: 0, content: 'ab' }
  const index = { version: 'v', files: new Map([['a/b', told]]) }
  await writeIndex(file, index)
  assert.deepEqual(readIndex(file), index)

  const text = fs.readFileSync(file, 'utf8')
  fs.writeFileSync(file, text.slice(0, -3))
  assert.equal(readIndex(file), undefined)
  fs.writeFileSync(file, JSON.stringify({ ...JSON.parse(text), boot: 'another' }))
  assert.equal(readIndex(file), undefined)

  await writeIndex(path.join(folder, 'missing', 'index.json'), index)
})
