import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { test } from 'node:test'
import { attributesOf, decodeName, encodePath, isOdd, makeNode, readLink, setTimes } from './place.ts'

const bytesOf = (text: string): Buffer => Buffer.from(encodePath(text))

test('every name is the same again', () => {
  const names = [
    [0x61],
    [0xe9],
    [0x63, 0xc3, 0xa9],
    [0xc3],
    [0xf0, 0x9f, 0x98, 0x80, 0xff],
    [0xed, 0xa0, 0x80],
    [0x80, 0xbf],
  ]
  for (const name of names.map(bytes => Buffer.from(bytes))) {
    assert.deepEqual(bytesOf(decodeName(name)), name)
  }
  assert.equal(decodeName(Buffer.from('é\u{1f600}')), 'é\u{1f600}')
  assert.equal(isOdd('é\u{1f600}'), false)
  assert.equal(isOdd(decodeName(Buffer.of(0x61, 0xff))), true)
})

test('what the addon does is done for names that are not UTF-8', t => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gantry-place-'))
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }))
  const place = (name: string) => encodePath(`${folder}/${name}\udce9`)
  fs.writeFileSync(place('file'), 'x')
  fs.mkdirSync(place('folder'))
  fs.symlinkSync(encodePath('nowhere\udcff'), place('link'))
  makeNode(place('pipe'), 0o010644)
  for (const name of ['file', 'folder', 'link', 'pipe']) {
    setTimes(place(name), 1_000_000_001n, 2_000_000_000_000_000_003n)
    assert.equal(fs.lstatSync(place(name), { bigint: true }).mtimeNs, 2_000_000_000_000_000_003n)
    assert.ok(attributesOf(place(name)) instanceof Map)
  }
  assert.equal(readLink(place('link')), 'nowhere\udcff')
  assert.equal(fs.readdirSync(folder).length, 4)
})
