/** The 512-byte header block, read and written: v7, ustar (POSIX.1-1988), GNU and star. tar(5) */
import { invalid } from '../../errors.ts'
import type { ByteString, EntryType } from './entry.ts'

export const BLOCK = 512

/** Go's text, which Docker passes on; tools look for it. */
export const invalidHeader = () => invalid('archive/tar: invalid tar header')

/** Fields of a header block, before long names and extended records are taken into account. */
export interface RawHeader {
  name: ByteString
  mode: number
  uid: number
  gid: number
  size: number
  mtime: number
  /** One character: `0`, `5`, `x`, `L`, … */
  flag: string
  linkName: ByteString
  userName: ByteString
  groupName: ByteString
  major: number
  minor: number
  isGnu: boolean
}

/** What each type flag stands for. v7 writes NUL for a file. */
export const TYPES: Record<string, EntryType> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  S: 'file',
  '1': 'link',
  '2': 'symlink',
  '3': 'char',
  '4': 'block',
  '5': 'directory',
  D: 'directory',
  '6': 'fifo',
}

/** Whether the block is all zeros: two of them end an archive. */
export function isZeroBlock(bytes: Uint8Array, at: number): boolean {
  for (let i = at; i < at + BLOCK; i++) if (bytes[i] !== 0) return false
  return true
}

/**
 * @param bytes holds a whole block at `at`
 * @throws GantryError `invalid` for a wrong checksum or a number that is none
 */
export function decodeHeader(bytes: Buffer, at: number): RawHeader {
  checkSum(bytes, at)
  const magic = bytes.toString('latin1', at + 257, at + 265)
  const isGnu = magic === 'ustar  \0'
  const isPosix = magic.startsWith('ustar\0')
  const hasExtras = isGnu || isPosix
  let name = text(bytes, at, 100)
  if (isPosix) {
    const isStar = bytes.toString('latin1', at + 508, at + 512) === 'tar\0'
    const prefix = text(bytes, at + 345, isStar ? 131 : 155)
    if (prefix !== '') name = `${prefix}/${name}`
  }
  return {
    name,
    mode: decodeNumber(bytes, at + 100, 8),
    uid: decodeNumber(bytes, at + 108, 8),
    gid: decodeNumber(bytes, at + 116, 8),
    size: decodeNumber(bytes, at + 124, 12),
    mtime: decodeNumber(bytes, at + 136, 12),
    flag: String.fromCharCode(bytes[at + 156]!),
    linkName: text(bytes, at + 157, 100),
    userName: hasExtras ? text(bytes, at + 265, 32) : '',
    groupName: hasExtras ? text(bytes, at + 297, 32) : '',
    major: hasExtras ? decodeNumber(bytes, at + 329, 8) : 0,
    minor: hasExtras ? decodeNumber(bytes, at + 337, 8) : 0,
    isGnu,
  }
}

function checkSum(bytes: Uint8Array, at: number): void {
  let unsigned = 0
  for (let i = at; i < at + BLOCK; i++) unsigned += bytes[i]!
  for (let i = at + 148; i < at + 156; i++) unsigned += 32 - bytes[i]!
  const stated = decodeNumber(bytes, at + 148, 8)
  if (stated === unsigned) return
  // Some old tars added signed bytes.
  let signed = unsigned
  for (let i = at; i < at + BLOCK; i++) if (bytes[i]! > 127 && (i < at + 148 || i >= at + 156)) signed -= 256
  if (stated !== signed) throw invalidHeader()
}

function text(bytes: Buffer, at: number, length: number): ByteString {
  let end = at
  while (end < at + length && bytes[end] !== 0) end++
  return bytes.toString('latin1', at, end)
}

/** Octal digits amid spaces and NULs, or (highest bit set) a big-endian two's complement number. */
export function decodeNumber(bytes: Uint8Array, at: number, length: number): number {
  const first = bytes[at]!
  if (first & 0x80) {
    let value = first & 0x40 ? -1n : 0n
    value = (value << 6n) | BigInt(first & 0x3f)
    for (let i = at + 1; i < at + length; i++) value = (value << 8n) | BigInt(bytes[i]!)
    const number = Number(value)
    if (!Number.isSafeInteger(number)) throw invalidHeader()
    return number
  }
  let i = at
  let end = at + length
  while (i < end && (bytes[i] === 32 || bytes[i] === 0)) i++
  while (end > i && (bytes[end - 1] === 32 || bytes[end - 1] === 0)) end--
  let value = 0
  for (; i < end; i++) {
    const digit = bytes[i]!
    if (digit === 0) break
    if (digit < 48 || digit > 55) throw invalidHeader()
    value = value * 8 + digit - 48
  }
  return value
}

/**
 * A header in ustar format, in `block` if it is given. Numbers and names that do not fit are cut: the caller sends extended records
 * ahead.
 */
export function encodeHeader(
  header: Omit<RawHeader, 'isGnu'>,
  prefix: ByteString = '',
  block: Buffer = Buffer.allocUnsafe(BLOCK),
): Buffer {
  block.fill(0)
  block.write(header.name.slice(0, 100), 0, 'latin1')
  encodeOctal(block, header.mode, 100, 8)
  encodeOctal(block, header.uid, 108, 8)
  encodeOctal(block, header.gid, 116, 8)
  encodeOctal(block, header.size, 124, 12)
  encodeOctal(block, header.mtime, 136, 12)
  block.write(header.flag, 156, 'latin1')
  block.write(header.linkName.slice(0, 100), 157, 'latin1')
  block.write('ustar\u000000', 257, 'latin1')
  block.write(header.userName.slice(0, 31), 265, 'latin1')
  block.write(header.groupName.slice(0, 31), 297, 'latin1')
  encodeOctal(block, header.major, 329, 8)
  encodeOctal(block, header.minor, 337, 8)
  block.write(prefix, 345, 'latin1')
  let sum = 8 * 32
  for (let i = 0; i < BLOCK; i++) sum += block[i]!
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return block
}

/** Whether `value` can be written as octal digits in a field of `length` bytes. */
export function fitsOctal(value: number, length: number): boolean {
  return value >= 0 && Number.isInteger(value) && value < 8 ** (length - 1)
}

function encodeOctal(block: Buffer, value: number, at: number, length: number): void {
  let number = fitsOctal(value, length) ? value : 0
  for (let i = at + length - 2; i >= at; i--) {
    block[i] = 48 + (number % 8)
    number = Math.floor(number / 8)
  }
}
