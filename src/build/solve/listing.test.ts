import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { test } from 'node:test'
import { type Selection, selectionDigest } from './checksum.ts'
import { type ListedFile, Listing } from './listing.ts'

/** A listing as the client would tell it. */
function listingOf(root: string): Listing {
  const files = new Map<string, ListedFile>()
  const visit = (file: string): void => {
    const place = path.join(root, file)
    const stat = fs.lstatSync(place)
    const { mode, uid, gid } = stat
    if (stat.isSymbolicLink()) files.set(file, { mode, uid, gid, content: fs.readlinkSync(place) })
    else if (stat.isFile()) {
      const content = createHash('sha256').update(fs.readFileSync(place)).digest('hex')
      files.set(file, { mode, uid, gid, content })
    } else files.set(file, { mode, uid, gid })
    if (stat.isDirectory()) for (const name of fs.readdirSync(place)) visit(path.join(file, name))
  }
  visit('')
  return new Listing('1', true, files)
}

const select = (source: string, exclude: string[] = []): Selection => ({ source, exclude, parents: false })

test('a listing comes to the same digests as the files do', async t => {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'gantry-listing-'))
  t.after(() => fs.rmSync(root, { recursive: true }))
  const put = (name: string, content: string, mode = 0o644): void => {
    fs.mkdirSync(path.join(root, path.dirname(name)), { recursive: true })
    fs.writeFileSync(path.join(root, name), content)
    fs.chmodSync(path.join(root, name), mode)
  }
  put('a/b/c', 'deep')
  put('a/b-c', 'beside')
  put('a/b.c', 'dotted', 0o4755)
  put('a/\u{1f600}', 'after the next, and before it in UTF-16')
  put('a/\uffee', 'wide')
  put('top', 'top')
  fs.mkdirSync(path.join(root, 'empty'), { mode: 0o700 })
  fs.symlinkSync('../top', path.join(root, 'a/link'))

  const fd = fs.openSync(root, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY)
  t.after(() => fs.closeSync(fd))
  const listing = listingOf(root)
  const told = [
    ...['/', 'a', '/a/', 'a/b', 'a/b/c', 'top', 'empty', 'missing', 'a/missing', '//a//b'].map(one =>
      select(one),
    ),
    ...[['b*'], ['**', '!b/c'], ['b/c', 'link']].map(exclude => select('a', exclude)),
    select('/', ['**/c', '!other']),
  ]
  const digests = new Set<string | undefined>()
  for (const selection of told) {
    assert.ok(listing.tells(selection), selection.source)
    const digest = await listing.digest(selection)
    assert.equal(digest, selectionDigest(fd, selection), JSON.stringify(selection))
    digests.add(digest)
  }
  assert.ok(digests.has(undefined))
  assert.equal(digests.size, told.length - 3) // of two that are missing one, of `a` and `/a/` one, of `a/b` and `//a//b` one

  for (const source of ['a/link', 'a/link/x', 'a/*', 'a/../top', './top', 'top/x']) {
    assert.ok(!listing.tells(select(source)), source)
  }
})

test('sums are told of what a selection may take', () => {
  const file = { mode: 0o100644, uid: 0, gid: 0 }
  const files = new Map<string, ListedFile>([
    ['', { mode: 0o40755, uid: 0, gid: 0 }],
    ['one', { ...file, content: '1' }],
    ['two', { ...file, content: '2' }],
  ])
  const listing = new Listing('1', true, files)
  assert.deepEqual([...listing.sums(select('/t*'))], [['two', '2']])
  assert.equal(listing.sums(select('/')).size, 2)
})
