/** One path inside a root that is open as an fd: what `HEAD /containers/{id}/archive` answers. Nothing inside can lead out. */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { hasCode, invalid } from '../../errors.ts'
import * as linux from '../../linux/index.ts'

export interface PathStat {
  /** The last part of the path as asked; `.` or `/` where it ends so. */
  name: string
  size: number
  /** Go's `os.FileMode` bits. */
  mode: number
  /** RFC 3339 with nanoseconds. */
  mtime: string
  /** Absolute inside the root, all links resolved; '' for what is no link. */
  linkTarget: string
}

/** A path as Docker reads it: absolute from the root, and whether its end asks for what a link points to. */
export interface AskedPath {
  /** Absolute, clean; ends in `/.` if {@link follow}. */
  path: string
  /** `/dir/` and `/dir/.` mean the folder, also behind a link. */
  follow: boolean
  name: string
}

export function askedPath(asked: string): AskedPath {
  if (asked === '') throw invalid('bad parameter: path cannot be empty')
  const clean = path.posix.join('/', asked).replace(/(?<=.)\/$/, '')
  const isDot = /(?:^|\/)\.$/.test(asked)
  const follow = isDot || (asked.endsWith('/') && clean !== '/')
  const name = isDot ? '.' : clean === '/' ? '/' : path.posix.basename(clean)
  return { path: follow && clean !== '/' ? `${clean}/.` : clean, follow, name }
}

/** An O_PATH fd of what `inside` names, seen from `root`. */
export function openInside(root: number, inside: string, flags = 0): number {
  return linux.openat2(root, inside, { flags: linux.O_PATH | flags, resolve: linux.RESOLVE_IN_ROOT })
}

/** Run `use` with an fd and close it, whatever happens. */
export function withFd<T>(fd: number, use: (fd: number) => T): T {
  try {
    return use(fd)
  } finally {
    fs.closeSync(fd)
  }
}

/**
 * @param root an O_PATH fd (or a detached mount): the container's `/`
 * @throws LinuxError `ENOENT`, `ENOTDIR`
 */
export function statPath(root: number, asked: string): PathStat {
  const { path: inside, follow, name } = askedPath(asked)
  const stat = withFd(openInside(root, inside, follow ? 0 : fs.constants.O_NOFOLLOW), fd =>
    fs.fstatSync(fd, { bigint: true }),
  )
  return {
    name,
    size: Number(stat.size),
    mode: goMode(Number(stat.mode)),
    mtime: rfc3339(stat.mtimeNs),
    linkTarget: stat.isSymbolicLink() ? linkTarget(root, inside) : '',
  }
}

/** Where a link ends. For a dangling one: where it would. */
function linkTarget(root: number, inside: string): string {
  try {
    return withFd(openInside(root, inside), pathOf)
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) throw error
  }
  const parent = path.posix.dirname(inside)
  return withFd(openInside(root, parent), fd => {
    const target = fs.readlinkSync(`/proc/self/fd/${fd}/${path.posix.basename(inside)}`)
    return path.posix.resolve(pathOf(fd), target)
  })
}

/** As the kernel names it: from the root of its mount. */
function pathOf(fd: number): string {
  return fs.readlinkSync(`/proc/self/fd/${fd}`)
}

/** File type of `st_mode` to Go's bits. */
const KINDS = new Map([
  [0o040000, 2 ** 31],
  [0o120000, 2 ** 27],
  [0o060000, 2 ** 26],
  [0o020000, 2 ** 26 + 2 ** 21],
  [0o010000, 2 ** 25],
  [0o140000, 2 ** 24],
])

/** Go's `os.FileMode` of a `st_mode`. */
export function goMode(mode: number): number {
  return (
    (mode & 0o777) +
    (KINDS.get(mode & 0o170000) ?? 0) +
    (mode & 0o4000 ? 2 ** 23 : 0) +
    (mode & 0o2000 ? 2 ** 22 : 0) +
    (mode & 0o1000 ? 2 ** 20 : 0)
  )
}

function rfc3339(nanoseconds: bigint): string {
  const seconds = nanoseconds / 1_000_000_000n
  const rest = String(nanoseconds % 1_000_000_000n)
    .padStart(9, '0')
    .replace(/0+$/, '')
  const time = new Date(Number(seconds) * 1000).toISOString().slice(0, 19)
  return `${time}${rest === '' ? '' : `.${rest}`}Z`
}
