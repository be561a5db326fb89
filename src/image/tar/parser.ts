/**
 * The reader: bytes in, entries out, no matter where the chunks were cut. It never copies file data, needs no file and no event
 * loop, and so serves streams and threads alike. {@link readTar} wraps it for streams.
 */
import { invalid } from '../../errors.ts'
import { type Extent, type TarEntry, tarEntry } from './entry.ts'
import { BLOCK, decodeHeader, invalidHeader, isZeroBlock, type RawHeader, TYPES } from './header.ts'
import { applyRecords, decodeRecords, type PaxRecord } from './pax.ts'
import {
  checkExtents,
  decodeDataMap,
  decodeOldMap,
  MAX_EXTENTS,
  oldRealSize,
  sparseFromRecords,
} from './sparse.ts'

/** Called in this order for each entry: `entry`, then `data` as often as there are pieces, then `end`. */
export interface TarHandler {
  entry(entry: TarEntry): void
  /** Part of the chunk that was pushed, not a copy. Of a sparse file: its extents, one after another. */
  data(bytes: Buffer): void
  end(): void
}

/** Long names and extended records of one entry, bytes at most. */
const MAX_RECORDS = 1 << 20
const NEWLINE = 10

type State = 'header' | 'data' | 'meta' | 'oldMap' | 'dataMap' | 'skip' | 'over'

export class TarParser {
  readonly #handler: TarHandler
  #state: State = 'header'
  /** An incomplete block, or records being gathered. */
  #held: Buffer = Buffer.alloc(0)
  /** Data bytes (then padding) of the current member that are still to come. */
  #left = 0
  #padding = 0
  #metaFlag = ''
  #records: PaxRecord[] = []
  #longName: string | undefined
  #longLink: string | undefined
  #entry: TarEntry | undefined
  #extents: Extent[] = []
  #stored = 0
  #zeroBlocks = 0

  constructor(handler: TarHandler) {
    this.#handler = handler
  }

  /** Whether the archive's end was seen. Bytes after it are ignored. */
  get isOver(): boolean {
    return this.#state === 'over'
  }

