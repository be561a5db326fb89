/**
 * Looking into a container's root from outside. Every path is resolved by the kernel inside that root (openat2, RESOLVE_IN_ROOT), so
 * a link that an image or a process planted leads nowhere else.
 */
import * as fs from 'node:fs'
import { hasCode } from '../errors.ts'
import type { WritableSnapshot } from '../image/snapshots.ts'
import * as linux from '../linux/index.ts'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'

/** The root of a running container through its first process; else its snapshot, mounted where nobody sees it. */
export function openRoot(context: EngineContext, container: Container): number {
  if (container.task) {
    return fs.openSync(`/proc/${container.task.pid}/root`, linux.O_PATH | fs.constants.O_DIRECTORY)
  }
  return context.snapshots.mount(container.snapshot)
}

/** Open `path` inside the root. Throws LinuxError. */
export function openInRoot(root: number, path: string, flags: number = fs.constants.O_RDONLY): number {
  return linux.openat2(root, path.replace(/^\/+/, '') || '.', {
    flags: flags | linux.O_CLOEXEC,
    resolve: linux.RESOLVE_IN_ROOT | linux.RESOLVE_NO_MAGICLINKS,
  })
}

/** Files that name users are small; what is larger is not one. */
const LARGEST = 4 * 1024 * 1024

/** A regular file's text inside the root; '' where there is none. */
function readInRoot(root: number, path: string): string {
  let fd: number
  try {
    fd = openInRoot(root, path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK)
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR', 'EACCES', 'ELOOP', 'ENXIO')) return ''
    throw error
  }
  try {
    const stats = fs.fstatSync(fd)
    return stats.isFile() && stats.size <= LARGEST ? fs.readFileSync(fd, 'utf8') : ''
  } finally {
    fs.closeSync(fd)
  }
}

/** `/etc/passwd` and `/etc/group`, of which a container's users are made. */
export interface UserFiles {
  passwd: string
  group: string
}

/** Of images, by chain: they never change, and a container that did not write to /etc has its image's. */
const cache = new Map<string, UserFiles>()
const CACHE_SIZE = 64

export function userFiles(context: EngineContext, container: Container): UserFiles {
  const { snapshot } = container
  const key = snapshot.parent
  const untouched = key !== undefined && !container.task && isUntouched(snapshot)
  const known = untouched ? cache.get(key) : undefined
  if (known) return known
  const root = openRoot(context, container)
  try {
    const files = { passwd: readInRoot(root, '/etc/passwd'), group: readInRoot(root, '/etc/group') }
    if (untouched) {
      if (cache.size >= CACHE_SIZE) cache.delete(cache.keys().next().value!)
      cache.set(key, files)
    }
    return files
  } finally {
    fs.closeSync(root)
  }
}

/** Whether the container itself has nothing at /etc (with vfs there is no telling). */
function isUntouched({ upperdir, workdir }: WritableSnapshot): boolean {
  return workdir !== '' && !fs.lstatSync(`${upperdir}/etc`, { throwIfNoEntry: false })
}
