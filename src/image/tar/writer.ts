/**
 * The writer: ustar, with extended records for what does not fit. The same entries always give the same bytes.
 */
import { internal } from '../../errors.ts'
import { type ByteString, type EntryType, isAscii, type TarEntry, toBytes } from './entry.ts'
import { BLOCK, encodeHeader, fitsOctal } from './header.ts'
import { encodeRecords, type PaxRecord } from './pax.ts'

export interface TarWriterOptions {
  /** Keep nanoseconds of times, in a record of their own (512 to 1,024 bytes an entry). Otherwise they are cut, as Docker does. */
  subSecond?: boolean
}

const FLAGS: Record<EntryType, string> = {
  file: '0',
  link: '1',
  symlink: '2',
  char: '3',
  block: '4',
  directory: '5',
  fifo: '6',
}

export class TarWriter {
  readonly #sink: (bytes: Uint8Array) => void
  readonly #options: TarWriterOptions
  #left = 0
  #padding = 0

  /** @param sink takes the bytes in order; it must not keep them unless it copies */
  constructor(sink: (bytes: Uint8Array) => void, options: TarWriterOptions = {}) {
    this.#sink = sink
    this.#options = options
  }

  /** Begin an entry; `entry.size` bytes of {@link data} must follow. Extents are not written: give the data with its holes. */
  entry(entry: TarEntry): void {
    if (this.#left > 0) throw internal(`tar: ${this.#left} bytes are missing`)
    const name = entry.type === 'directory' && !entry.name.endsWith('/') ? `${entry.name}/` : entry.name
    const size = entry.type === 'file' ? entry.size : 0
    const split = isAscii(name) ? splitName(name) : undefined
    const records = this.#records(entry, name, size, split === undefined)
    const flag = FLAGS[entry.type]
    if (records.length > 0) this.#extended(name, records)
    const { mode, uid, gid, mtime, linkName, userName, groupName, major, minor } = entry
    const [prefix, short] = split ?? ['', name]
    this.#sink(
      encodeHeader(
        { name: short, mode, uid, gid, size, mtime, flag, linkName, userName, groupName, major, minor },
        prefix,
      ),
    )
    this.#left = size
    this.#padding = (BLOCK - (size % BLOCK)) % BLOCK
  }

  #records(entry: TarEntry, name: ByteString, size: number, isLong: boolean): PaxRecord[] {
    const { linkName, uid, gid, mtime, mtimeNanos } = entry
    const records: PaxRecord[] = []
    const isBinary = [name, linkName].some(text => !isAscii(text) && !isUtf8(text))
    if (isBinary) records.push(['hdrcharset', 'BINARY'])
    if (isLong) records.push(['path', name])
    if (linkName.length > 100 || !isAscii(linkName)) records.push(['linkpath', linkName])
    if (!fitsOctal(size, 12)) records.push(['size', String(size)])
    if (!fitsOctal(uid, 8)) records.push(['uid', String(uid)])
    if (!fitsOctal(gid, 8)) records.push(['gid', String(gid)])
    const nanos = this.#options.subSecond ? mtimeNanos : 0
    if (nanos !== 0 || !fitsOctal(mtime, 12)) records.push(['mtime', decimalTime(mtime, nanos)])
    const xattrs = [...(entry.xattrs ?? [])].sort(([a], [b]) => (a < b ? -1 : 1))
    for (const [key, value] of xattrs) records.push([`SCHILY.xattr.${key}`, value.toString('latin1')])
    return records
  }

  #extended(name: ByteString, records: PaxRecord[]): void {
    const bytes = encodeRecords(records)
    const short = `PaxHeaders.0/${name.split('/').filter(Boolean).at(-1) ?? ''}`.slice(0, 100)
    this.#sink(
      encodeHeader({
        name: isAscii(short) ? short : 'PaxHeaders.0/name',
        mode: 0o644,
        uid: 0,
        gid: 0,
        size: bytes.length,
        mtime: 0,
        flag: 'x',
        linkName: '',
        userName: '',
        groupName: '',
        major: 0,
        minor: 0,
      }),
    )
    this.#sink(bytes)
    this.#sink(ZEROS.subarray(0, (BLOCK - (bytes.length % BLOCK)) % BLOCK))
  }

  data(bytes: Uint8Array): void {
    if (bytes.length > this.#left) throw internal('tar: more bytes than the entry announced')
    this.#sink(bytes)
    this.#left -= bytes.length
    if (this.#left === 0 && this.#padding > 0) {
      this.#sink(ZEROS.subarray(0, this.#padding))
      this.#padding = 0
    }
  }

  /** Bytes of the current entry that were announced and not given. */
  get missing(): number {
    return this.#left
  }

  /** Fill up the current entry with zeros: its file became shorter while it was read. */
  fill(): void {
    while (this.#left > 0) this.data(ZEROS.subarray(0, Math.min(this.#left, ZEROS.length)))
  }

  /** An entry with all its data. */
  file(entry: TarEntry, bytes: Uint8Array): void {
    this.entry({ ...entry, size: bytes.length })
    if (bytes.length > 0) this.data(bytes)
  }

  /** The end of the archive. */
  end(): void {
    if (this.#left > 0) throw internal(`tar: ${this.#left} bytes are missing`)
    this.#sink(ZEROS.subarray(0, 2 * BLOCK))
  }
}

const ZEROS = Buffer.alloc(64 * 1024)

/** Into prefix and name of a ustar header; `undefined` where it does not fit. */
function splitName(name: ByteString): [prefix: ByteString, name: ByteString] | undefined {
  if (name.length <= 100) return ['', name]
  if (name.length > 256) return undefined
  const slash = name.lastIndexOf('/', Math.min(155, name.length - 2))
  if (slash <= 0 || name.length - slash - 1 > 100) return undefined
  return [name.slice(0, slash), name.slice(slash + 1)]
}

function isUtf8(text: ByteString): boolean {
  const bytes = toBytes(text)
  return Buffer.from(bytes.toString('utf8'), 'utf8').equals(bytes)
}

function decimalTime(seconds: number, nanos: number): string {
  if (nanos === 0) return String(seconds)
  const fraction = (n: number) => String(n).padStart(9, '0').replace(/0+$/, '')
  if (seconds >= 0) return `${seconds}.${fraction(nanos)}`
  return `-${-seconds - 1}.${fraction(1_000_000_000 - nanos)}`
}
