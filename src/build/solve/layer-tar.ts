/**
 * A layer as a tar: what overlayfs keeps of a step's changes, with whiteouts as the OCI image-spec has them (layer.md). Entries
 * are in order of their names, so that equal changes are equal bytes. Reads synchronously: runs in a worker thread.
 */
import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import { hasCode } from '../../errors.ts'
import { type ByteString, fromText, isAscii, toText } from '../../image/tar/entry.ts'
import { encodeHeader, fitsOctal } from '../../image/tar/header.ts'
import { fsPath } from '../../image/tar/path.ts'
import { encodeRecords, type PaxRecord } from '../../image/tar/pax.ts'
import type { Digest } from '../../image/types.ts'
import * as linux from '../../linux/index.ts'

const BLOCK = 512
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
}

/** Write the tar of the overlay layer in `folder` to `file`. */
export async function writeLayerTar(
  folder: string,
  file: string,
  options: LayerTarOptions,
): Promise<LayerTarResult> {
  const out = new TarFile(await fs.promises.open(file, 'wx', 0o600))
  try {
    const walk = new LayerWalk(out, options)
    for (const _ of walk.walk(fromText(folder), '')) await out.flush()
    return await out.finish()
  } finally {
    await out.close()
  }
}

/** A file that is written in large pieces and summed on the way. While one piece is written, the next is read. */
class TarFile {
  readonly #file: fs.promises.FileHandle
  readonly #sum = createHash('sha256')
  #buffer = Buffer.allocUnsafe(CHUNK)
  #other = Buffer.allocUnsafe(CHUNK)
  #writing: Promise<void> = Promise.resolve()
  #used = 0
  #size = 0
  content = 0

  constructor(file: fs.promises.FileHandle) {
    this.#file = file
  }

  /** Time to {@link flush}. */
  get isFull(): boolean {
    return CHUNK - this.#used < SPARE
  }

  /** A header and what goes with it. */
  write(bytes: Buffer): void {
    if (this.#used + bytes.length > this.#buffer.length) {
      this.#buffer = Buffer.concat([this.#buffer.subarray(0, this.#used), Buffer.alloc(bytes.length + CHUNK)])
    }
    bytes.copy(this.#buffer, this.#used)
    this.#used += bytes.length
  }

  /** A file's bytes, exactly `size` of them, whatever happens to it meanwhile. Yields where it is time to flush. */
  *writeFile(place: ByteString, size: number): Generator<void> {
    const fd = fs.openSync(fsPath(place), fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW)
    try {
      for (let left = size; left > 0; ) {
        if (this.isFull) yield
        const room = Math.min(this.#buffer.length - this.#used, left)
        const n = fs.readSync(fd, this.#buffer, this.#used, room, null)
        if (n === 0) throw new Error(`${place} became shorter while it was read`)
        this.#used += n
        left -= n
      }
    } finally {
      fs.closeSync(fd)
    }
    this.content += size
    this.pad(size)
  }

  pad(size: number): void {
    const rest = size % BLOCK
    if (rest > 0) this.write(Buffer.alloc(BLOCK - rest))
  }

  /** Begin to write what there is, when what was begun before is written. */
  async flush(): Promise<void> {
    const bytes = this.#buffer.subarray(0, this.#used)
    this.#sum.update(bytes)
    await this.#writing
    this.#writing = this.#put(bytes)
    this.#writing.catch(() => {}) // told by the next one
    ;[this.#buffer, this.#other] = [this.#other, this.#buffer]
    this.#used = 0
  }

  async #put(bytes: Buffer): Promise<void> {
    this.#size += bytes.length
    for (let at = 0; at < bytes.length; ) at += (await this.#file.write(bytes, at)).bytesWritten
  }

  async finish(): Promise<LayerTarResult> {
    this.write(Buffer.alloc(2 * BLOCK))
    await this.flush()
    await this.#writing
    return { digest: `sha256:${this.#sum.digest('hex')}`, size: this.#size, content: this.content }
  }

  async close(): Promise<void> {
    await this.#writing.catch(() => {})
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
    for (const name of fs.readdirSync(fsPath(folder), 'latin1').sort()) {
      yield* this.#entry(`${folder}/${name}`, prefix + name)
      if (this.#out.isFull) yield
    }
  }

  *#entry(place: ByteString, name: ByteString): Generator<void> {
    const stat = fs.lstatSync(fsPath(place), { bigint: true })
    const mode = Number(stat.mode)
    const type = mode & fs.constants.S_IFMT
    if (type === fs.constants.S_IFCHR && stat.rdev === 0n) {
      const slash = name.lastIndexOf('/') + 1
      this.#whiteout(`${name.slice(0, slash)}.wh.${name.slice(slash)}`)
      return
    }
    if (type === fs.constants.S_IFSOCK) return
    if (type === fs.constants.S_IFDIR) {
      const opaque = withAttributes(place, at => linux.getxattr(at, 'trusted.overlay.opaque')?.toString())
      this.#member({ name: `${name}/`, type: '5', stat, size: 0, linkName: '', xattrs: attributes(place) })
      if (opaque === 'y') this.#whiteout(`${name}/.wh..wh..opq`)
      yield* this.walk(place, `${name}/`)
      return
    }
    const shared = stat.nlink > 1n ? `${stat.dev}:${stat.ino}` : undefined
    const first = shared && this.#links.get(shared)
    if (first) {
      this.#member({ name, type: '1', stat, size: 0, linkName: first, xattrs: [] })
      return
    }
    if (shared) this.#links.set(shared, name)
    const isFile = type === fs.constants.S_IFREG
    this.#member({
      name,
      type: TYPES.get(type) ?? '0',
      stat,
      size: isFile ? Number(stat.size) : 0,
      linkName: type === fs.constants.S_IFLNK ? fs.readlinkSync(fsPath(place), 'latin1') : '',
      xattrs: isFile && this.#isBare ? [] : attributes(place),
    })
    if (isFile) yield* this.#out.writeFile(place, Number(stat.size))
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
      this.#out.write(
        block({ name: `PaxHeaders.0/${name}`.slice(0, 100), flag: 'x', size: bytes.length, mtime: 0 }),
      )
      this.#out.write(bytes)
      this.#out.pad(bytes.length)
    }
    const { rdev, type, mode, uid, gid, size } = entry
    const major = (rdev >>> 8) & 0xfff
    const minor = (rdev & 0xff) | ((rdev >>> 12) & 0xfff00)
    this.#out.write(block({ name, flag: type, mode, uid, gid, size, mtime: seconds, linkName, major, minor }))
  }
}

const TYPES = new Map<number, string>([
  [fs.constants.S_IFREG, '0'],
  [fs.constants.S_IFLNK, '2'],
  [fs.constants.S_IFCHR, '3'],
  [fs.constants.S_IFBLK, '4'],
  [fs.constants.S_IFIFO, '6'],
])

function block(fields: {
  name: string
  flag: string
  size: number
  mtime: number
  mode?: number
  uid?: number
  gid?: number
  linkName?: string
  major?: number
  minor?: number
}): Buffer {
  return encodeHeader({
    mode: 0,
    uid: 0,
    gid: 0,
    linkName: '',
    userName: '',
    groupName: '',
    major: 0,
    minor: 0,
    ...fields,
  })
}

function attributes(place: ByteString): [string, Buffer][] {
  try {
    return withAttributes(place, at =>
      linux
        .listxattr(at)
        .filter(name => name === 'security.capability' || name.startsWith('user.'))
        .sort()
        .flatMap(name => {
          const value = linux.getxattr(at, name)
          return value ? [[name, value] as [string, Buffer]] : []
        }),
    )
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
