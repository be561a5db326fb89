/** A system call that failed. `code` is the errno's name, as Node's own errors have it. */
import { getSystemErrorMap } from 'node:util'

export class LinuxError extends Error {
  /** `ENOENT`, `EBUSY`, … */
  readonly code: string
  /** Positive, as in errno(3). */
  readonly errno: number
  /** The call, `move_mount` for example. */
  readonly syscall: string
  /** What it was done to, where that is known. */
  readonly path: string | undefined

  constructor(errno: number, syscall: string, path?: string) {
    const [code, text] = errnoText(errno)
    super(`${code}: ${text}, ${syscall}${path === undefined ? '' : ` '${path}'`}`)
    this.name = 'LinuxError'
    this.code = code
    this.errno = errno
    this.syscall = syscall
    this.path = path
  }
}

/** Errnos that libuv has no name for, and those whose libuv text is not the C library's. */
const EXTRA: Record<number, [string, string]> = {
  11: ['EAGAIN', 'resource temporarily unavailable'],
  17: ['EEXIST', 'file exists'],
  22: ['EINVAL', 'invalid argument'],
  10: ['ECHILD', 'no child processes'],
  15: ['ENOTBLK', 'block device required'],
  33: ['EDOM', 'numerical argument out of domain'],
  35: ['EDEADLK', 'resource deadlock avoided'],
  37: ['ENOLCK', 'no locks available'],
  95: ['EOPNOTSUPP', 'operation not supported'],
  116: ['ESTALE', 'stale file handle'],
  117: ['EUCLEAN', 'structure needs cleaning'],
  122: ['EDQUOT', 'disk quota exceeded'],
  126: ['ENOKEY', 'required key not available'],
  8: ['ENOEXEC', 'exec format error'],
}

/** The name and the text of an errno: `[ 'ENOENT', 'no such file or directory' ]`. */
export function errnoText(errno: number): [code: string, text: string] {
  return EXTRA[errno] ?? getSystemErrorMap().get(-errno) ?? [`E${errno}`, `error ${errno}`]
}
