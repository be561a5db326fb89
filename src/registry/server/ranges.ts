/** Byte ranges, asked for (`Range`) and sent (`Content-Range` of an upload's chunk). */

/** Both ends inclusive, as on the wire. */
export interface ByteRange {
  start: number
  end: number
}

/**
 * The one range that a `Range` header asks for of `size` bytes: `undefined` where the whole is to be sent (no header, a
 * unit that is not bytes, several ranges, nonsense: RFC 9110 lets a server ignore those), `'unsatisfiable'` for one that
 * begins behind the end, of the blob or its own.
 */
export function parseRange(
  header: string | undefined,
  size: number,
): ByteRange | 'unsatisfiable' | undefined {
  const match = /^bytes=\s*(\d*)-(\d*)\s*$/.exec(header ?? '')
  if (!match || (match[1] === '' && match[2] === '')) return undefined
  if (match[1] === '') {
    const suffix = Number(match[2])
    return suffix === 0 || size === 0 ? 'unsatisfiable' : { start: Math.max(0, size - suffix), end: size - 1 }
  }
  const start = Number(match[1])
  const end = match[2] === '' ? size - 1 : Math.min(Number(match[2]), size - 1)
  return start > end ? 'unsatisfiable' : { start, end }
}

/** `Content-Range: 0-99` of a chunk, with or without the unit and the total; `undefined` for anything else. */
export function parseChunkRange(header: string): ByteRange | undefined {
  const match = /^(?:bytes[ =])?\s*(\d+)-(\d+)(?:\/(?:\d+|\*))?$/.exec(header.trim())
  if (!match) return undefined
  const range = { start: Number(match[1]), end: Number(match[2]) }
  return range.end < range.start || !Number.isSafeInteger(range.end) ? undefined : range
}
