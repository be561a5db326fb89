/** Extended records (POSIX.1-2001, `pax`): `length key=value\n`, one after another. Values are bytes. */
import type { ByteString, TarEntry } from './entry.ts'
import { invalidHeader } from './header.ts'

export type PaxRecord = [key: ByteString, value: ByteString]

const XATTR = 'SCHILY.xattr.'

/** In the order of the archive: sparse maps of version 0.0 repeat their keys. */
export function decodeRecords(bytes: Buffer): PaxRecord[] {
  const records: PaxRecord[] = []
  let at = 0
  while (at < bytes.length) {
    const space = bytes.indexOf(32, at)
    const digits = space < 0 ? '' : bytes.toString('latin1', at, space)
    const end = at + Number(digits)
    if (!/^[0-9]{1,7}$/.test(digits) || end <= space || end > bytes.length || bytes[end - 1] !== 10) {
      throw invalidHeader()
    }
    const record = bytes.toString('latin1', space + 1, end - 1)
    const equals = record.indexOf('=')
    if (equals <= 0) throw invalidHeader()
    records.push([record.slice(0, equals), record.slice(equals + 1)])
    at = end
  }
  return records
}

/** Let the records override what the header said. Sparse maps are left to {@link file://./sparse.ts}. */
export function applyRecords(entry: TarEntry, records: readonly PaxRecord[]): void {
  for (const [key, value] of records) {
    if (key.startsWith(XATTR)) {
      entry.xattrs ??= new Map()
      entry.xattrs.set(key.slice(XATTR.length), Buffer.from(value, 'latin1'))
    } else if (value !== '') {
      FIELDS[key]?.(entry, value)
    }
  }
}

const FIELDS: Record<string, (entry: TarEntry, value: ByteString) => void> = {
  path: (entry, value) => {
    if (value.includes('\0')) throw invalidHeader()
    entry.name = value
  },
  linkpath: (entry, value) => {
    if (value.includes('\0')) throw invalidHeader()
    entry.linkName = value
  },
  uname: (entry, value) => {
    entry.userName = value
  },
  gname: (entry, value) => {
    entry.groupName = value
  },
  size: (entry, value) => {
    entry.size = decimal(value)
  },
  uid: (entry, value) => {
    entry.uid = decimal(value)
  },
  gid: (entry, value) => {
    entry.gid = decimal(value)
  },
  mtime: (entry, value) => {
    const match = /^(-?)([0-9]+)(?:\.([0-9]*))?$/.exec(value)
    if (match === null) throw invalidHeader()
    const nanos = Number((match[3] ?? '').padEnd(9, '0').slice(0, 9))
    const isNegative = match[1] === '-'
    const seconds = Number(match[2])
    entry.mtime = isNegative ? -seconds - (nanos > 0 ? 1 : 0) : seconds
    entry.mtimeNanos = isNegative && nanos > 0 ? 1_000_000_000 - nanos : nanos
  },
}

/** A non-negative decimal number. */
export function decimal(value: string): number {
  const number = Number(value)
  if (!/^[0-9]+$/.test(value) || !Number.isSafeInteger(number)) throw invalidHeader()
  return number
}

/** Records as bytes; the length counts itself. */
export function encodeRecords(records: readonly PaxRecord[]): Buffer {
  return Buffer.concat(records.map(encodeRecord))
}

function encodeRecord([key, value]: PaxRecord): Buffer {
  const rest = ` ${key}=${value}\n`
  let length = rest.length + 1
  while (String(length).length + rest.length !== length) length++
  return Buffer.from(length + rest, 'latin1')
}
