/** `docker cp`, and the whole of a file system as a tar. */
import * as fs from 'node:fs'
import * as path from 'node:path'
import type { Readable } from 'node:stream'
import { forbidden, GantryError, hasCode, invalid, notFound } from '../errors.ts'
import { openArchive } from '../image/archive/decompress.ts'
import { startJob } from '../image/confined/job.ts'
import * as linux from '../linux/index.ts'
import { resolveUser } from '../runtime/user.ts'
import type { ArchiveRequest } from './archive-task.ts'
import { formatNano } from './clock.ts'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'
import { cleanPath } from './mount-parse.ts'
import type { PathStat } from './results.ts'
import { openInRoot, openRoot, userFiles } from './rootfs.ts'
import type { MountPoint } from './types.ts'

/** A path of a container: the root that it is seen from (a mount of a stopped container is a root of its own), and where it is there. */
interface Place {
  root: number
  /** Absolute in `root`; a trailing `/.` or `/` is kept. */
  path: string
  /** The path in the container. */
  asked: string
  mount: MountPoint | undefined
}

/** Go's `os.FileMode` bits above the permissions. */
const MODE_BITS = {
  dir: 2 ** 31,
  link: 2 ** 27,
  device: 2 ** 26,
  fifo: 2 ** 25,
  socket: 2 ** 24,
  setuid: 2 ** 23,
  setgid: 2 ** 22,
  charDevice: 2 ** 21,
  sticky: 2 ** 20,
}

export async function archiveStat(
  context: EngineContext,
  container: Container,
  ref: string,
  wanted: string,
): Promise<PathStat> {
  return at(context, container, ref, wanted, place => statOf(place))
}

export async function archiveGet(
  context: EngineContext,
  container: Container,
  ref: string,
  wanted: string,
): Promise<{ stat: PathStat; stream: Readable }> {
  return at(context, container, ref, wanted, place => {
    const stat = statOf(place)
    const followed = /\/\.?$/.test(place.path)
    const source = followed ? resolveInRoot(place.root, place.path) : linkItself(place)
    const stream = pack(place.root, source, stat.name, mountsOf(container))
    context.states.note(container, 'archive-path')
    return { stat, stream }
  })
}

export async function archivePut(
  context: EngineContext,
  container: Container,
  ref: string,
  wanted: string,
  tar: Readable,
  options: { noOverwriteDirNonDir?: boolean; copyUidGid?: boolean },
): Promise<void> {
  await at(context, container, ref, wanted, async place => {
    const target = resolveInRoot(place.root, place.path)
    const stats = statInRoot(place.root, target)
    if (!stats.isDirectory()) throw invalid('extraction point is not a directory')
    checkWritable(container, target, place)
    const owner = options.copyUidGid ? ownerOf(context, container) : undefined
    const job = startJob<ArchiveRequest, null>(
      './archive-task',
      import.meta.url,
      `/proc/self/fd/${place.root}`,
      {
        kind: 'unpack',
        path: target,
        noOverwriteDirNonDir: options.noOverwriteDirNonDir ?? false,
        ...(owner && { owner }),
      },
    )
    try {
      for await (const chunk of openArchive(tar)) await job.write(chunk)
      job.end()
    } catch (error) {
      job.cancel(error)
      await job.ended
      throw error
    }
    await job.result
    context.states.note(container, 'extract-to-dir')
  })
}

/** The writable layer and what is below it, without mounts. */
export async function exportContainer(context: EngineContext, container: Container): Promise<Readable> {
  const root = context.snapshots.mount(container.snapshot, { readOnly: true })
  const stream = pack(root, '/', '', [])
  stream.once('close', () => fs.closeSync(root))
  context.states.note(container, 'export')
  return stream
}

/** Places whose content is the container's, though it lies on another file system. */
function mountsOf({ record }: Container): string[] {
  return record.mounts.filter(({ type }) => type !== 'tmpfs').map(({ destination }) => destination)
}

function pack(root: number, source: string, name: string, mounts: string[]): Readable {
  const request: ArchiveRequest = { kind: 'pack', path: source, name, mounts }
  return startJob<ArchiveRequest, null>('./archive-task', import.meta.url, `/proc/self/fd/${root}`, request)
    .output
}

/** Find the place, do the work, close the root; errors in Docker's words. A stream that is answered keeps the root until it ends. */
async function at<T>(
  context: EngineContext,
  container: Container,
  ref: string,
  wanted: string,
  work: (place: Place) => T | Promise<T>,
): Promise<T> {
  const place = findPlace(context, container, wanted)
  let kept = false
  try {
    const result = await work(place)
    const stream = (result as { stream?: Readable } | undefined)?.stream
    if (stream) {
      kept = true
      stream.once('close', () => fs.closeSync(place.root))
    }
    return result
  } catch (error) {
    if (error instanceof GantryError) throw error
    if (hasCode(error, 'ENOENT'))
      throw notFound(`Could not find the file ${wanted} in container ${ref}`, error)
    if (hasCode(error, 'ENOTDIR')) throw invalid(`lstat ${wanted}: not a directory`, error)
    throw error
  } finally {
    if (!kept) fs.closeSync(place.root)
  }
}

