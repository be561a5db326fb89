/**
 * What is done to files inside a confined root, each function one idea over the system calls. Only called in a confined
 * worker thread: paths are absolute there and cannot lead out. Paths are {@link ByteString}s.
 */
import * as fs from 'node:fs'
import { hasCode } from '../../errors.ts'
import * as linux from '../../linux/index.ts'
import { type ByteString, isAscii, type TarEntry, toBytes } from '../tar/entry.ts'
import { cleanPath, fsPath, joinPath, parentPath } from '../tar/path.ts'

const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = fs.constants

const NANOS = 1_000_000_000n

/** The text form that the addon takes: the same bytes if they are UTF-8. */
export function linuxPath(path: ByteString): string {
  return isAscii(path) ? path : toBytes(path).toString('utf8')
}

/** Create a file that was not there before; its parents too. Never opens what a link points to. */
export function createFile(path: ByteString, mode: number): number {
  return placing(path, () => fs.openSync(fsPath(path), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode))
}

/**
 * Run `create`, which makes `path`, after making room for it: parents that are missing are made (0755, root), and what is there is
 * removed.
 */
export function placing<T>(path: ByteString, create: () => T): T {
  try {
    return create()
  } catch (error) {
    if (hasCode(error, 'ENOENT')) makeFolders(parentPath(path))
    else if (hasCode(error, 'EEXIST')) removeTree(path)
    else throw error
    return create()
  }
}

/** Also where a part of the path is a link to a folder that is not there yet. */
export function makeFolders(path: ByteString, hops = 0): void {
  try {
    fs.mkdirSync(fsPath(path), { recursive: true, mode: 0o755 })
  } catch (error) {
    if (hops > 8 || !lstat(path)?.isSymbolicLink()) throw error
    const target = fs.readlinkSync(fsPath(path), 'buffer').toString('latin1')
    makeFolders(cleanPath(target.startsWith('/') ? target : joinPath(parentPath(path), target)), hops + 1)
  }
}

export function removeTree(path: ByteString): void {
  fs.rmSync(fsPath(path), { recursive: true, force: true })
}

export function lstat(path: ByteString): fs.Stats | undefined {
  return fs.lstatSync(fsPath(path), { throwIfNoEntry: false })
}

/** Make the node that `entry` describes: anything but a file, a folder or a hard link. */
export function makeSpecial(path: ByteString, entry: TarEntry): void {
  const { type, mode, major, minor } = entry
  if (type === 'symlink') {
    fs.symlinkSync(fsPath(entry.linkName), fsPath(path))
    return
  }
  const kind = type === 'char' ? linux.S_IFCHR : type === 'block' ? linux.S_IFBLK : linux.S_IFIFO
  linux.mknod(linuxPath(path), kind | mode, major, minor)
}

/** Owner, then mode (changing owners clears setuid bits), then attributes (capabilities are cleared as well). */
export function setAttributes(
  path: ByteString,
  entry: TarEntry,
  uid: number,
  gid: number,
  setMode: boolean,
): void {
  if (uid !== 0 || gid !== 0) fs.lchownSync(fsPath(path), uid, gid)
  if (setMode && entry.type !== 'symlink') fs.chmodSync(fsPath(path), entry.mode)
  if (entry.xattrs !== undefined) setXattrs(linuxPath(path), entry.xattrs)
}

/** Overlay's own attributes would change what a layer below shows: never taken from an archive. */
const FORBIDDEN = /^(?:trusted|user)\.overlay\./

/** `on` is a path (links are not followed) or an fd. What the file system cannot hold is left out, as by Docker. */
export function setXattrs(on: string | number, xattrs: Map<string, Buffer>): void {
  for (const [name, value] of xattrs) {
    if (FORBIDDEN.test(name)) continue
    try {
      linux.setxattr(on, name, value)
    } catch (error) {
      if (!hasCode(error, 'ENOTSUP', 'EOPNOTSUPP', 'EPERM')) throw error
    }
  }
}

/** Modification (and access) time of the thing itself, also where it is a link. */
export function setTimes(path: ByteString, mtime: number, nanos: number): void {
  if (nanos === 0) {
    fs.lutimesSync(fsPath(path), mtime, mtime)
    return
  }
  const time = BigInt(mtime) * NANOS + BigInt(nanos)
  linux.lutimens(linuxPath(path), time, time)
}

/** A system error in Docker's form: `write /usr/lib/x: no space left on device`. */
export function describe(error: unknown, path: string): Error {
  if (!(error instanceof Error) || !('code' in error)) return error as Error
  const { errno, syscall } = error as NodeJS.ErrnoException
  const text = typeof errno === 'number' ? linux.errnoText(Math.abs(errno))[1] : error.message
  return Object.assign(new Error(`${syscall ?? 'write'} ${path}: ${text}`), { code: error.code })
}
