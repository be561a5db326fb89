/**
 * Puts the entries of a layer into the root of the calling (confined) thread. OCI image-spec, layer.md.
 *
 * A layer's folder holds only that layer. With overlay a whiteout becomes a character device 0:0 and an opaque folder gets the
 * attribute `trusted.overlay.opaque`; without, the folder already holds the layers below and whiteouts remove from it.
 */
import * as fs from 'node:fs'
import { type GantryError, invalid, tooLarge } from '../../errors.ts'
import * as linux from '../../linux/index.ts'
import {
  createFile,
  describe,
  linuxPath,
  lstat,
  makeSpecial,
  placing,
  removeTree,
  setAttributes,
  setTimes,
  setXattrs,
} from '../confined/files.ts'
import { type ByteString, type TarEntry, toText } from '../tar/entry.ts'
import type { TarHandler } from '../tar/parser.ts'
import { baseName, cleanPath, escapes, fsPath, joinPath, parentPath } from '../tar/path.ts'

/** `none`: the archive is no layer, and such names are names. */
export type WhiteoutStyle = 'overlay' | 'plain' | 'none'

export interface ApplyOptions {
  whiteouts: WhiteoutStyle
  /** Of the process: bits that a new file does not get without being told again. */
  umask: number
  /** Bytes in files, at most. */
  maxBytes: number
  /** Whose everything shall be, instead of what the archive says. */
  owner?: { uid: number; gid: number } | undefined
  /** Refuse to put a folder where there is none, or something else where there is one; the value is for the message. */
  keepKinds?: string | undefined
}

const PREFIX = '.wh.'
const OPAQUE = '.wh..wh..opq'
/** Old AUFS bookkeeping. */
const AUFS = '.wh..wh.'
const OPAQUE_ATTRIBUTE = 'trusted.overlay.opaque'
const YES = Buffer.from('y')

export class LayerApplier implements TarHandler {
  /** Bytes in files and links: what Docker calls a layer's size. */
  size = 0
  readonly #options: ApplyOptions
  readonly #folders: TarEntry[] = []
  /** Only for plain whiteouts: what this layer itself brought, which its own whiteouts do not touch. */
  readonly #own = new Set<ByteString>()
  #entry: TarEntry | undefined
  #path: ByteString = '/'
  #fd = -1
  #written = 0
  #extent = 0

  constructor(options: ApplyOptions) {
    this.#options = options
  }

