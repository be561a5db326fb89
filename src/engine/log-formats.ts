/** The two shapes of a log file on disk: lines of JSON (Docker's json-file), and Gantry's binary records (`local`). */
import { parseNano } from './clock.ts'

export interface LogEntry {
  stream: 'stdout' | 'stderr'
  /** Nanoseconds since 1970. */
  time: bigint
  /** With its newline, unless it is a part of a longer one. */
  text: Buffer
  attributes?: Record<string, string>
}

export interface LogFormat {
  /** Bytes of the first whole entry at `offset`; 0 where more has to be read. */
  lengthAt(buffer: Buffer, offset: number): number
  /** undefined for what is no entry: a line that a full disk cut off. */
  parse(buffer: Buffer): LogEntry | undefined
  /** Where the last `count` entries of `buffer` begin; -1 where it has not so many. `buffer` ends with a whole entry. */
  lastEntries(buffer: Buffer, count: number): number
}

const NEWLINE = 10

export const jsonFormat: LogFormat = {
  lengthAt(buffer, offset) {
    const end = buffer.indexOf(NEWLINE, offset)
    return end < 0 ? 0 : end + 1 - offset
  },
  parse(buffer) {
    try {
      const line = JSON.parse(buffer.toString('utf8')) as {
        log: string
        stream: string
        time: string
        attrs?: Record<string, string>
      }
      return {
        stream: line.stream === 'stderr' ? 'stderr' : 'stdout',
        time: parseNano(line.time) ?? 0n,
        text: Buffer.from(line.log, 'utf8'),
        ...(line.attrs && { attributes: line.attrs }),
      }
    } catch {
      return undefined
    }
  },
  lastEntries(buffer, count) {
    let at = buffer.length - 1
    for (let left = count; at >= 0; left--) {
      const before = at === 0 ? -1 : buffer.lastIndexOf(NEWLINE, at - 1)
      if (left === 1) return before < 0 ? -1 : before + 1
      at = before
    }
    return -1
  },
}

/** u32 length of the whole, u64 nanoseconds, u8 stream, u8 partial, bytes, u32 length again; little-endian. */
const HEADER = 14
const OVERHEAD = 18

export const binaryFormat: LogFormat = {
  lengthAt(buffer, offset) {
    if (offset + 4 > buffer.length) return 0
    const length = buffer.readUInt32LE(offset)
    return offset + length <= buffer.length ? length : 0
  },
  parse(buffer) {
    if (buffer.length < OVERHEAD) return undefined
    const text = buffer.subarray(HEADER, buffer.length - 4)
    const partial = buffer[13] === 1
    return {
      stream: buffer[12] === 2 ? 'stderr' : 'stdout',
      time: buffer.readBigUInt64LE(4),
      text: partial ? Buffer.from(text) : Buffer.concat([text, Buffer.of(NEWLINE)]),
    }
  },
  lastEntries(buffer, count) {
    let at = buffer.length
    for (let left = count; left > 0; left--) {
      if (at < OVERHEAD) return -1
      const length = buffer.readUInt32LE(at - 4)
      if (length < OVERHEAD || length > at) return -1
      at -= length
    }
    return at
  },
}