function findPlace(context: EngineContext, container: Container, wanted: string): Place {
  const absolute = absolutePath(wanted)
  const mount = container.task ? undefined : mountOf(container, absolute)
  if (!mount) return { root: openRoot(context, container), path: absolute, asked: absolute, mount }
  const stats = fs.statSync(mount.source)
  // A mounted file is seen from the folder that it is in on the host.
  const folder = stats.isDirectory() ? mount.source : path.dirname(mount.source)
  const rest = stats.isDirectory()
    ? absolute.slice(mount.destination.length) || '/'
    : `/${path.basename(mount.source)}`
  return {
    root: fs.openSync(folder, linux.O_PATH | fs.constants.O_DIRECTORY),
    path: rest,
    asked: absolute,
    mount,
  }
}

/** Cleaned, absolute, with the trailing `/` or `/.` that says: the folder that it leads to. */
function absolutePath(wanted: string): string {
  const clean = cleanPath(path.posix.join('/', wanted))
  if (/(^|\/)\.$/.test(wanted)) return clean === '/' ? '/.' : `${clean}/.`
  return wanted.endsWith('/') && clean !== '/' ? `${clean}/` : clean
}

function mountOf(container: Container, absolute: string): MountPoint | undefined {
  return container.record.mounts
    .filter(({ type, destination }) => (type === 'bind' || type === 'volume') && below(absolute, destination))
    .sort((a, b) => b.destination.length - a.destination.length)[0]
}

const below = (inner: string, outer: string): boolean => inner === outer || inner.startsWith(`${outer}/`)

const MOST_LINKS = 255

/** The path without links, as the root sees it. Only for words; what acts on it is confined to the root again. */
function resolveInRoot(root: number, wanted: string): string {
  let resolved: string[] = []
  const todo = wanted.split('/').filter(Boolean)
  for (let links = 0; todo.length > 0; ) {
    const name = todo.shift()!
    if (name === '.') continue
    if (name === '..') {
      resolved.pop()
      continue
    }
    const target = readLinkIn(root, `/${resolved.join('/')}`, name)
    if (target === undefined) resolved.push(name)
    else {
      if (++links > MOST_LINKS) throw invalid(`too many links in ${wanted}`)
      if (target.startsWith('/')) resolved = []
      todo.unshift(...target.split('/').filter(Boolean))
    }
  }
  return `/${resolved.join('/')}`
}

/** Where a link leads; undefined for what is none or is not there. */
function readLinkIn(root: number, folder: string, name: string): string | undefined {
  let parent: number
  try {
    parent = openInRoot(root, folder, linux.O_PATH)
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
  try {
    return fs.readlinkSync(`/proc/self/fd/${parent}/${name}`)
  } catch (error) {
    if (hasCode(error, 'EINVAL', 'ENOENT')) return undefined
    throw error
  } finally {
    fs.closeSync(parent)
  }
}

/** The folder's links resolved, the last name not. */
function linkItself({ root, path: wanted }: Place): string {
  if (wanted === '/') return '/'
  return path.posix.join(resolveInRoot(root, path.posix.dirname(wanted)), path.posix.basename(wanted))
}

function statInRoot(root: number, wanted: string): fs.BigIntStats {
  const fd = openInRoot(root, wanted, linux.O_PATH | fs.constants.O_NOFOLLOW)
  try {
    return fs.fstatSync(fd, { bigint: true })
  } finally {
    fs.closeSync(fd)
  }
}

function statOf(place: Place): PathStat {
  const follow = /\/\.?$/.test(place.path) && place.path !== '/'
  const target = follow ? resolveInRoot(place.root, place.path) : linkItself(place)
  const stats = statInRoot(place.root, target)
  if (follow && !stats.isDirectory()) throw Object.assign(new Error('not a directory'), { code: 'ENOTDIR' })
  const wanted = place.path
  return {
    name: wanted.endsWith('/.') ? '.' : path.posix.basename(place.asked) || '/',
    size: Number(stats.size),
    mode: goMode(stats),
    mtime: formatNano(stats.mtimeNs),
    linkTarget: stats.isSymbolicLink() ? resolveInRoot(place.root, wanted) : '',
  }
}

function goMode(stats: fs.BigIntStats): number {
  const mode = Number(stats.mode)
  let bits = mode & 0o777
  if (stats.isDirectory()) bits += MODE_BITS.dir
  if (stats.isSymbolicLink()) bits += MODE_BITS.link
  if (stats.isFIFO()) bits += MODE_BITS.fifo
  if (stats.isSocket()) bits += MODE_BITS.socket
  if (stats.isBlockDevice()) bits += MODE_BITS.device
  if (stats.isCharacterDevice()) bits += MODE_BITS.device + MODE_BITS.charDevice
  if (mode & 0o4000) bits += MODE_BITS.setuid
  if (mode & 0o2000) bits += MODE_BITS.setgid
  if (mode & 0o1000) bits += MODE_BITS.sticky
  return bits
}

function checkWritable({ record }: Container, target: string, place: Place): void {
  const mount =
    place.mount ??
    record.mounts
      .filter(({ destination }) => below(target, destination))
      .sort((a, b) => b.destination.length - a.destination.length)[0]
  if (mount && !mount.rw) throw forbidden('mounted volume is marked read-only')
  if (!mount && record.host.readonlyRootfs) throw forbidden('container rootfs is marked read-only')
}

function ownerOf(context: EngineContext, container: Container): { uid: number; gid: number } {
  const { uid, gid } = resolveUser({ user: container.record.config.user, ...userFiles(context, container) })
  return { uid, gid }
}
