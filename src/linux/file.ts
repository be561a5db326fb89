/** What Node's `fs` lacks: confined opening, extended attributes, device nodes, exact times, holes, locks. */
import * as fs from 'node:fs'
import { check, native } from './native.ts'

/** No component may be a magic link, such as those in /proc/PID/fd. openat2(2) */
export const RESOLVE_NO_MAGICLINKS = 0x02
/** Fail (EXDEV) rather than leave the folder. */
export const RESOLVE_BENEATH = 0x08
/** Treat the folder as `/`: absolute links and `..` stay inside. */
export const RESOLVE_IN_ROOT = 0x10

export const O_PATH = 0o10000000
export const O_CLOEXEC = 0o2000000

export interface Openat2Options {
  /** O_ flags; O_CLOEXEC is added. */
  flags?: number
  mode?: number
  /** RESOLVE_ flags. */
  resolve?: number
}

/** Open `path` seen from `dirfd`. With {@link RESOLVE_IN_ROOT} no link can lead out. */
export function openat2(dirfd: number, path: string, options: Openat2Options = {}): number {
  const { flags = 0, mode = 0, resolve = 0 } = options
  return check(native().openat2(dirfd, path, flags | O_CLOEXEC, mode, resolve), 'openat2', path)
}

/** The value, or `undefined` where there is none. A path's last link is not followed; an fd stands for itself. */
export function getxattr(path: string | number, name: string): Buffer | undefined {
  const value = native().getxattr(path, name, false)
  return isAbsent(value) ? undefined : asBuffer(check<Uint8Array>(value, 'getxattr', path))
}

export function setxattr(path: string | number, name: string, value: Uint8Array, flags = 0): void {
  check(native().setxattr(path, name, value, flags, false), `setxattr ${name}`, path)
}

/** Names, as the kernel orders them. */
export function listxattr(path: string | number): string[] {
  const names = asBuffer(check<Uint8Array>(native().listxattr(path, false), 'listxattr', path))
  return names.length === 0 ? [] : names.toString('utf8', 0, names.length - 1).split('\0')
}

export const S_IFSOCK = 0o140000
export const S_IFREG = 0o100000
export const S_IFBLK = 0o060000
export const S_IFCHR = 0o020000
export const S_IFIFO = 0o010000

/** mknodat(2): `mode` is type and permissions; the umask applies. */
export function mknod(path: string, mode: number, major = 0, minor = 0, dirfd = -100): void {
  check(native().mknod(dirfd, path, mode, major, minor), 'mknod', path)
}

/** Set access and modification times, in nanoseconds since 1970, of the file itself, also where it is a link. */
export function lutimens(path: string, atime: bigint, mtime: bigint, dirfd = -100): void {
  const times = BigInt64Array.of(...splitTime(atime), ...splitTime(mtime))
  check(native().utimens(dirfd, path, times, 0x100), 'utimensat', path)
}

function splitTime(time: bigint): [seconds: bigint, nanoseconds: bigint] {
  const nanoseconds = ((time % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n
  return [(time - nanoseconds) / 1_000_000_000n, nanoseconds]
}

/** Bring all of the file system that `folder` is on to its disk, on a thread of the pool: it may take seconds. */
export async function syncFileSystem(folder: string): Promise<void> {
  const fd = fs.openSync(folder, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY)
  try {
    check(await native().syncfs(fd), 'syncfs', folder)
  } finally {
    fs.closeSync(fd)
  }
}

/** Lock the open file; `false` where another has it and `wait` is not asked for. Ends with the last fd. */
export function flock(fd: number, kind: 'shared' | 'exclusive' | 'unlock', wait = false): boolean {
  const operation = { shared: 1, exclusive: 2, unlock: 8 }[kind] | (wait ? 0 : 4)
  const result = native().flock(fd, operation)
  if (result === -11) return false
  check(result, 'flock')
  return true
}

/** A file in memory, holding `content`, its offset at 0. */
export function memfdCreate(name: string, content?: Uint8Array): number {
  return check(native().memfdCreate(name, 1, content ?? null), 'memfd_create', name)
}

/** chattr(1)'s `T`. */
const FS_TOPDIR_FL = 0x20000

/**
 * Tell ext4 that the folders in `folder` have nothing to do with each other, so that each gets a block group of its own. Otherwise all of
 * them crowd into one, where each new file searches past the thousands of inodes that were removed in the last seconds: that was four
 * fifths of the time of a `load` after an `rmi`. Other file systems need no such hint.
 */
export function spreadFolders(folder: string): void {
  const fd = fs.openSync(folder, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY)
  try {
    native().addInodeFlags(fd, FS_TOPDIR_FL)
  } finally {
    fs.closeSync(fd)
  }
}

function isAbsent(result: unknown): boolean {
  return result === -61 // ENODATA
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
