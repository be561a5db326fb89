/**
 * Names of files are bytes. Here they are text in which a byte that is not part of UTF-8 stands as a lone surrogate (U+DC80 to U+DCFF), so
 * that they compare, split and match as text does, and lose nothing. Node's `fs` takes such a name as a buffer; what the addon does, which
 * only takes text, is done by a way round.
 */
import { isUtf8 } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import * as linux from '../../linux/index.ts'

/** A path as `fs` takes it. */
export type Place = string | Buffer

/** With the flag `u`, halves of a pair are none. */
const LONE = /[\udc80-\udcff]/u
const LONE_EACH = /([\udc80-\udcff])/u

/** Whether a name or path is not UTF-8. */
export const isOdd = (text: string): boolean => LONE.test(text)

export function decodeName(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString('utf8')
  let text = ''
  for (let at = 0; at < bytes.length; ) {
    const length = [1, 2, 3, 4].find(
      count => at + count <= bytes.length && isUtf8(bytes.subarray(at, at + count)),
    )
    if (length === undefined) text += String.fromCharCode(0xdc00 + bytes[at]!)
    else text += bytes.toString('utf8', at, at + length)
    at += length ?? 1
  }
  return text
}

export function encodePath(text: string): Place {
  if (!isOdd(text)) return text
  const parts = text.split(LONE_EACH)
  return Buffer.concat(
    parts.map((part, index) =>
      index % 2 === 1 ? Buffer.of(part.charCodeAt(0) - 0xdc00) : Buffer.from(part),
    ),
  )
}

export const readLink = (place: Place): string => decodeName(fs.readlinkSync(place, 'buffer'))

/** Extended attributes by name; none where the file system has none, or of an odd name that is no file or folder. */
export function attributesOf(place: Place): Map<string, Buffer> {
  return reading(place, at => {
    if (at === undefined) return new Map()
    const found = linux.listxattr(at).flatMap((name): [string, Buffer][] => {
      const value = linux.getxattr(at, name)
      return value ? [[name, value]] : []
    })
    return new Map(found)
  })
}

function reading<T>(place: Place, work: (at: string | number | undefined) => T): T {
  if (typeof place === 'string') return work(place)
  const stat = fs.lstatSync(place)
  if (!stat.isFile() && !stat.isDirectory()) return work(undefined)
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fs.constants
  return opened(place, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, work)
}

export const setAttribute = (place: Place, name: string, value: Buffer): void =>
  writing(place, at => linux.setxattr(at, name, value))

/** Nanoseconds since 1970; links are not followed. */
export const setTimes = (place: Place, atime: bigint, mtime: bigint): void =>
  writing(place, at => linux.lutimens(at, atime, mtime))

export function makeNode(place: Place, mode: number, major = 0, minor = 0): void {
  const plain = typeof place === 'string' ? place : beside(place)
  linux.mknod(plain, mode, major, minor)
  if (plain !== place) fs.renameSync(plain, place)
}

/** A folder is changed from inside; what else has an odd name has a plain one meanwhile, so it must be ours. */
function writing(place: Place, work: (at: string) => void): void {
  if (typeof place === 'string') work(place)
  else if (fs.lstatSync(place).isDirectory()) {
    const flags = linux.O_PATH | fs.constants.O_DIRECTORY | fs.constants.O_NOFOLLOW
    opened(place, flags, fd => work(`/proc/self/fd/${fd}/.`))
  } else {
    const plain = beside(place)
    fs.renameSync(place, plain)
    try {
      work(plain)
    } finally {
      fs.renameSync(plain, place)
    }
  }
}

function beside(place: Buffer): string {
  const folder = place.toString('latin1', 0, place.lastIndexOf('/') + 1)
  return `${folder}.gantry-${randomBytes(8).toString('hex')}`
}

function opened<T>(place: Place, flags: number, work: (fd: number) => T): T {
  const fd = fs.openSync(place, flags)
  try {
    return work(fd)
  } finally {
    fs.closeSync(fd)
  }
}
