/**
 * What a copied tree amounts to: a digest over names, kinds, permissions, owners, links, attributes and contents. Times and the
 * order on disk do not count. Contents of unchanged files are remembered by inode, size and times.
 */
import { createHash, type Hash, hash } from 'node:crypto'
import * as fs from 'node:fs'
import { IgnoreMatcher } from '../dockerfile/ignore.ts'
import { findSources, splitPivot } from './match.ts'
import { attributesOf, type Place, readLink } from './place.ts'
import { type Folder, split, Tree, using } from './tree.ts'

export interface Selection {
  source: string
  exclude: string[]
  parents: boolean
}

/** What is known before any file is looked at. */
export interface KnownSums {
  /** SHA-256 in hex of files, by their path below the root. */
  sums: ReadonlyMap<string, string>
  /** No file has extended attributes. */
  isPlain: boolean
}

const MAX_REMEMBERED = 200_000
const remembered = new Map<string, string>()

/** Digest of what `selection` takes from the root; `undefined` where it takes nothing. */
export function selectionDigest(rootFd: number, selection: Selection, known?: KnownSums): string | undefined {
  const tree = new Tree(rootFd)
  const { base, kept } = selection.parents
    ? splitPivot(selection.source)
    : { base: '/', kept: selection.source }
  const from = base === '/' ? '' : base
  const paths = findSources(tree, from + kept)
  if (paths.length === 0) return undefined
  const matcher = new IgnoreMatcher(selection.exclude)
  const sum = createHash('sha256')
  for (const file of paths) {
    const real = tree.real(file) ?? file
    const [parent, name] = split(real)
    const label = selection.parents ? file.slice(from.length + 1) : split(file)[1]
    const walk = { sum, matcher, known }
    using(tree.folder(parent), folder => addEntry(walk, folder, name, label, '', real.slice(1)))
  }
  return sum.digest('hex')
}

interface Walk {
  sum: Hash
  matcher: IgnoreMatcher
  known: KnownSums | undefined
}

/** `relative` is the path below the selected source, `file` the one below the root. */
function addEntry(
  walk: Walk,
  folder: Folder,
  name: string,
  label: string,
  relative: string,
  file: string,
): void {
  const { sum, matcher, known } = walk
  const place = folder.at(name)
  const stat = fs.lstatSync(place, { bigint: true })
  const type = Number(stat.mode) & fs.constants.S_IFMT
  const header = [label, stat.mode.toString(8), stat.uid, stat.gid]
  if (type === fs.constants.S_IFLNK) header.push(readLink(place))
  else if (type === fs.constants.S_IFCHR || type === fs.constants.S_IFBLK) header.push(stat.rdev)
  else if (type === fs.constants.S_IFREG) header.push(known?.sums.get(file) ?? fileDigest(place, stat))
  for (const [name, value] of known?.isPlain ? [] : [...attributesOf(place)].sort()) {
    if (name === 'security.capability' || name.startsWith('user.')) header.push(name, value.toString('hex'))
  }
  if (relative === '' || !matcher.ignores(relative)) sum.update(JSON.stringify(header, bigints))
  if (type !== fs.constants.S_IFDIR) return
  using(name === '' ? folder.enter('.') : folder.enter(name), inner => {
    for (const child of inner.names()) {
      const below = relative === '' ? child : `${relative}/${child}`
      if (matcher.ignores(below) && !matcher.hasNegation) continue
      addEntry(walk, inner, child, `${label}/${child}`, below, file === '' ? child : `${file}/${child}`)
    }
  })
}

const bigints = (_: string, value: unknown) => (typeof value === 'bigint' ? String(value) : value)

function fileDigest(place: Place, stat: fs.BigIntStats): string {
  const key = `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeNs}:${stat.ctimeNs}`
  const known = remembered.get(key)
  if (known !== undefined) return known
  const digest = stat.size <= 1 << 20 ? hash('sha256', fs.readFileSync(place)) : largeFileDigest(place)
  if (remembered.size >= MAX_REMEMBERED) remembered.clear()
  remembered.set(key, digest)
  return digest
}

function largeFileDigest(place: Place): string {
  const sum = createHash('sha256')
  const buffer = Buffer.allocUnsafe(1 << 20)
  const fd = fs.openSync(place, 'r')
  try {
    for (let n = 0; (n = fs.readSync(fd, buffer)) > 0; ) sum.update(buffer.subarray(0, n))
  } finally {
    fs.closeSync(fd)
  }
  return sum.digest('hex')
}
