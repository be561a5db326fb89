/** Copying between two trees, with everything that a file carries: owner, mode, times, links, holes, attributes, nodes. */
import * as fs from 'node:fs'
import { hasCode, invalid } from '../../errors.ts'
import type { IgnoreMatcher } from '../dockerfile/ignore.ts'
import { changeMode } from '../plan/mode.ts'
import type { Linker } from './linker.ts'
import { attributesOf, encodePath, makeNode, type Place, readLink, setAttribute, setTimes } from './place.ts'
import { type Folder, split, type Tree, using } from './tree.ts'

export interface CopyOptions {
  /** Numeric; the source's own where absent. */
  owner?: { uid: number; gid: number }
  /** As written: octal or symbolic. */
  mode?: string
  exclude: IgnoreMatcher
  /** What is copied into. */
  into: Tree
  /** Source inodes that have more than one name, and where in `into` their first copy is. */
  links: Map<string, string>
  /** Takes files that need no copy. */
  linker?: Linker
}

/** Copy `name` of `from` to `target` of `to`. `relative` is the path below the copied source: '' for itself. */
export function copyEntry(
  from: Folder,
  name: string,
  to: Folder,
  target: string,
  relative: string,
  options: CopyOptions,
): void {
  const source = from.at(name)
  const stat = fs.lstatSync(source, { bigint: true })
  const type = Number(stat.mode) & fs.constants.S_IFMT
  if (type === fs.constants.S_IFDIR) {
    copyFolder(from, name, to, target, relative, options, stat)
    return
  }
  const place = to.at(target)
  makeRoom(place, () => to.path(target))
  if (type === fs.constants.S_IFREG && options.linker) {
    options.linker.into(to).set(target, from.path(name))
    return
  }
  options.linker?.drop(to, target)
  const shared = stat.nlink > 1n ? `${stat.dev}:${stat.ino}` : undefined
  const first = shared && options.links.get(shared)
  if (first) {
    const [parent, base] = split(first)
    using(options.into.folder(parent), folder => fs.linkSync(folder.at(base), place))
    return
  }
  switch (type) {
    case fs.constants.S_IFREG:
      fs.copyFileSync(source, place, fs.constants.COPYFILE_EXCL)
      break
    case fs.constants.S_IFLNK:
      fs.symlinkSync(encodePath(readLink(source)), place)
      break
    case fs.constants.S_IFSOCK:
      return
    default: {
      const device = Number(stat.rdev)
      makeNode(place, Number(stat.mode), major(device), minor(device))
    }
  }
  copyMetadata(source, place, stat, options)
  if (shared) options.links.set(shared, options.into.pathIn(to, target))
}

/** As {@link copyEntry} for a folder; one that is there is entered, and takes the source's metadata below the top. */
function copyFolder(
  from: Folder,
  name: string,
  to: Folder,
  target: string,
  relative: string,
  options: CopyOptions,
  stat: fs.BigIntStats,
): void {
  const place = to.at(target)
  const existing = fs.lstatSync(place, { throwIfNoEntry: false })
  if (existing ? !existing.isDirectory() : options.linker?.has(to, target)) {
    throw invalid(`cannot copy to non-directory: ${to.path(target)}`)
  }
  if (!existing) fs.mkdirSync(place, 0o755)
  using(from.enter(name || '.'), inner => {
    using(to.enter(target || '.'), into => {
      copyContents(inner, into, relative, options, existing === undefined)
      options.linker?.date(into, stat)
    })
  })
  copyMetadata(from.at(name), place, stat, options)
}

/** Everything in `from` into `to`. `isNew`: nothing but this was ever put into `to`. */
export function copyContents(
  from: Folder,
  to: Folder,
  relative: string,
  options: CopyOptions,
  isNew = false,
): void {
  const files = isNew && options.linker ? from.files() : undefined
  const links = files && files.size > 0 ? options.linker!.into(to) : undefined
  const folder = links && from.path('')
  for (const child of from.names()) {
    const below = relative === '' ? child : `${relative}/${child}`
    if (options.exclude.ignores(below)) {
      if (!options.exclude.hasNegation || !fs.lstatSync(from.at(child)).isDirectory()) continue
      if (!hasIncluded(from, child, below, options.exclude)) continue
    }
    if (files?.has(child)) links!.set(child, `${folder}/${child}`)
    else copyEntry(from, child, to, child, below, options)
  }
}

/** Whether a `!` pattern brings something back from inside an excluded folder. */
function hasIncluded(from: Folder, name: string, relative: string, exclude: IgnoreMatcher): boolean {
  return using(from.enter(name), inner =>
    inner.names().some(child => {
      const below = `${relative}/${child}`
      if (!exclude.ignores(below)) return true
      return fs.lstatSync(inner.at(child)).isDirectory() && hasIncluded(inner, child, below, exclude)
    }),
  )
}

/** A file is replaced; a folder is in the way. */
function makeRoom(place: Place, name: () => string): void {
  const existing = fs.lstatSync(place, { throwIfNoEntry: false })
  if (!existing) return
  if (existing.isDirectory()) throw invalid(`cannot replace to directory ${name()} with file`)
  fs.unlinkSync(place)
}

/** Owner first: changing it clears setuid bits and capabilities. Times last. */
export function copyMetadata(
  source: Place,
  place: Place,
  stat: fs.BigIntStats,
  options: Pick<CopyOptions, 'owner' | 'mode'>,
): void {
  const { owner, mode } = options
  fs.lchownSync(place, owner?.uid ?? Number(stat.uid), owner?.gid ?? Number(stat.gid))
  const isLink = (Number(stat.mode) & fs.constants.S_IFMT) === fs.constants.S_IFLNK
  if (!isLink) {
    const isFolder = (Number(stat.mode) & fs.constants.S_IFMT) === fs.constants.S_IFDIR
    const bits = Number(stat.mode) & 0o7777
    fs.chmodSync(place, mode === undefined ? bits : changeMode(bits, mode, isFolder))
  }
  copyAttributes(source, place)
  setTimes(place, stat.atimeNs, stat.mtimeNs)
}

function copyAttributes(source: Place, place: Place): void {
  let found: Map<string, Buffer>
  try {
    found = attributesOf(source)
  } catch (error) {
    if (hasCode(error, 'ENOTSUP', 'EOPNOTSUPP')) return
    throw error
  }
  for (const [name, value] of found) {
    if (name.startsWith('trusted.overlay.') || name === 'security.selinux') continue
    try {
      setAttribute(place, name, value)
    } catch (error) {
      if (!hasCode(error, 'ENOTSUP', 'EOPNOTSUPP', 'EPERM')) throw error
    }
  }
}

// makedev(3)
const major = (device: number): number => (device >>> 8) & 0xfff
const minor = (device: number): number => (device & 0xff) | ((device >>> 12) & 0xfff00)
