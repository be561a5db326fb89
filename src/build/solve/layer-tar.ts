/**
 * A layer as a tar: what overlayfs keeps of a step's changes, with whiteouts as the OCI image-spec has them (layer.md). Entries
 * are in order of their names, so that equal changes are equal bytes. Reads synchronously: runs in a worker thread.
 */
import * as fs from 'node:fs'
import { hasCode } from '../../errors.ts'
import { type ByteString, fromText, isAscii, toText } from '../../image/tar/entry.ts'
import { BLOCK, encodeHeader, fitsOctal } from '../../image/tar/header.ts'
import { fsPath } from '../../image/tar/path.ts'
import { encodeRecords, type PaxRecord } from '../../image/tar/pax.ts'
import type { Digest } from '../../image/types.ts'
import * as linux from '../../linux/index.ts'
import { ownSummer, type Summer } from './summer.ts'

const CHUNK = 1 << 20
/** Room for a header. */
const SPARE = 8 * BLOCK

export interface LayerTarResult {
  digest: Digest
  /** Bytes of the tar. */
  size: number
  /** Bytes in its files. */
  content: number
}

export interface LayerTarOptions {
  /** Seconds: the latest time that an entry may have. */
  epoch?: number
  /** Files have no attributes: nobody need look for them. Folders may. */
  isBare?: boolean
  /** For what is larger than one piece; summed in this thread where it is absent. */
  summer?: () => Summer
}

/** Write the tar of the overlay layer in `folder` to `file`. */
export async function writeLayerTar(
  folder: string,
  file: string,
  options: LayerTarOptions,
): Promise<LayerTarResult> {
  const out = new TarFile(await fs.promises.open(file, 'wx', 0o600), options)
  try {
    const walk = new LayerWalk(out, options)
    for (const _ of walk.walk(fromText(folder), '')) await out.flush()
    return await out.finish()
  } finally {
    await out.close()
  }
}

/** Shared, so that another thread can sum it. */
const newPiece = (length: number): Buffer => Buffer.from(new SharedArrayBuffer(length))

/** A file that is written in large pieces and summed on the way. While one piece is written and summed, the next is read. */
class TarFile {
  readonly #file: fs.promises.FileHandle
  readonly #newSummer: () => Summer
  #summer: Summer | undefined
  #buffer = newPiece(CHUNK)
  #other = this.#buffer
  #working: Promise<unknown> = Promise.resolve()
  #used = 0
  #size = 0
  content = 0

  constructor(file: fs.promises.FileHandle, { summer = ownSummer }: LayerTarOptions) {
    this.#file = file
    this.#newSummer = summer
  }

  /** Time to {@link flush}. */
  get isFull(): boolean {
    return this.#buffer.length - this.#used < SPARE
  }

