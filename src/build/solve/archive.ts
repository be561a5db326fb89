/** Archives that `ADD` unpacks: tar, plain or compressed. Synchronous: runs in a worker thread. */
import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import * as path from 'node:path'
import * as zlib from 'node:zlib'
import { hasCode, invalid } from '../../errors.ts'
import { type TarEntry, toText } from '../../image/tar/entry.ts'
import { TarParser } from '../../image/tar/parser.ts'
import * as linux from '../../linux/index.ts'
import { type Folder, split, type Tree, using } from './tree.ts'

export type ArchiveKind = 'tar' | 'gzip' | 'bzip2' | 'xz' | 'zstd'

const MAGIC: [ArchiveKind, number[]][] = [
  ['gzip', [0x1f, 0x8b, 0x08]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
]

/** What a file is, by its first bytes; `undefined` where it is no archive. A compressed file that holds no tar is none. */
export function archiveKind(file: string): ArchiveKind | undefined {
  const fd = fs.openSync(file, 'r')
  try {
    const head = Buffer.alloc(512)
    const length = fs.readSync(fd, head, 0, 512, 0)
    const found = MAGIC.find(([, magic]) => magic.every((byte, index) => head[index] === byte))
    if (!found) return length === 512 && isTarHeader(head) ? 'tar' : undefined
    const [kind] = found
    const start = decompressStart(file, kind)
    return start.length >= 512 && isTarHeader(start) ? kind : undefined
  } finally {
    fs.closeSync(fd)
  }
}

/** The checksum of a header is right: the field itself counts as blanks. */
function isTarHeader(block: Buffer): boolean {
  let sum = 0
  for (let index = 0; index < 512; index++) sum += index >= 148 && index < 156 ? 32 : block[index]!
  const written = Number.parseInt(block.toString('latin1', 148, 156).replace(/[\0 ]/g, ''), 8)
  return written === sum && sum !== 256
}

function decompressStart(file: string, kind: ArchiveKind): Buffer {
  const fd = fs.openSync(file, 'r')
  try {
    const head = Buffer.alloc(64 * 1024)
    const bytes = head.subarray(0, fs.readSync(fd, head, 0, head.length, 0))
    if (kind === 'gzip') return zlib.gunzipSync(bytes, { finishFlush: zlib.constants.Z_SYNC_FLUSH })
    if (kind === 'zstd') {
      return zlib.zstdDecompressSync(bytes, { finishFlush: zlib.constants.ZSTD_e_flush })
    }
    return external(file, kind, 64 * 1024)
  } catch {
    return Buffer.alloc(0)
  } finally {
    fs.closeSync(fd)
  }
}

/** Node has no xz and no bzip2: their own programs have. `limit` bytes are enough where only the start is wanted. */
function external(file: string, kind: ArchiveKind, limit = MAX_EXTERNAL): Buffer {
  const fd = fs.openSync(file, 'r')
  try {
    const done = spawnSync(kind === 'xz' ? 'xz' : 'bzip2', ['-dc'], {
      stdio: [fd, 'pipe', 'pipe'],
      maxBuffer: limit,
    })
    if (done.error && hasCode(done.error, 'ENOENT')) throw invalid(`${kind} is not installed on this host`)
    if (done.error && !hasCode(done.error, 'ENOBUFS')) throw done.error
    return done.stdout
  } finally {
    fs.closeSync(fd)
  }
}

const MAX_EXTERNAL = 4 * 1024 ** 3

/** Extract into the tree. Names that climb out are an error; links are made, never followed out. */
export function unpackArchive(
  file: string,
  kind: ArchiveKind,
  into: Tree,
  owner: { uid: number; gid: number } | undefined,
): void {
  const extractor = new Extractor(into, owner)
  const parser = new TarParser(extractor)
  for (const chunk of contentOf(file, kind)) parser.push(chunk)
  parser.end()
  extractor.finish()
}

function* contentOf(file: string, kind: ArchiveKind): Generator<Buffer> {
  if (kind === 'gzip') yield zlib.gunzipSync(fs.readFileSync(file))
  else if (kind === 'zstd') yield zlib.zstdDecompressSync(fs.readFileSync(file))
  else if (kind !== 'tar') yield external(file, kind)
  else {
    const fd = fs.openSync(file, 'r')
    try {
      for (;;) {
        const chunk = Buffer.allocUnsafe(1 << 20)
        const length = fs.readSync(fd, chunk)
        if (length === 0) return
        yield chunk.subarray(0, length)
      }
    } finally {
      fs.closeSync(fd)
    }
  }
}

/** Writes the members of an archive, as they come, below a tree. */
export class Extractor {
  readonly #tree: Tree
  readonly #owner: { uid: number; gid: number } | undefined
  /** Times of folders are set last: what is made in them changes them. */
  readonly #folders = new Map<string, TarEntry>()
  #file: { fd: number; entry: TarEntry; place: string; folder: Folder } | undefined
  #written = 0

  constructor(tree: Tree, owner?: { uid: number; gid: number }) {
    this.#tree = tree
    this.#owner = owner
  }

  entry(entry: TarEntry): void {
    this.#closeFile()
    const name = path.posix.normalize(`./${toText(entry.name)}`).replace(/\/$/, '')
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

  #make(entry: TarEntry, place: string): void {
    const existing = fs.lstatSync(place, { throwIfNoEntry: false })
    if (existing && entry.type === 'directory' && existing.isDirectory()) return
    if (existing) fs.rmSync(place, { recursive: true, force: true })
    switch (entry.type) {
      case 'directory':
        fs.mkdirSync(place, 0o755)
        return
      case 'symlink':
        fs.symlinkSync(toText(entry.linkName), place)
        return
      case 'link':
        this.#link(entry, place)
        return
      case 'char':
        linux.mknod(place, linux.S_IFCHR | entry.mode, entry.major, entry.minor)
        return
      case 'block':
        linux.mknod(place, linux.S_IFBLK | entry.mode, entry.major, entry.minor)
        return
      case 'fifo':
        linux.mknod(place, linux.S_IFIFO | entry.mode)
        return
      default:
    }
  }

  /** A hard link's target is looked up in the tree: it cannot reach a file of the host. */
  #link(entry: TarEntry, place: string): void {
    const [parent, base] = split(toText(entry.linkName))
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

  #metadata(place: string, entry: TarEntry, withTimes: boolean): void {
    fs.lchownSync(place, this.#owner?.uid ?? entry.uid, this.#owner?.gid ?? entry.gid)
    if (entry.type !== 'symlink') fs.chmodSync(place, entry.mode)
    for (const [name, value] of entry.xattrs ?? []) {
      try {
        linux.setxattr(place, name, value)
      } catch (error) {
        if (!hasCode(error, 'ENOTSUP', 'EOPNOTSUPP', 'EPERM')) throw error
      }
    }
    if (withTimes) linux.lutimens(place, timeOf(entry), timeOf(entry))
  }

  finish(): void {
    this.#closeFile()
    for (const [file, entry] of [...this.#folders].reverse()) {
      const folder = this.#tree.tryFolder(file)
      if (folder) using(folder, open => linux.lutimens(open.at('.'), timeOf(entry), timeOf(entry)))
    }
  }
}

const timeOf = (entry: TarEntry): bigint => BigInt(entry.mtime) * 1_000_000_000n + BigInt(entry.mtimeNanos)
