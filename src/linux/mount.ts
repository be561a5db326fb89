/**
 * Mounts, by the calls of Linux 5.2 and later: a file system or a copy of a tree is first an fd (a detached mount, which
 * nobody sees and which ends with its last fd), and then perhaps moved to a place. fsopen(2), mount_setattr(2), open_tree(2).
 */
import { readSync } from 'node:fs'
import { LinuxError } from './error.ts'
import { check, native } from './native.ts'

const AT_FDCWD = -100
const AT_EMPTY_PATH = 0x1000
const AT_RECURSIVE = 0x8000
const OPEN_TREE_CLONE = 1
const OPEN_TREE_CLOEXEC = 0o2000000

export const MOUNT_ATTR_RDONLY = 0x1
export const MOUNT_ATTR_NOSUID = 0x2
export const MOUNT_ATTR_NODEV = 0x4
export const MOUNT_ATTR_NOEXEC = 0x8
/** The mask of the access-time bits: clear it before setting one of them. */
export const MOUNT_ATTR__ATIME = 0x70
export const MOUNT_ATTR_NOATIME = 0x10
export const MOUNT_ATTR_STRICTATIME = 0x20
export const MOUNT_ATTR_NODIRATIME = 0x80
export const MOUNT_ATTR_NOSYMFOLLOW = 0x200000

const MOVE_MOUNT_F_EMPTY_PATH = 0x4

export const MS_RDONLY = 1
export const MS_NOSUID = 2
export const MS_NODEV = 4
export const MS_NOEXEC = 8
export const MS_REMOUNT = 32
export const MS_BIND = 4096
export const MS_REC = 16384
export const MS_UNBINDABLE = 1 << 17
export const MS_PRIVATE = 1 << 18
export const MS_SLAVE = 1 << 19
export const MS_SHARED = 1 << 20
export const MNT_DETACH = 2

const FSCONFIG_SET_FLAG = 0
const FSCONFIG_SET_STRING = 1
const FSCONFIG_CMD_CREATE = 6

/** A context in which a file system of `type` is configured. Close it when the mount is made. */
export function fsopen(type: string): number {
  return check(native().fsopen(type), 'fsopen', type)
}

export function fsconfigSetString(fs: number, key: string, value: string): void {
  checkFs(fs, native().fsconfig(fs, FSCONFIG_SET_STRING, key, value, 0), `fsconfig ${key}`, value)
}

export function fsconfigSetFlag(fs: number, key: string): void {
  checkFs(fs, native().fsconfig(fs, FSCONFIG_SET_FLAG, key, null, 0), `fsconfig ${key}`)
}

/** Make the superblock. What the kernel has to say about a refusal is in the error's message. */
export function fsconfigCreate(fs: number): void {
  checkFs(fs, native().fsconfig(fs, FSCONFIG_CMD_CREATE, null, null, 0), 'fsconfig create')
}

/** The detached mount of a configured context, with MOUNT_ATTR_ bits. */
export function fsmount(fs: number, attributes = 0): number {
  return check(native().fsmount(fs, attributes), 'fsmount')
}

/** Attach the detached mount `fd` at `target`. */
export function moveMount(
  fd: number,
  target: string,
  options: { targetDirfd?: number; flags?: number } = {},
): void {
  const { targetDirfd = AT_FDCWD, flags = 0 } = options
  check(
    native().moveMount(fd, '', targetDirfd, target, MOVE_MOUNT_F_EMPTY_PATH | flags),
    'move_mount',
    target,
  )
}

/** A detached copy of the mount at `path` (and of what is mounted below, if `recursive`): a bind mount in the hand. */
export function openTree(
  path: string,
  options: { dirfd?: number; recursive?: boolean; flags?: number } = {},
): number {
  const { dirfd = AT_FDCWD, recursive = false, flags = 0 } = options
  const all =
    OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0) | (path === '' ? AT_EMPTY_PATH : 0)
  return check(native().openTree(dirfd, path, all | flags), 'open_tree', path)
}

export interface MountAttributes {
  /** MOUNT_ATTR_ bits. */
  set?: number
  clear?: number
  /** MS_PRIVATE, MS_SLAVE, MS_SHARED or MS_UNBINDABLE. */
  propagation?: number
  recursive?: boolean
}

/** Change the attributes of the mount that `fd` (a detached one, too) refers to. */
export function mountSetattr(fd: number, attributes: MountAttributes): void {
  const { set = 0, clear = 0, propagation = 0, recursive = false } = attributes
  const flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0)
  check(native().mountSetattr(fd, '', flags, set, clear, propagation, 0), 'mount_setattr')
}

/** mount(2). */
export function mount(source: string, target: string, type: string, flags: number, data = ''): void {
  check(native().mount(source, target, type, flags, data), 'mount', target)
}

/** umount2(2). */
export function umount(target: string, flags = 0): void {
  check(native().umount(target, flags), 'umount', target)
}

/** {@link check}, with the kernel's own words on the context added to the message. */
function checkFs(fs: number, result: number, syscall: string, path?: string): void {
  if (result >= 0) return
  const error = new LinuxError(-result, syscall, path)
  const messages: string[] = []
  const buffer = Buffer.alloc(1024)
  try {
    for (;;) messages.push(buffer.toString('utf8', 0, readSync(fs, buffer)).trim())
  } catch {
    // ENODATA: it has said all
  }
  if (messages.length > 0) error.message += `: ${messages.join('; ')}`
  throw error
}