  header(fields: Parameters<typeof encodeHeader>[0]): void {
    encodeHeader(fields, '', this.#take(BLOCK))
  }

  write(bytes: Buffer): void {
    bytes.copy(this.#take(bytes.length))
  }

  pad(size: number): void {
    if (size % BLOCK > 0) this.#take(BLOCK - (size % BLOCK)).fill(0)
  }

  /** The next `length` bytes, to be filled. */
  #take(length: number): Buffer {
    const end = this.#used + length
    if (end > this.#buffer.length) {
      const larger = newPiece(end + CHUNK)
      this.#buffer.copy(larger, 0, 0, this.#used)
      this.#buffer = larger
    }
    const taken = this.#buffer.subarray(this.#used, end)
    this.#used = end
    return taken
  }

  /** What `fd` holds, exactly `size` bytes of it, whatever happens to the file meanwhile. Yields where it is time to flush. */
  *writeFile(fd: number, size: number, place: ByteString): Generator<void> {
    for (let left = size; left > 0; ) {
      if (this.isFull) yield
      const room = Math.min(this.#buffer.length - this.#used, left)
      const n = fs.readSync(fd, this.#buffer, this.#used, room, null)
      if (n === 0) throw new Error(`${place} became shorter while it was read`)
      this.#used += n
      left -= n
    }
    this.content += size
    this.pad(size)
  }

  /** Begin to write what there is, when what was begun before is written. */
  async flush(): Promise<void> {
    const bytes = this.#buffer.subarray(0, this.#used)
    await this.#working
    this.#summer ??= this.#newSummer()
    this.#working = Promise.all([this.#put(bytes), this.#summer.update(bytes)])
    this.#working.catch(() => {}) // told by the next one
    const next = this.#other === this.#buffer ? newPiece(CHUNK) : this.#other
    this.#other = this.#buffer
    this.#buffer = next
    this.#used = 0
  }

  async #put(bytes: Buffer): Promise<void> {
    this.#size += bytes.length
    for (let at = 0; at < bytes.length; ) at += (await this.#file.write(bytes, at)).bytesWritten
  }

  async finish(): Promise<LayerTarResult> {
    this.#take(2 * BLOCK).fill(0)
    this.#summer ??= ownSummer()
    await this.flush()
    await this.#working
    const sum = await this.#summer.digest()
    return { digest: `sha256:${sum}`, size: this.#size, content: this.content }
  }

  async close(): Promise<void> {
    await this.#working.catch(() => {})
    this.#summer?.close()
    await this.#file.close()
  }
}

type Stat = fs.BigIntStats
interface Member {
  name: ByteString
  type: string
  stat: Stat
  size: number
  linkName: ByteString
  xattrs: [string, Buffer][]
}

class LayerWalk {
  readonly #out: TarFile
  readonly #latest: bigint | undefined
  readonly #isBare: boolean
  readonly #links = new Map<string, ByteString>()

  constructor(out: TarFile, { epoch, isBare = false }: LayerTarOptions) {
    this.#isBare = isBare
    this.#out = out
    this.#latest = epoch === undefined ? undefined : BigInt(epoch) * 1_000_000_000n
  }

  /** Yields where it is time to flush. */
  *walk(folder: ByteString, prefix: ByteString): Generator<void> {
    const entries = fs.readdirSync(fsPath(folder), { withFileTypes: true, encoding: 'latin1' })
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const place = `${folder}/${entry.name}`
      const name = prefix + entry.name
      if (entry.isFile()) yield* this.#file(place, name)
      else yield* this.#other(place, name)
      if (this.#out.isFull) yield
    }
  }

  *#file(place: ByteString, name: ByteString): Generator<void> {
    const fd = fs.openSync(fsPath(place), fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW)
    try {
      const stat = fs.fstatSync(fd, { bigint: true })
      if (this.#isFurtherName(name, stat)) return
      const size = Number(stat.size)
      const xattrs = this.#isBare ? [] : attributesOf(fd)
      this.#member({ name, type: '0', stat, size, linkName: '', xattrs })
      yield* this.#out.writeFile(fd, size, place)
    } finally {
      fs.closeSync(fd)
    }
  }

  *#other(place: ByteString, name: ByteString): Generator<void> {
    const stat = fs.lstatSync(fsPath(place), { bigint: true })
    const type = Number(stat.mode) & fs.constants.S_IFMT
    if (type === fs.constants.S_IFCHR && stat.rdev === 0n) {
      const slash = name.lastIndexOf('/') + 1
      this.#whiteout(`${name.slice(0, slash)}.wh.${name.slice(slash)}`)
      return
    }
    if (type === fs.constants.S_IFSOCK) return
    if (type === fs.constants.S_IFREG) {
      yield* this.#file(place, name) // on a file system whose folders do not tell the kinds of files
      return
    }
    if (type === fs.constants.S_IFDIR) {
      const opaque = withAttributes(place, at => linux.getxattr(at, 'trusted.overlay.opaque')?.toString())
      this.#member({ name: `${name}/`, type: '5', stat, size: 0, linkName: '', xattrs: attributes(place) })
      if (opaque === 'y') this.#whiteout(`${name}/.wh..wh..opq`)
      yield* this.walk(place, `${name}/`)
      return
    }
    if (this.#isFurtherName(name, stat)) return
    const linkName = type === fs.constants.S_IFLNK ? fs.readlinkSync(fsPath(place), 'latin1') : ''
    this.#member({ name, type: TYPES.get(type)!, stat, size: 0, linkName, xattrs: attributes(place) })
  }

  /** A file that is in the archive already becomes a link to its first name. */
  #isFurtherName(name: ByteString, stat: Stat): boolean {
    if (stat.nlink === 1n) return false
    const file = `${stat.dev}:${stat.ino}`
    const first = this.#links.get(file)
    if (first === undefined) this.#links.set(file, name)
    else this.#member({ name, type: '1', stat, size: 0, linkName: first, xattrs: [] })
    return first !== undefined
  }

  /** Without a time: who unpacks the layer does not keep it, and comes to the same tar again. */
  #whiteout(name: ByteString): void {
    this.#header({
      name,
      type: '0',
      mode: 0,
      uid: 0,
      gid: 0,
      size: 0,
      mtimeNs: 0n,
      linkName: '',
      rdev: 0,
      xattrs: [],
    })
  }

