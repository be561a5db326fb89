/** Archives that `ADD` unpacks: tar, plain or compressed. Runs in a worker thread. */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { hasCode, invalid, kindOf } from '../../errors.ts'
import { openArchive } from '../../image/archive/decompress.ts'
import { type ByteString, isAscii, type TarEntry, toBytes, toText } from '../../image/tar/entry.ts'
import { TarParser } from '../../image/tar/parser.ts'
import * as linux from '../../linux/index.ts'
import { decodeName, encodePath, isOdd, makeNode, type Place, setAttribute, setTimes } from './place.ts'
import { type Folder, split, type Tree, using } from './tree.ts'

const BLOCK = 512

/** By its first bytes. A compressed file that holds no tar is no archive. */
export async function isArchive(file: Place): Promise<boolean> {
  const stream = fs.createReadStream(file)
  let head = Buffer.alloc(0)
  try {
    for await (const chunk of openArchive(stream)) {
      head = Buffer.concat([head, chunk.subarray(0, BLOCK)])
      if (head.length >= BLOCK) break
    }
  } catch (error) {
    // A program that is missing is no reason to take the file for something else.
    if (kindOf(error) === 'unavailable' || hasCode(error, 'EIO')) throw error
  } finally {
    stream.destroy()
  }
  return head.length >= BLOCK && isTarHeader(head)
}

/** The checksum of a header is right: the field itself counts as blanks. */
function isTarHeader(block: Buffer): boolean {
  let sum = 0
  for (let index = 0; index < BLOCK; index++) sum += index >= 148 && index < 156 ? 32 : block[index]!
  const written = Number.parseInt(block.toString('latin1', 148, 156).replace(/[\0 ]/g, ''), 8)
  return written === sum && sum !== 256
}

export interface UnpackOptions {
  /** Of everything; as the archive says where absent. */
  owner?: { uid: number; gid: number } | undefined
  /** Bytes that the archive may come to. */
  limit: number
}

/**
 * Extract into the tree, as the bytes come. Names that climb out are an error; links are made, never followed out.
 * @returns whether everything is root's, without extended attributes or second names.
 */
export async function unpackArchive(file: Place, into: Tree, options: UnpackOptions): Promise<boolean> {
  const extractor = new Extractor(into, options.owner)
  const parser = new TarParser(extractor)
  const stream = fs.createReadStream(file, { highWaterMark: 1 << 20 })
  let length = 0
  try {
    for await (const chunk of openArchive(stream)) {
      length += chunk.length
      if (length > options.limit) {
        throw invalid(`archive is larger than the limit of ${options.limit} bytes (max-layer-size)`)
      }
      parser.push(chunk)
    }
    parser.end()
    extractor.finish()
    return extractor.isPlain
  } finally {
    stream.destroy()
    extractor.close()
  }
}

/** Writes the members of an archive, as they come, below a tree. */
export class Extractor {
  readonly #tree: Tree
  readonly #owner: { uid: number; gid: number } | undefined
  /** Times of folders are set last: what is made in them changes them. */
  readonly #folders = new Map<string, TarEntry>()
  #file: { fd: number; entry: TarEntry; place: Place; folder: Folder } | undefined
  #written = 0
  isPlain = true

  constructor(tree: Tree, owner?: { uid: number; gid: number }) {
    this.#tree = tree
    this.#owner = owner
  }

  entry(entry: TarEntry): void {
    this.#closeFile()
    const name = path.posix.normalize(`./${textOf(entry.name)}`).replace(/\/$/, '')
    if (isOdd(name)) this.isPlain = false
    if (name === '..' || name.startsWith('../')) {
      throw invalid(`invalid tar header: ${toText(entry.name)} is outside of the archive`)
    }
    const clean = path.posix.resolve('/', name)
    if (clean === '/') {
      if (entry.type === 'directory') this.#folders.set('/', entry)
      return
    }
    const [parent, base] = split(clean)
    const folder = this.#ensure(parent)
    let keep = false
    try {
      const place = folder.at(base)
      this.#make(entry, place)
      if (entry.type === 'file') {
        this.#written = 0
        this.#file = { fd: fs.openSync(place, 'wx', 0o600), entry, place, folder }
        keep = true
      } else if (entry.type === 'directory') {
        this.#folders.set(clean, entry)
        this.#metadata(place, entry, false)
      } else if (entry.type !== 'link') this.#metadata(place, entry, true)
    } finally {
      if (!keep) folder.close()
    }
  }

