import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { buffer } from 'node:stream/consumers'
import { describe, type TestContext, test } from 'node:test'
import { needsRoot, parseTar, streamOf, tarOf, temporaryFolder } from '../fixtures.ts'
import { archivePath, exportTree, extractInto, statPath } from './path-archive.ts'

/** A root with files and links, open as an fd. */
function openRoot(t: TestContext): { root: number; folder: string } {
  const folder = temporaryFolder(t)
  fs.mkdirSync(path.join(folder, 'd/sub'), { recursive: true })
  fs.writeFileSync(path.join(folder, 'd/f'), 'hi')
  fs.linkSync(path.join(folder, 'd/f'), path.join(folder, 'd/hard'))
  for (const [name, target] of [
    ['ld', '/d'],
    ['d/lf', 'f'],
    ['dang', 'nowhere'],
    ['esc', '../../../../../etc/passwd'],
  ]) {
    fs.symlinkSync(target!, path.join(folder, name!))
  }
  const root = fs.openSync(folder, fs.constants.O_RDONLY)
  t.after(() => fs.closeSync(root))
  return { root, folder }
}

describe('docker cp', { skip: needsRoot }, () => {
  test('says what a path is', t => {
    const { root } = openRoot(t)
    const { mtime, ...folder } = statPath(root, '/d')
    assert.match(mtime, /^20\d\d-.*Z$/)
    assert.deepEqual(folder, { name: 'd', size: folder.size, mode: 0o755 + 2 ** 31, linkTarget: '' })
    assert.deepEqual([statPath(root, 'd/f').mode, statPath(root, 'd/f').size], [0o644, 2])
    assert.equal(statPath(root, '/ld').mode, 0o777 + 2 ** 27)
    assert.equal(statPath(root, '/ld/').mode, 0o755 + 2 ** 31)
    assert.deepEqual(
      [statPath(root, '/').name, statPath(root, '.').name, statPath(root, '/d/.').name],
      ['/', '.', '.'],
    )
    assert.throws(() => statPath(root, '/nope'), { code: 'ENOENT' })
    assert.throws(() => statPath(root, '/d/f/'), { code: 'ENOTDIR' })
    assert.throws(() => statPath(root, '/esc/'), { code: 'ENOENT' })
  })

  test('names what comes out as it was asked for', async t => {
    const { root } = openRoot(t)
    const names = async (asked: string) =>
      parseTar(await buffer(archivePath(root, asked).stream)).map(each => each.name)
    assert.deepEqual(await names('/d'), ['d/', 'd/f', 'd/hard', 'd/lf', 'd/sub/'])
    assert.deepEqual(await names('/ld/'), ['ld/', 'ld/f', 'ld/hard', 'ld/lf', 'ld/sub/'])
    assert.deepEqual(await names('/ld/.'), ['./', './f', './hard', './lf', './sub/'])
    assert.deepEqual(await names('/ld'), ['ld'])
    assert.deepEqual(await names('/d/f'), ['f'])
    assert.deepEqual((await names('/')).slice(0, 2), ['/', '/d/'])
    assert.deepEqual((await names('.')).slice(0, 2), ['./', './d/'])
    const [, , hard] = parseTar(await buffer(archivePath(root, 'd').stream))
    assert.deepEqual([hard!.type, hard!.linkName], ['link', 'd/f'])
    const all = parseTar(await buffer(exportTree(root)))
    assert.deepEqual(all[0]!.name, 'd/')
  })

  test('puts things in, and only there', async t => {
    const { root, folder } = openRoot(t)
    const put = (members: Parameters<typeof tarOf>[0], into = '/ld', options = {}) =>
      extractInto(root, into, streamOf(tarOf(members)), options)
    await put({ 'new/': {}, 'new/f': { content: 'n', uid: 9 } }, '/ld', { owner: { uid: 5, gid: 6 } })
    assert.equal(fs.statSync(path.join(folder, 'd/new/f')).uid, 5)
    const outside = temporaryFolder(t)
    await put({
      out: { type: 'symlink', linkName: outside },
      'out/x': 'x',
      '/abs': 'a',
      '.wh.f': 'no whiteout',
    })
    assert.deepEqual(fs.readdirSync(outside), [])
    assert.ok(['abs', '.wh.f', 'f'].every(name => fs.existsSync(path.join(folder, 'd', name))))
    await assert.rejects(put({ '../x': 'x' }), { message: 'invalid entry name "../x"', kind: 'invalid' })
    await assert.rejects(put({}, '/d/f'), { message: 'extraction point is not a directory' })
    await assert.rejects(put({}, '/nope'), { code: 'ENOENT' })
    await assert.rejects(extractInto(root, '/d', streamOf(Buffer.from('garbage'))), {
      message: 'unexpected EOF',
    })
  })

  test('replaces a folder by a file unless told not to', async t => {
    const { root, folder } = openRoot(t)
    const put = (name: string, options = {}) =>
      extractInto(root, '/d', streamOf(tarOf({ [name]: '' })), options)
    const keep = { noOverwriteDirNonDir: true }
    await assert.rejects(put('sub', keep), {
      message: 'cannot overwrite directory "sub" with non-directory "/d"',
    })
    await assert.rejects(put('f/', keep), {
      message: 'cannot overwrite non-directory "f" with directory "/d"',
    })
    await put('sub')
    await put('f/')
    assert.ok(fs.statSync(path.join(folder, 'd/sub')).isFile())
    assert.ok(fs.statSync(path.join(folder, 'd/f')).isDirectory())
  })
})
