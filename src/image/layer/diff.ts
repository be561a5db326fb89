/**
 * What a writable layer holds, seen from inside (the calling thread is confined to it): as changes for `docker diff`, as a layer for
 * `docker commit`, as a number for `docker ps -s`.
 */
import * as fs from 'node:fs'
import { hasCode } from '../../errors.ts'
import * as linux from '../../linux/index.ts'
import { linuxPath } from '../confined/files.ts'
import { lstatExact, sortedNames, TreeWriter, walk } from '../confined/tree.ts'
import type { Change } from '../snapshots.ts'
import { type ByteString, tarEntry, toText } from '../tar/entry.ts'
import { baseName, joinPath, parentPath } from '../tar/path.ts'
import { TarWriter } from '../tar/writer.ts'

/** Looks into the layers below; `undefined` for what is not there. */
export type LowerStat = (path: ByteString) => fs.BigIntStats | undefined

/** @param root fd of the merged layers below (a detached mount, or a folder) */
export function lowerStat(root: number): LowerStat {
  const flags = linux.O_PATH | fs.constants.O_NOFOLLOW
  return path => {
    let fd: number
    try {
      fd = linux.openat2(root, linuxPath(path), { flags, resolve: linux.RESOLVE_IN_ROOT })
    } catch (error) {
      if (hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return undefined
      throw error
    }
    try {
      return fs.fstatSync(fd, { bigint: true })
    } finally {
      fs.closeSync(fd)
    }
  }
}

/** A character device 0:0. */
function isWhiteout(stat: fs.BigIntStats): boolean {
  return stat.isCharacterDevice() && stat.rdev === 0n
}

function isOpaque(path: ByteString): boolean {
  return linux.getxattr(linuxPath(path), 'trusted.overlay.opaque')?.toString() === 'y'
}

/** A folder that was made anew where one had been: what was in the old one and is not in it, is deleted. */
export interface ReplacedFolder {
  path: string
  /** Names in the new one. */
  kept: string[]
}

/**
 * Changes of an overlay upper folder, sorted by path. A folder in which something changed counts as changed, as with Docker. What
 * a {@link ReplacedFolder} lost is left to whoever can list the layers below.
 */
export function overlayChanges(lower: LowerStat, replaced: ReplacedFolder[]): Change[] {
  const changes = new Changes()
  walk('/', (path, stat) => {
    const below = lower(path)
    if (isWhiteout(stat)) {
      if (below !== undefined) changes.add(path, 2)
      return false
    }
    if (below === undefined) changes.add(path, 1)
    else if (!sameFile(stat, below)) changes.add(path, 0)
    if (stat.isDirectory() && below?.isDirectory() && isOpaque(path)) {
      replaced.push({ path: toText(path), kept: sortedNames(path).map(toText) })
    }
    return true
  })
  return changes.sorted()
}

/** Changes between two whole trees (vfs): the confined root, and what it was copied from. */
export function treeChanges(lower: LowerStat, lowerPaths: Iterable<ByteString>): Change[] {
  const changes = new Changes()
  walk('/', (path, stat) => {
    const below = lower(path)
    if (below === undefined) changes.add(path, 1)
    else if (!sameFile(stat, below)) changes.add(path, 0)
    return true
  })
  const gone = new Set<ByteString>()
  for (const path of lowerPaths) {
    if (gone.has(parentPath(path)) || lstatExact(path) === undefined) {
      if (!gone.has(parentPath(path))) changes.add(path, 2)
      gone.add(path)
    }
  }
  return changes.sorted()
}

/** As Docker: times and sizes of folders do not count. */
function sameFile(stat: fs.BigIntStats, below: fs.BigIntStats): boolean {
  return (
    sameOwnership(stat, below) &&
    stat.rdev === below.rdev &&
    (stat.isDirectory() || (stat.size === below.size && stat.mtimeNs === below.mtimeNs))
  )
}

function sameOwnership(stat: fs.BigIntStats, below: fs.BigIntStats): boolean {
  return stat.mode === below.mode && stat.uid === below.uid && stat.gid === below.gid
}

class Changes {
  readonly #kinds = new Map<ByteString, Change['kind']>()

  add(path: ByteString, kind: Change['kind']): void {
    for (let folder = parentPath(path); folder !== '/'; folder = parentPath(folder)) {
      if (!this.#kinds.has(folder)) this.#kinds.set(folder, 0)
    }
    this.#kinds.set(path, kind)
  }

  sorted(): Change[] {
    const paths = [...this.#kinds.keys()].sort()
    return paths.map(path => ({ path: toText(path), kind: this.#kinds.get(path)! }))
  }
}

/** The upper folder as a layer. Its times keep their nanoseconds. */
export function overlayTar(sink: (bytes: Uint8Array) => void): void {
  const writer = new TarWriter(sink, { subSecond: true })
  const tree = new TreeWriter(writer)
  walk('/', (path, stat) => {
    if (isWhiteout(stat)) {
      writeWhiteout(writer, path)
      return false
    }
    tree.add(path, stat, path.slice(1))
    if (stat.isDirectory() && isOpaque(path)) {
      writer.entry(tarEntry({ name: `${path.slice(1)}/.wh..wh..opq`, type: 'file', mode: 0 }))
    }
    return true
  })
  writer.end()
}

/** Those of `changes` (from {@link treeChanges}) as a layer. */
export function changesTar(sink: (bytes: Uint8Array) => void, changes: readonly Change[]): void {
  const writer = new TarWriter(sink, { subSecond: true })
  const tree = new TreeWriter(writer)
  for (const { path: text, kind } of changes) {
    const path = Buffer.from(text, 'utf8').toString('latin1')
    const stat = lstatExact(path)
    if (kind === 2) writeWhiteout(writer, path)
    else if (stat !== undefined) tree.add(path, stat, path.slice(1))
  }
  writer.end()
}

function writeWhiteout(writer: TarWriter, path: ByteString): void {
  const name = joinPath(parentPath(path), `.wh.${baseName(path)}`).slice(1)
  writer.entry(tarEntry({ name, type: 'file', mode: 0 }))
}

/** Bytes in files and links, each inode once. */
export function usage(): number {
  const seen = new Set<string>()
  let bytes = 0n
  walk('/', (_path, stat) => {
    if (stat.isDirectory()) return true
    const key = `${stat.dev}:${stat.ino}`
    if (stat.nlink > 1n && seen.has(key)) return false
    seen.add(key)
    bytes += stat.size
    return false
  })
  return Number(bytes)
}