  #make(entry: TarEntry, place: Place): void {
    const existing = fs.lstatSync(place, { throwIfNoEntry: false })
    if (existing && entry.type === 'directory' && existing.isDirectory()) return
    if (existing) fs.rmSync(place, { recursive: true, force: true })
    switch (entry.type) {
      case 'directory':
        fs.mkdirSync(place, 0o755)
        return
      case 'symlink':
        fs.symlinkSync(encodePath(textOf(entry.linkName)), place)
        return
      case 'link':
        this.#link(entry, place)
        return
      case 'char':
        makeNode(place, linux.S_IFCHR | entry.mode, entry.major, entry.minor)
        return
      case 'block':
        makeNode(place, linux.S_IFBLK | entry.mode, entry.major, entry.minor)
        return
      case 'fifo':
        makeNode(place, linux.S_IFIFO | entry.mode)
        return
      default:
    }
  }

  /** A hard link's target is looked up in the tree: it cannot reach a file of the host. */
  #link(entry: TarEntry, place: Place): void {
    this.isPlain = false
    const [parent, base] = split(textOf(entry.linkName))
    const folder = this.#tree.tryFolder(parent)
    if (!folder) throw invalid(`invalid hardlink "${toText(entry.linkName)}"`)
    using(folder, open => fs.linkSync(open.at(base), place))
  }

  #ensure(file: string): Folder {
    const found = this.#tree.tryFolder(file)
    if (found) return found
    const [parent, base] = split(file)
    return using(this.#ensure(parent), open => {
      fs.mkdirSync(open.at(base), 0o755)
      return open.enter(base)
    })
  }

  data(bytes: Buffer): void {
    const file = this.#file
    if (!file) return
    const extents = file.entry.extents
    if (!extents) {
      fs.writeSync(file.fd, bytes)
      return
    }
    let rest = bytes
    let skip = this.#written
    for (const extent of extents) {
      if (skip >= extent.length) {
        skip -= extent.length
        continue
      }
      const part = rest.subarray(0, extent.length - skip)
      if (part.length === 0) break
      fs.writeSync(file.fd, part, 0, part.length, extent.offset + skip)
      rest = rest.subarray(part.length)
      skip = 0
    }
    this.#written += bytes.length
  }

  end(): void {
    this.#closeFile()
  }

  #closeFile(): void {
    const file = this.#file
    if (!file) return
    this.#file = undefined
    if (file.entry.extents) fs.ftruncateSync(file.fd, file.entry.size)
    fs.closeSync(file.fd)
    this.#metadata(file.place, file.entry, true)
    file.folder.close()
  }

  #metadata(place: Place, entry: TarEntry, withTimes: boolean): void {
    const { uid, gid } = this.#owner ?? entry
    if (uid !== 0 || gid !== 0 || entry.xattrs?.size) this.isPlain = false
    fs.lchownSync(place, uid, gid)
    if (entry.type !== 'symlink') fs.chmodSync(place, entry.mode)
    for (const [name, value] of entry.xattrs ?? []) {
      try {
        setAttribute(place, name, value)
      } catch (error) {
        if (!hasCode(error, 'ENOTSUP', 'EOPNOTSUPP', 'EPERM')) throw error
      }
    }
    if (withTimes) setTimes(place, timeOf(entry), timeOf(entry))
  }

  /** Let go of a file that was not finished. */
  close(): void {
    if (!this.#file) return
    fs.closeSync(this.#file.fd)
    this.#file.folder.close()
    this.#file = undefined
  }

  finish(): void {
    this.#closeFile()
    for (const [file, entry] of [...this.#folders].reverse()) {
      const folder = this.#tree.tryFolder(file)
      if (folder) using(folder, open => setTimes(open.at('.'), timeOf(entry), timeOf(entry)))
    }
  }
}

const textOf = (name: ByteString): string => (isAscii(name) ? name : decodeName(toBytes(name)))

const timeOf = (entry: TarEntry): bigint => BigInt(entry.mtime) * 1_000_000_000n + BigInt(entry.mtimeNanos)