  #member({ name, type, stat, size, linkName, xattrs }: Member): void {
    const mode = Number(stat.mode) & 0o7777
    const device = type === '3' || type === '4' ? Number(stat.rdev) : 0
    const fields = { name, type, mode, uid: Number(stat.uid), gid: Number(stat.gid), size, linkName, xattrs }
    this.#header({ ...fields, mtimeNs: stat.mtimeNs, rdev: device })
  }

  #header(entry: {
    name: ByteString
    type: string
    mode: number
    uid: number
    gid: number
    size: number
    mtimeNs: bigint
    linkName: ByteString
    rdev: number
    xattrs: [string, Buffer][]
  }): void {
    const latest = this.#latest
    const time = latest !== undefined && entry.mtimeNs > latest ? latest : entry.mtimeNs
    const seconds = Number(time / 1_000_000_000n)
    const { name, linkName } = entry
    const records: PaxRecord[] = []
    if (name.length > 100 || !isAscii(name)) records.push(['path', name])
    if (linkName.length > 100 || !isAscii(linkName)) records.push(['linkpath', linkName])
    if (!fitsOctal(entry.size, 12)) records.push(['size', String(entry.size)])
    if (!fitsOctal(entry.uid, 8)) records.push(['uid', String(entry.uid)])
    if (!fitsOctal(entry.gid, 8)) records.push(['gid', String(entry.gid)])
    for (const [key, value] of entry.xattrs) records.push([`SCHILY.xattr.${key}`, value.toString('latin1')])
    if (records.length > 0) {
      const bytes = encodeRecords(records.sort(([a], [b]) => (a < b ? -1 : 1)))
      this.#block({ name: `PaxHeaders.0/${name}`.slice(0, 100), flag: 'x', size: bytes.length, mtime: 0 })
      this.#out.write(bytes)
      this.#out.pad(bytes.length)
    }
    const { rdev, type, mode, uid, gid, size } = entry
    const major = (rdev >>> 8) & 0xfff
    const minor = (rdev & 0xff) | ((rdev >>> 12) & 0xfff00)
    this.#block({ name, flag: type, mode, uid, gid, size, mtime: seconds, linkName, major, minor })
  }

  #block(fields: Pick<HeaderFields, 'name' | 'flag' | 'size' | 'mtime'> & Partial<HeaderFields>): void {
    this.#out.header({ ...NOTHING, ...fields })
  }
}

type HeaderFields = Parameters<typeof encodeHeader>[0]

const NOTHING = { mode: 0, uid: 0, gid: 0, linkName: '', userName: '', groupName: '', major: 0, minor: 0 }

const TYPES = new Map<number, string>([
  [fs.constants.S_IFLNK, '2'],
  [fs.constants.S_IFCHR, '3'],
  [fs.constants.S_IFBLK, '4'],
  [fs.constants.S_IFIFO, '6'],
])

const attributes = (place: ByteString): [string, Buffer][] => withAttributes(place, attributesOf)

function attributesOf(at: string | number): [string, Buffer][] {
  try {
    return linux
      .listxattr(at)
      .filter(name => name === 'security.capability' || name.startsWith('user.'))
      .sort()
      .flatMap(name => {
        const value = linux.getxattr(at, name)
        return value ? [[name, value] as [string, Buffer]] : []
      })
  } catch (error) {
    if (hasCode(error, 'ENOTSUP', 'EOPNOTSUPP', 'ENOENT')) return []
    throw error
  }
}

/** `work` with what the addon takes for the file: its path as text, or where that is not UTF-8 an fd. No link and no device is opened. */
function withAttributes<T>(place: ByteString, work: (at: string | number) => T): T {
  const text = toText(place)
  if (fromText(text) === place) return work(text)
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fs.constants
  const stat = fs.lstatSync(fsPath(place))
  if (!stat.isFile() && !stat.isDirectory()) return work(text) // which is not there
  const fd = fs.openSync(fsPath(place), O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  try {
    return work(fd)
  } finally {
    fs.closeSync(fd)
  }
}
