/** Files of a confined root as entries of an archive. Paths are {@link ByteString}s, absolute in the root. */
import * as fs from 'node:fs'
import { hasCode } from '../../errors.ts'
import * as linux from '../../linux/index.ts'
import { type ByteString, type EntryType, type TarEntry, tarEntry } from '../tar/entry.ts'
import { fsPath, joinPath } from '../tar/path.ts'
import type { TarWriter } from '../tar/writer.ts'
import { linuxPath } from './files.ts'

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fs.constants
const BUFFER = 256 * 1024

/** Names in a folder, sorted by their bytes, so that the same tree gives the same archive. */
export function sortedNames(folder: ByteString): ByteString[] {
  const names = fs.readdirSync(fsPath(folder), { encoding: 'buffer' }).map(name => name.toString('latin1'))
  return names.sort()
}

/** {@link fs.lstatSync} with nanoseconds; `undefined` for what is gone (a container may be running). */
export function lstatExact(path: ByteString): fs.BigIntStats | undefined {
  return fs.lstatSync(fsPath(path), { bigint: true, throwIfNoEntry: false })
}

/** Each path below `folder`, parents before what is in them. `visit` says whether to go into a folder. */
export function walk(folder: ByteString, visit: (path: ByteString, stat: fs.BigIntStats) => boolean): void {
  let names: ByteString[]
  try {
    names = sortedNames(folder)
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return
    throw error
  }
  for (const name of names) {
    const path = joinPath(folder, name)
    const stat = lstatExact(path)
    if (stat !== undefined && visit(path, stat) && stat.isDirectory()) walk(path, visit)
  }
}

/** Writes files into an archive, hard links among them as links. */
export class TreeWriter {
  readonly #writer: TarWriter
  /** `device:inode` to the name under which it was written. */
  readonly #written = new Map<string, ByteString>()
  #buffer: Buffer | undefined

  constructor(writer: TarWriter) {
    this.#writer = writer
  }

  /** One file, without what is in it if it is a folder. Sockets are left out, as by Docker. `name` is its name in the archive. */
  add(path: ByteString, stat: fs.BigIntStats, name: ByteString): void {
    const type = typeOf(stat)
    if (type === undefined) return
    const entry = entryOf(path, stat, name, type)
    if (type !== 'directory' && stat.nlink > 1n) {
      const key = `${stat.dev}:${stat.ino}`
      const first = this.#written.get(key)
      if (first !== undefined) {
        this.#writer.entry({ ...entry, type: 'link', linkName: first, size: 0 })
        return
      }
      this.#written.set(key, name)
    }
    if (type === 'file') this.#file(path, entry)
    else this.#writer.entry(entry)
  }

  /** A folder's tree, itself included. `name` maps paths to names in the archive. */
  addTree(path: ByteString, name: (path: ByteString) => ByteString): void {
    const stat = lstatExact(path)
    if (stat === undefined) return
    if (path !== '/' || name(path) !== '') this.add(path, stat, name(path))
    if (!stat.isDirectory()) return
    walk(path, (each, eachStat) => {
      this.add(each, eachStat, name(each))
      return true
    })
  }

  #file(path: ByteString, entry: TarEntry): void {
    let fd: number
    try {
      fd = fs.openSync(fsPath(path), O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
    } catch (error) {
      if (hasCode(error, 'ENOENT', 'ELOOP')) return // gone, or swapped, since it was looked at
      throw error
    }
    try {
      this.#writer.entry(entry)
      this.#buffer ??= Buffer.allocUnsafeSlow(BUFFER)
      while (this.#writer.missing > 0) {
        const wanted = Math.min(this.#writer.missing, BUFFER)
        const count = fs.readSync(fd, this.#buffer, 0, wanted, null)
        if (count === 0) this.#writer.fill()
        else this.#writer.data(this.#buffer.subarray(0, count))
      }
    } finally {
      fs.closeSync(fd)
    }
  }
}

function typeOf(stat: fs.BigIntStats): EntryType | undefined {
  if (stat.isFile()) return 'file'
  if (stat.isDirectory()) return 'directory'
  if (stat.isSymbolicLink()) return 'symlink'
  if (stat.isCharacterDevice()) return 'char'
  if (stat.isBlockDevice()) return 'block'
  if (stat.isFIFO()) return 'fifo'
  return undefined
}

function entryOf(path: ByteString, stat: fs.BigIntStats, name: ByteString, type: EntryType): TarEntry {
  const seconds = stat.mtimeNs / 1_000_000_000n
  const nanos = Number(stat.mtimeNs % 1_000_000_000n)
  const entry = tarEntry({
    name,
    type,
    mode: Number(stat.mode) & 0o7777,
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    size: type === 'file' ? Number(stat.size) : 0,
    mtime: Number(seconds) - (nanos < 0 ? 1 : 0),
    mtimeNanos: nanos < 0 ? nanos + 1_000_000_000 : nanos,
  })
  if (type === 'symlink') entry.linkName = fs.readlinkSync(fsPath(path), 'buffer').toString('latin1')
  if (type === 'char' || type === 'block') Object.assign(entry, deviceNumbers(Number(stat.rdev)))
  const xattrs = type === 'file' || type === 'directory' ? readXattrs(path) : undefined
  if (xattrs !== undefined) entry.xattrs = xattrs
  return entry
}

/** As glibc's gnu_dev_major and gnu_dev_minor. */
function deviceNumbers(device: number): { major: number; minor: number } {
  return {
    major: (device >>> 8) & 0xfff,
    minor: (device & 0xff) | ((device >>> 12) & 0xfff00),
  }
}

/** What belongs to the file and not to this host: capabilities and what users set. */
const KEPT = /^(?:security\.capability$|user\.(?!overlay\.))/

function readXattrs(path: ByteString): Map<string, Buffer> | undefined {
  let kept: Map<string, Buffer> | undefined
  try {
    for (const name of linux.listxattr(linuxPath(path))) {
      if (!KEPT.test(name)) continue
      const value = linux.getxattr(linuxPath(path), name)
      if (value !== undefined) (kept ??= new Map()).set(name, value)
    }
  } catch (error) {
    if (!hasCode(error, 'ENOTSUP', 'EOPNOTSUPP', 'ENOENT', 'EPERM')) throw error
  }
  return kept
}
