/** Sparse files in GNU's four formats: where the data of a file with holes belongs. GNU tar manual, "Sparse Formats". */
import type { Extent, TarEntry } from './entry.ts'
import { decodeNumber, invalidHeader } from './header.ts'
import { decimal, type PaxRecord } from './pax.ts'

/** Extents of one file at most: a longer map is an attack on memory. */
export const MAX_EXTENTS = 1 << 20

/** The old format: four extents in the header, 21 in each block that follows while the block before says so. */
export function decodeOldMap(
  block: Uint8Array,
  at: number,
  isExtension: boolean,
): { extents: Extent[]; more: boolean } {
  const [start, count, flag] = isExtension ? [0, 21, 504] : [386, 4, 482]
  const extents: Extent[] = []
  for (let i = 0; i < count; i++) {
    const position = at + start + i * 24
    if (block[position] === 0) break
    extents.push({
      offset: decodeNumber(block, position, 12),
      length: decodeNumber(block, position + 12, 12),
    })
  }
  return { extents, more: block[at + flag] === 1 }
}

/** The size with holes that an old-format header states. */
export function oldRealSize(block: Uint8Array, at: number): number {
  return decodeNumber(block, at + 483, 12)
}

/** Formats 0.0 and 0.1 keep the map in the records; 1.0 (`inData`) at the beginning of the data. */
export function sparseFromRecords(
  entry: TarEntry,
  records: readonly PaxRecord[],
): { inData: boolean; extents?: Extent[] } | undefined {
  const last = new Map(records)
  const name = last.get('GNU.sparse.name')
  const size = last.get('GNU.sparse.realsize') ?? last.get('GNU.sparse.size')
  if (size === undefined && last.get('GNU.sparse.major') === undefined) return undefined
  if (name !== undefined && name !== '') entry.name = name
  if (size !== undefined) entry.size = decimal(size)
  if (last.get('GNU.sparse.major') === '1' && last.get('GNU.sparse.minor') === '0') return { inData: true }
  const map = last.get('GNU.sparse.map')
  if (map !== undefined)
    return { inData: false, extents: pairs(map === '' ? [] : map.split(',').map(decimal)) }
  const numbers = records
    .filter(([key]) => key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes')
    .map(([, value]) => decimal(value))
  return { inData: false, extents: pairs(numbers) }
}

/** The map of format 1.0: decimal numbers, a line each: how many extents, then offset and length of each. */
export function decodeDataMap(bytes: Buffer): Extent[] {
  let at = 0
  const line = (): number => {
    const end = bytes.indexOf(10, at)
    if (end < 0) throw invalidHeader()
    const number = decimal(bytes.toString('latin1', at, end))
    at = end + 1
    return number
  }
  const count = line()
  if (count > MAX_EXTENTS) throw invalidHeader()
  return pairs(Array.from({ length: count * 2 }, line))
}

function pairs(numbers: number[]): Extent[] {
  if (numbers.length % 2 !== 0 || numbers.length > 2 * MAX_EXTENTS) throw invalidHeader()
  const extents: Extent[] = []
  for (let i = 0; i < numbers.length; i += 2) extents.push({ offset: numbers[i]!, length: numbers[i + 1]! })
  return extents
}

/** Refuse a map that goes backwards, leaves the file, or does not add up to the bytes that are there. */
export function checkExtents(extents: readonly Extent[], size: number, stored: number): void {
  let end = 0
  let sum = 0
  for (const { offset, length } of extents) {
    if (offset < end || offset + length > size || !Number.isSafeInteger(offset + length))
      throw invalidHeader()
    end = offset + length
    sum += length
  }
  if (sum !== stored) throw invalidHeader()
}