  /** @throws GantryError `invalid` for what is no tar archive or a lying one. */
  push(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length && this.#state !== 'over') {
      if (this.#state === 'data' || this.#state === 'skip') {
        at = this.#consume(chunk, at)
      } else if (this.#held.length === 0 && this.#needed() <= chunk.length - at && this.#needed() === BLOCK) {
        this.#block(chunk, at)
        at += BLOCK
      } else {
        at = this.#hold(chunk, at)
      }
    }
  }

  /** No more bytes. @throws GantryError `invalid` if the archive is not at an end. */
  end(): void {
    if (this.#state === 'over') return
    const isBetween = this.#state === 'header' && this.#held.length === 0 && this.#longName === undefined
    if (!isBetween || this.#records.length > 0) throw invalid('unexpected EOF')
  }

  /** Bytes that must be together before {@link #block} can look at them. */
  #needed(): number {
    return this.#state === 'meta' ? this.#left + this.#padding : BLOCK
  }

  #consume(chunk: Buffer, at: number): number {
    let position = at
    if (this.#left > 0) {
      const end = Math.min(chunk.length, position + this.#left)
      if (this.#state === 'data') this.#handler.data(chunk.subarray(position, end))
      this.#left -= end - position
      position = end
    }
    if (this.#left === 0) {
      const skipped = Math.min(chunk.length - position, this.#padding)
      this.#padding -= skipped
      position += skipped
      if (this.#padding === 0) this.#finish()
    }
    return position
  }

  #finish(): void {
    if (this.#state === 'data') this.#handler.end()
    this.#state = 'header'
  }

  #hold(chunk: Buffer, at: number): number {
    const wanted = this.#needed() - this.#held.length
    const end = Math.min(chunk.length, at + wanted)
    this.#held = Buffer.concat([this.#held, chunk.subarray(at, end)])
    if (this.#held.length === this.#needed()) {
      const block = this.#held
      this.#held = Buffer.alloc(0)
      this.#block(block, 0)
    }
    return end
  }

  #block(bytes: Buffer, at: number): void {
    if (this.#state === 'header') this.#header(bytes, at)
    else if (this.#state === 'meta') this.#meta(bytes.subarray(at, at + this.#left))
    else if (this.#state === 'oldMap') this.#oldMap(bytes, at)
    else this.#dataMap(bytes.subarray(at, at + BLOCK))
  }

  #header(bytes: Buffer, at: number): void {
    if (bytes[at] === 0 && isZeroBlock(bytes, at)) {
      if (++this.#zeroBlocks === 2) this.#state = 'over'
      return
    }
    if (this.#zeroBlocks > 0) throw invalidHeader()
    const header = decodeHeader(bytes, at)
    this.#left = header.size
    if (header.size < 0) throw invalidHeader()
    if ('xgXLK'.includes(header.flag)) this.#beginMeta(header)
    else if (header.flag === 'V') this.#beginData('skip')
    else this.#member(header, bytes, at)
  }

  #beginMeta(header: RawHeader): void {
    if (header.size > MAX_RECORDS) throw invalidHeader()
    this.#padding = padding(header.size)
    this.#metaFlag = header.flag
    this.#state = 'meta'
    if (header.size === 0) this.#meta(Buffer.alloc(0))
  }

  /** Global records (`g`) are ignored, as Docker ignores them. */
  #meta(bytes: Buffer): void {
    this.#state = 'header'
    this.#left = this.#padding = 0
    const flag = this.#metaFlag
    if (flag === 'x' || flag === 'X') this.#records = decodeRecords(bytes)
    else if (flag === 'L') this.#longName = untilNul(bytes)
    else if (flag === 'K') this.#longLink = untilNul(bytes)
  }

  #member(header: RawHeader, bytes: Buffer, at: number): void {
    const type = TYPES[header.flag]
    if (type === undefined) throw invalid(`unhandled tar header type ${header.flag.charCodeAt(0)}`)
    const { name, mode, uid, gid, size, mtime, linkName, userName, groupName, major, minor } = header
    const entry = tarEntry({ name, type, uid, gid, size, mtime, linkName, userName, groupName, major, minor })
    entry.mode = mode & 0o7777
    if (this.#longName !== undefined) entry.name = this.#longName
    if (this.#longLink !== undefined) entry.linkName = this.#longLink
    applyRecords(entry, this.#records)
    const records = this.#records
    this.#records = []
    this.#longName = this.#longLink = undefined
    if (type === 'file' && entry.name.endsWith('/')) entry.type = 'directory'
    this.#entry = entry
    this.#stored = entry.size
    if (entry.type !== 'file') {
      // A link's size is its target's in some tars; only files (and v7's directories) carry data.
      if (entry.type !== 'directory') this.#stored = 0
      entry.size = 0
      this.#emit()
      return
    }
    if (header.flag === 'S') this.#beginOldMap(entry, bytes, at)
    else this.#beginRecordsMap(entry, records)
  }

  #beginOldMap(entry: TarEntry, bytes: Buffer, at: number): void {
    entry.size = oldRealSize(bytes, at)
    const { extents, more } = decodeOldMap(bytes, at, false)
    this.#extents = extents
    if (more) this.#state = 'oldMap'
    else this.#emitSparse(this.#extents)
  }

  #oldMap(bytes: Buffer, at: number): void {
    const { extents, more } = decodeOldMap(bytes, at, true)
    this.#extents.push(...extents)
    if (this.#extents.length > MAX_EXTENTS) throw invalidHeader()
    if (!more) this.#emitSparse(this.#extents)
  }

  #beginRecordsMap(entry: TarEntry, records: readonly PaxRecord[]): void {
    const sparse = records.length === 0 ? undefined : sparseFromRecords(entry, records)
    if (sparse === undefined) this.#emit()
    else if (sparse.extents !== undefined) this.#emitSparse(sparse.extents)
    else {
      this.#state = 'dataMap'
      this.#map = []
      this.#mapLines = 0
    }
  }

  #map: Buffer[] = []
  #mapLines = 0

  #dataMap(block: Buffer): void {
    this.#map.push(Buffer.from(block))
    for (const byte of block) if (byte === NEWLINE) this.#mapLines++
    if (this.#map.length * BLOCK > this.#stored || this.#map.length > MAX_RECORDS / BLOCK)
      throw invalidHeader()
    const count = Number.parseInt(this.#map[0]!.toString('latin1', 0, 12), 10)
    if (this.#mapLines < 1 + 2 * count) return
    const extents = decodeDataMap(Buffer.concat(this.#map))
    this.#stored -= this.#map.length * BLOCK
    this.#emitSparse(extents)
  }

  #emitSparse(extents: Extent[]): void {
    const entry = this.#entry!
    checkExtents(extents, entry.size, this.#stored)
    entry.extents = extents.filter(extent => extent.length > 0)
    this.#emit()
  }

  #emit(): void {
    this.#left = this.#stored
    this.#handler.entry(this.#entry!)
    this.#beginData('data')
  }

  #beginData(state: 'data' | 'skip'): void {
    this.#state = state
    this.#padding = padding(this.#left)
    if (this.#left === 0) this.#finish()
  }
}

function padding(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK
}

function untilNul(bytes: Buffer): string {
  const end = bytes.indexOf(0)
  return bytes.toString('latin1', 0, end < 0 ? bytes.length : end)
}
