import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import * as zlib from 'node:zlib'
import * as linux from '../../linux/index.ts'
import { startJob } from '../confined/job.ts'
import { type Fields, needsRoot, tarOf, temporaryFolder } from '../fixtures.ts'
import type { WhiteoutStyle } from './apply.ts'
import type { ApplyRequest } from './apply-task.ts'

async function apply(
  t: TestContext,
  tar: Buffer,
  options: Partial<ApplyRequest> & { into?: string } = {},
): Promise<string> {
  const folder = temporaryFolder(t)
  const { into = path.join(folder, 'root'), ...rest } = options
  const blob = path.join(folder, 'layer.tar')
  fs.writeFileSync(blob, tar)
  fs.mkdirSync(into, { recursive: true })
  const fd = fs.openSync(blob, 'r')
  const request = {
    fd,
    whiteouts: 'overlay' as WhiteoutStyle,
    umask: process.umask(),
    maxBytes: 1e9,
    maxRatio: 200,
    ...rest,
  }
  const job = startJob('apply', into, request)
  await job.result.finally(async () => {
    await job.ended
    fs.closeSync(fd)
  })
  return into
}

const layer = (members: Record<string, Fields | string>) => tarOf(members, { subSecond: true })

describe('a layer is applied', { skip: needsRoot }, () => {
  test('with all that a file can have', async t => {
    const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex')
    const root = await apply(
      t,
      layer({
        'd/': { mode: 0o1777, mtime: 100, mtimeNanos: 123_456_789 },
        'd/f': {
          content: 'x',
          mode: 0o6755,
          uid: 12,
          gid: 34,
          mtime: 1_700_000_000,
          mtimeNanos: 987_654_321,
        },
        'd/h': { type: 'link', linkName: 'd/f' },
        'd/l': { type: 'symlink', linkName: '/nowhere', uid: 5, mtime: 77 },
        'd/p': { type: 'fifo', mode: 0o622 },
        'd/n': { type: 'char', major: 1, minor: 3, mode: 0o666 },
        'd/cap': { content: 'x', xattrs: new Map([['security.capability', capability]]) },
        'deep/er/f': 'parents are made',
        'd/\xff': 'a name of bytes',
      }),
    )
    const stat = (name: string) => fs.lstatSync(path.join(root, name), { bigint: true })
    assert.equal(stat('d').mtimeNs, 100_123_456_789n)
    assert.equal(Number(stat('d').mode) & 0o7777, 0o1777)
    assert.deepEqual(
      [Number(stat('d/f').mode) & 0o7777, stat('d/f').uid, stat('d/f').gid],
      [0o6755, 12n, 34n],
    )
    assert.equal(stat('d/f').mtimeNs, 1_700_000_000_987_654_321n)
    assert.equal(stat('d/h').ino, stat('d/f').ino)
    assert.deepEqual([stat('d/l').uid, stat('d/l').mtimeNs], [5n, 77_000_000_000n])
    assert.equal(Number(stat('d/p').mode) & 0o777, 0o622)
    assert.equal(stat('d/n').rdev, 0x103n)
    assert.deepEqual(linux.getxattr(path.join(root, 'd/cap'), 'security.capability'), capability)
    assert.ok(fs.existsSync(path.join(root, 'deep/er/f')))
    assert.ok(fs.existsSync(Buffer.concat([Buffer.from(`${root}/d/`), Buffer.from([0xff])])))
  })

  test('with whiteouts as overlay wants them', async t => {
    const root = await apply(
      t,
      layer({ 'a/.wh.gone': '', 'b/': {}, 'b/.wh..wh..opq': '', 'c/.wh.d': '', 'c/d/': {}, 'c/d/new': '' }),
    )
    const gone = fs.lstatSync(path.join(root, 'a/gone'))
    assert.deepEqual([gone.isCharacterDevice(), gone.rdev], [true, 0])
    const opaque = (name: string) =>
      linux.getxattr(path.join(root, name), 'trusted.overlay.opaque')?.toString()
    assert.deepEqual([opaque('b'), opaque('c/d'), opaque('a')], ['y', 'y', undefined])
    assert.ok(fs.existsSync(path.join(root, 'c/d/new')))
  })

  test('with whiteouts in a folder that holds what is below', async t => {
    const into = temporaryFolder(t)
    await apply(t, layer({ 'a/one': '1', 'a/two': '2', 'b/old': 'o', keep: 'k' }), {
      into,
      whiteouts: 'plain',
    })
    await apply(t, layer({ 'a/.wh.one': '', 'b/new': 'n', 'b/.wh..wh..opq': '' }), {
      into,
      whiteouts: 'plain',
    })
    assert.deepEqual(fs.readdirSync(path.join(into, 'a')), ['two'])
    assert.deepEqual(fs.readdirSync(path.join(into, 'b')), ['new'])
    assert.ok(fs.existsSync(path.join(into, 'keep')))
  })

  test('with later entries in place of earlier ones', async t => {
    const parts = [
      layer({ 'd/x': 'x', f: 'f', l: { type: 'symlink', linkName: '/etc/passwd' } }),
      layer({ d: 'a file now', 'f/': {}, l: 'not through the link' }),
    ]
    const root = await apply(t, Buffer.concat([parts[0]!.subarray(0, -1024), parts[1]!]))
    assert.equal(fs.readFileSync(path.join(root, 'd'), 'utf8'), 'a file now')
    assert.ok(fs.statSync(path.join(root, 'f')).isDirectory())
    assert.equal(fs.readFileSync(path.join(root, 'l'), 'utf8'), 'not through the link')
  })

  test('sparse, with its holes', async t => {
    const folder = temporaryFolder(t)
    const file = path.join(folder, 'sparse')
    fs.writeFileSync(file, '')
    fs.truncateSync(file, 50_000_000)
    const fd = fs.openSync(file, 'r+')
    fs.writeSync(fd, 'middle', 20_000_000)
    fs.closeSync(fd)
    const root = await apply(t, execFileSync('tar', ['cS', '--format=posix', '-C', folder, 'sparse']))
    const copy = path.join(root, 'sparse')
    assert.ok(fs.statSync(copy).blocks * 512 < 1_000_000)
    assert.ok(fs.readFileSync(copy).equals(fs.readFileSync(file)))
  })

  const hostile: [what: string, tar: Buffer, message: RegExp][] = [
    ['climbs', layer({ '../../evil': 'x' }), /^invalid entry name "\.\.\/\.\.\/evil"$/],
    ['climbs later', layer({ 'a/../../evil': 'x' }), /^invalid entry name/],
    [
      'links out',
      layer({ h: { type: 'link', linkName: '../../etc/hostname' } }),
      /^invalid hardlink target "\.\.\/\.\.\/etc\/hostname"$/,
    ],
    ['links to nothing', layer({ h: { type: 'link', linkName: 'no' } }), /no such file or directory/],
    ['hides nothing', layer({ '.wh.': '' }), /^invalid whiteout entry "\.wh\."$/],
    ['puts a file into a file', layer({ f: '1', 'f/x': '2' }), /not a directory/],
    [
      'is larger than allowed',
      layer({ f: { content: Buffer.alloc(2000) } }),
      /larger than the limit of 1500 bytes/,
    ],
    ['is cut off', layer({ f: 'hello' }).subarray(0, 700), /^unexpected EOF$/],
    ['is packed and cut off', zlib.gzipSync(layer({ f: 'hello' })).subarray(0, 60), /unexpected end of file/],
  ]
  for (const [what, tar, message] of hostile) {
    test(`refused when it ${what}`, async t => {
      await assert.rejects(apply(t, tar, { maxBytes: 1500 }), { message })
    })
  }

  test('inside its root, whatever its links say', async t => {
    const outside = temporaryFolder(t)
    const up = '../'.repeat(20)
    const root = await apply(
      t,
      layer({
        abs: { type: 'symlink', linkName: outside },
        up: { type: 'symlink', linkName: up + outside.slice(1) },
        'abs/one': '1',
        'up/two': '2',
        '/three': '3',
        hard: { type: 'link', linkName: '/three' },
        dev: { type: 'char', major: 1, minor: 5 },
      }),
    )
    assert.deepEqual(fs.readdirSync(outside), [])
    assert.deepEqual(fs.readdirSync(path.join(root, outside)).sort(), ['one', 'two'])
    assert.ok(fs.existsSync(path.join(root, 'three')))
  })

  test('without attributes that would change what overlay shows', async t => {
    const xattrs = new Map([
      ['trusted.overlay.redirect', Buffer.from('/etc')],
      ['user.kept', Buffer.from('1')],
    ])
    const root = await apply(t, layer({ f: { content: 'x', xattrs } }))
    assert.equal(linux.getxattr(path.join(root, 'f'), 'trusted.overlay.redirect'), undefined)
    assert.equal(linux.getxattr(path.join(root, 'f'), 'user.kept')?.toString(), '1')
  })
})
