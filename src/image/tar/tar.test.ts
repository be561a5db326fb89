import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { test } from 'node:test'
import { parseTar, tarOf, temporaryFolder } from '../fixtures.ts'
import { BLOCK } from './header.ts'
import { cleanPath, escapes } from './path.ts'

const LONG = `${'d'.repeat(90)}/${'e'.repeat(120)}/${'f'.repeat(90)}`

test('what the writer writes the reader reads, however it is cut', () => {
  const bytes = tarOf(
    {
      'a/': { mtime: 5 },
      'a/f': { content: 'hello', uid: 3_000_000, gid: 7, mode: 0o4755, mtime: -3, mtimeNanos: 250_000_000 },
      [LONG]: { content: 'x'.repeat(BLOCK) },
      'a/l': { type: 'symlink', linkName: `../${LONG}` },
      'a/h': { type: 'link', linkName: 'a/f' },
      'a/c': { type: 'char', major: 1, minor: 300 },
      'a/\xff\xfe': { content: 'bytes' },
      'a/x': { xattrs: new Map([['user.a', Buffer.from([0, 10, 255])]]) },
    },
    { subSecond: true },
  )
  const whole = parseTar(bytes)
  assert.deepEqual(parseTar(bytes, 7), whole)
  assert.deepEqual(
    whole.map(entry => entry.name),
    ['a/', 'a/f', LONG, 'a/l', 'a/h', 'a/c', 'a/\xff\xfe', 'a/x'],
  )
  const [, file, long, link, , device, , attributes] = whole
  assert.deepEqual(
    [file!.content.toString(), file!.uid, file!.gid, file!.mode, file!.mtime, file!.mtimeNanos],
    ['hello', 3_000_000, 7, 0o4755, -3, 250_000_000],
  )
  assert.equal(long!.content.length, BLOCK)
  assert.equal(link!.linkName, `../${LONG}`)
  assert.deepEqual([device!.major, device!.minor], [1, 300])
  assert.deepEqual(attributes!.xattrs!.get('user.a'), Buffer.from([0, 10, 255]))
  assert.deepEqual(tarOf({ f: 'same' }), tarOf({ f: 'same' }))
})

test('GNU tar reads what the writer writes', t => {
  const folder = temporaryFolder(t)
  fs.writeFileSync(
    path.join(folder, 'x.tar'),
    tarOf({ [LONG]: 'long', 'd/': {}, 'd/l': { type: 'symlink', linkName: 'x' } }),
  )
  const listed = execFileSync('tar', ['tf', path.join(folder, 'x.tar')]).toString()
  assert.deepEqual(listed.trim().split('\n'), [LONG, 'd/', 'd/l'])
})

for (const format of ['v7', 'oldgnu', 'gnu', 'ustar', 'posix']) {
  test(`reads GNU tar's ${format} format`, t => {
    const folder = temporaryFolder(t)
    const source = path.join(folder, 'source')
    const long = format === 'v7' ? 'short' : `${'n'.repeat(80)}/${'m'.repeat(90)}`
    fs.mkdirSync(path.join(source, path.dirname(long)), { recursive: true })
    fs.writeFileSync(path.join(source, long), 'content')
    fs.symlinkSync('target', path.join(source, 'link'))
    fs.linkSync(path.join(source, long), path.join(source, 'hard'))
    fs.utimesSync(path.join(source, long), 1000, 1000.5)
    const bytes = execFileSync('tar', ['c', `--format=${format}`, '--sort=name', '-C', source, '.'])
    const entries = new Map(parseTar(bytes, 1000).map(entry => [cleanPath(entry.name), entry]))
    const files = [entries.get(`/${long}`)!, entries.get('/hard')!]
    assert.deepEqual(files.map(file => file.type).sort(), ['file', 'link'])
    const file = files.find(each => each.type === 'file')!
    assert.equal(file.content.toString(), 'content')
    assert.equal(file.mtime, 1000)
    if (format === 'posix') assert.equal(file.mtimeNanos, 500_000_000)
    assert.equal(entries.get('/link')!.linkName, 'target')
  })
}

for (const options of [['gnu'], ['oldgnu'], ['posix', '0.0'], ['posix', '0.1'], ['posix', '1.0']]) {
  test(`reads sparse files of ${options.join(' ')}`, t => {
    const folder = temporaryFolder(t)
    const fd = fs.openSync(path.join(folder, 'sparse'), 'w')
    const pieces = Array.from({ length: 30 }, (_, i) => i * 1_000_000)
    for (const at of pieces) fs.writeSync(fd, 'data', at)
    fs.ftruncateSync(fd, 40_000_000)
    fs.closeSync(fd)
    const [format, version] = options
    const flags = version === undefined ? [] : [`--sparse-version=${version}`]
    const bytes = execFileSync('tar', ['cS', `--format=${format}`, ...flags, '-C', folder, 'sparse'])
    assert.ok(bytes.length < 1_000_000)
    const [entry] = parseTar(bytes, 999)
    assert.equal(entry!.name, 'sparse')
    assert.equal(entry!.size, 40_000_000)
    let at = 0
    const found: number[] = []
    for (const { offset, length } of entry!.extents!) {
      const data = entry!.content.subarray(at, at + length)
      for (const piece of pieces) {
        const inside = piece - offset
        if (inside >= 0 && inside < length && data.toString('latin1', inside, inside + 4) === 'data')
          found.push(piece)
      }
      at += length
    }
    assert.deepEqual(found, pieces)
  })
}

test('refuses archives that lie', () => {
  const good = tarOf({ f: 'hello' })
  const flipped = Buffer.from(good)
  flipped[0]! ^= 1
  assert.throws(() => parseTar(flipped), /archive\/tar: invalid tar header/)
  assert.throws(() => parseTar(good.subarray(0, 514)), /unexpected EOF/)
  assert.throws(() => parseTar(good.subarray(0, 100)), /unexpected EOF/)
  assert.throws(() => parseTar(Buffer.from('hello world'.repeat(1000))), /invalid tar header/)
  assert.deepEqual(parseTar(Buffer.concat([good, Buffer.from('rest')])).length, 1)
})

test('knows names that climb out', () => {
  for (const name of ['../x', 'a/../../x', '/../x', '..']) assert.equal(escapes(name), true, name)
  for (const name of ['a/../x', '/a', './..a', 'a..']) assert.equal(escapes(name), false, name)
  assert.equal(cleanPath('/a/./b/../c//d/'), '/a/c/d')
})