  entry(entry: TarEntry): void {
    if (escapes(entry.name)) throw invalid(`invalid entry name "${toText(entry.name)}"`)
    this.#path = cleanPath(entry.name)
    this.#entry = entry
    Object.assign(entry, this.#options.owner)
    this.size += entry.type === 'symlink' ? entry.linkName.length : entry.size
    if (this.size > this.#options.maxBytes) throw layerTooLarge(this.#options.maxBytes)
    try {
      this.#place(entry, this.#path)
    } catch (error) {
      throw describe(error, toText(this.#path))
    }
  }

  #place(entry: TarEntry, path: ByteString): void {
    const base = baseName(path)
    if (base.startsWith(PREFIX) && this.#options.whiteouts !== 'none') {
      this.#whiteout(path, base)
      return
    }
    if (this.#options.whiteouts === 'plain') this.#remember(path)
    if (this.#options.keepKinds !== undefined) this.#checkKind(entry, path)
    switch (entry.type) {
      case 'file':
        this.#fd = createFile(path, entry.mode)
        this.#written = this.#extent = 0
        break
      case 'directory':
        this.#folder(entry, path)
        break
      case 'link':
        this.#link(entry.linkName, path)
        break
      default:
        placing(path, () => makeSpecial(path, entry))
        setAttributes(path, entry, entry.uid, entry.gid, true)
        setTimes(path, entry.mtime, entry.mtimeNanos)
    }
  }

  #checkKind(entry: TarEntry, path: ByteString): void {
    const there = lstat(path)
    if (there === undefined || there.isDirectory() === (entry.type === 'directory')) return
    const [old, wanted] = there.isDirectory()
      ? ['directory', 'non-directory']
      : ['non-directory', 'directory']
    const name = JSON.stringify(toText(path.slice(1)))
    throw invalid(`cannot overwrite ${old} ${name} with ${wanted} "${this.#options.keepKinds}"`)
  }

  #folder(entry: TarEntry, path: ByteString): void {
    const { mode, uid, gid } = entry
    try {
      if (path !== '/') fs.mkdirSync(fsPath(path), mode)
    } catch {
      this.#folderOver(path, mode)
    }
    const isRoot = path === '/'
    if (isRoot) fs.chownSync('/', uid, gid)
    setAttributes(path, entry, uid, gid, isRoot || this.#losesBits(mode))
    this.#folders.push(entry)
  }

  /** Something is there already, or a parent is missing. A whiteout of this layer means that the folder hides the one below. */
  #folderOver(path: ByteString, mode: number): void {
    const there = lstat(path)
    if (there?.isDirectory()) {
      fs.chownSync(fsPath(path), 0, 0)
      fs.chmodSync(fsPath(path), mode)
      return
    }
    placing(path, () => fs.mkdirSync(fsPath(path), mode))
    if (there !== undefined && isWhiteoutNode(there)) this.#hideBelow(path)
  }

  #link(linkName: ByteString, path: ByteString): void {
    if (escapes(linkName)) throw invalid(`invalid hardlink target "${toText(linkName)}"`)
    const target = cleanPath(linkName)
    if (target === path) return
    placing(path, () => fs.linkSync(fsPath(target), fsPath(path)))
  }

  #whiteout(path: ByteString, base: ByteString): void {
    const folder = parentPath(path)
    if (base === OPAQUE) this.#opaque(folder)
    if (base.startsWith(AUFS)) return
    if (base === PREFIX) throw invalid(`invalid whiteout entry "${toText(path.slice(1))}"`)
    const hidden = joinPath(folder, base.slice(PREFIX.length))
    if (this.#options.whiteouts === 'plain') {
      if (!this.#own.has(hidden)) removeTree(hidden)
      return
    }
    const there = lstat(hidden)
    if (there === undefined) placing(hidden, () => linux.mknod(linuxPath(hidden), linux.S_IFCHR, 0, 0))
    else if (there.isDirectory()) this.#hideBelow(hidden)
  }

  #opaque(folder: ByteString): void {
    if (this.#options.whiteouts === 'overlay') {
      if (lstat(folder) === undefined) placing(folder, () => fs.mkdirSync(fsPath(folder), 0o755))
      this.#hideBelow(folder)
      return
    }
    for (const name of readNames(folder)) {
      const path = joinPath(folder, name)
      if (!this.#own.has(path)) removeTree(path)
    }
  }

  #hideBelow(folder: ByteString): void {
    linux.setxattr(linuxPath(folder), OPAQUE_ATTRIBUTE, YES)
  }

  #remember(path: ByteString): void {
    for (let own = path; own !== '/' && !this.#own.has(own); own = parentPath(own)) this.#own.add(own)
  }

  data(bytes: Buffer): void {
    if (this.#fd < 0) return
    try {
      const { extents } = this.#entry!
      if (extents === undefined) this.#write(bytes, null)
      else this.#writeSparse(bytes, extents)
    } catch (error) {
      throw describe(error, toText(this.#path))
    }
  }

  #write(bytes: Buffer, position: number | null): void {
    for (let done = 0; done < bytes.length; ) {
      const at = position === null ? null : position + done
      done += fs.writeSync(this.#fd, bytes, done, bytes.length - done, at)
    }
  }

  #writeSparse(bytes: Buffer, extents: NonNullable<TarEntry['extents']>): void {
    for (let at = 0; at < bytes.length; ) {
      const { offset, length } = extents[this.#extent]!
      const end = Math.min(bytes.length, at + length - this.#written)
      this.#write(bytes.subarray(at, end), offset + this.#written)
      this.#written += end - at
      at = end
      if (this.#written === length) {
        this.#written = 0
        this.#extent++
      }
    }
  }

  end(): void {
    if (this.#fd < 0) return
    const entry = this.#entry!
    const fd = this.#fd
    try {
      if (entry.extents !== undefined) fs.ftruncateSync(fd, entry.size)
      if (entry.uid !== 0 || entry.gid !== 0) fs.fchownSync(fd, entry.uid, entry.gid)
      if (this.#losesBits(entry.mode)) fs.fchmodSync(fd, entry.mode)
      if (entry.xattrs !== undefined) setXattrs(fd, entry.xattrs)
      if (entry.mtimeNanos === 0) fs.futimesSync(fd, entry.mtime, entry.mtime)
      else setTimes(this.#path, entry.mtime, entry.mtimeNanos)
    } catch (error) {
      throw describe(error, toText(this.#path))
    } finally {
      this.#close()
    }
  }

  /** Folders get their times last, since every file put into them changes it. */
  finish(): void {
    for (const folder of this.#folders.reverse()) {
      const path = cleanPath(folder.name)
      if (lstat(path)?.isDirectory()) setTimes(path, folder.mtime, folder.mtimeNanos)
    }
  }

  /** Let go of what is open after a failure. */
  abort(): void {
    if (this.#fd >= 0) this.#close()
  }

  #close(): void {
    fs.closeSync(this.#fd)
    this.#fd = -1
  }

  #losesBits(mode: number): boolean {
    return (mode & ~0o777) !== 0 || (mode & this.#options.umask) !== 0
  }
}

/** For more than `limit` bytes. */
export function layerTooLarge(limit: number): GantryError {
  return tooLarge(`layer is larger than the limit of ${limit} bytes (max-layer-size)`)
}

/** A character device 0:0. overlayfs.rst, "whiteouts and opaque directories" */
export function isWhiteoutNode(stat: fs.Stats): boolean {
  return stat.isCharacterDevice() && stat.rdev === 0
}

/** Names in a folder; none where there is no such folder. */
export function readNames(folder: ByteString): ByteString[] {
  try {
    return fs.readdirSync(fsPath(folder), { encoding: 'buffer' }).map(name => name.toString('latin1'))
  } catch {
    return []
  }
}
