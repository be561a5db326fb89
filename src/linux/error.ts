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

/** Errnos that libuv has no name for, and those whose text is not the one that every other program shows. */
const EXTRA: Record<number, [string, string]> = {
  5: ['EIO', 'input/output error'],
  8: ['ENOEXEC', 'exec format error'],
  10: ['ECHILD', 'no child processes'],
  11: ['EAGAIN', 'resource temporarily unavailable'],
  12: ['ENOMEM', 'cannot allocate memory'],
  14: ['EFAULT', 'bad address'],
  15: ['ENOTBLK', 'block device required'],
  16: ['EBUSY', 'device or resource busy'],
  17: ['EEXIST', 'file exists'],
  21: ['EISDIR', 'is a directory'],
  22: ['EINVAL', 'invalid argument'],
  26: ['ETXTBSY', 'text file busy'],
  33: ['EDOM', 'numerical argument out of domain'],
  35: ['EDEADLK', 'resource deadlock avoided'],
  36: ['ENAMETOOLONG', 'file name too long'],
  37: ['ENOLCK', 'no locks available'],
  40: ['ELOOP', 'too many levels of symbolic links'],
  95: ['EOPNOTSUPP', 'operation not supported'],
  116: ['ESTALE', 'stale file handle'],
  117: ['EUCLEAN', 'structure needs cleaning'],
  122: ['EDQUOT', 'disk quota exceeded'],
  126: ['ENOKEY', 'required key not available'],
}

/** The name and the text of an errno: `[ 'ENOENT', 'no such file or directory' ]`. */
export function errnoText(errno: number): [code: string, text: string] {
  return EXTRA[errno] ?? getSystemErrorMap().get(-errno) ?? [`E${errno}`, `error ${errno}`]
}
