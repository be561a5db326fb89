/** `docker cp` and `docker export`: which root a path is looked up in, and what may be written there. */
import * as fs from 'node:fs'
import * as path from 'node:path'
import type { Readable } from 'node:stream'
import { forbidden, GantryError, hasCode, invalid, notFound } from '../errors.ts'
import { archivePath, exportTree, extractInto, statPath } from '../image/copy/path-archive.ts'
import * as linux from '../linux/index.ts'
import { resolveUser } from '../runtime/user.ts'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'
import { cleanPath } from './mount-parse.ts'
import type { PathStat } from './results.ts'
import { openInRoot, openRoot, userFiles } from './rootfs.ts'
import type { MountPoint } from './types.ts'

/** A path of a container: the root that it is seen from (a mount of a stopped container is a root of its own), and what it is called there. */
interface Place {
  root: number
  asked: string
  mount: MountPoint | undefined
  /** The last part of the path in the container, where it differs from that in the root. */
  name?: string
}

export async function archiveStat(
  context: EngineContext,
  container: Container,
  ref: string,
  wanted: string,
): Promise<PathStat> {
  return at(context, container, ref, wanted, place => named(statPath(place.root, place.asked), place))
}

export async function archiveGet(
  context: EngineContext,
  container: Container,
  ref: string,
  wanted: string,
): Promise<{ stat: PathStat; stream: Readable }> {
  return at(context, container, ref, wanted, place => {
    const { stat, stream } = archivePath(place.root, place.asked)
    context.states.note(container, 'archive-path')
    return { stat: named(stat, place), stream }
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
    // The folder first: what is not there is told before what may not be written.
    const inside = openInRoot(place.root, place.asked, linux.O_PATH)
    try {
      if (!fs.fstatSync(inside).isDirectory()) throw invalid('extraction point is not a directory')
    } finally {
      fs.closeSync(inside)
    }
    checkWritable(container, wanted, place)
    const owner = options.copyUidGid && container.record.config.user ? ownerOf(context, container) : undefined
    await extractInto(place.root, place.asked, tar, {
      noOverwriteDirNonDir: options.noOverwriteDirNonDir ?? false,
      ...(owner && { owner }),
    })
    context.states.note(container, 'extract-to-dir')
  })
}

/** The writable layer and what is below it, without mounts. */
export async function exportContainer(context: EngineContext, container: Container): Promise<Readable> {
  const root = context.snapshots.mount(container.snapshot, { readOnly: true })
  try {
    return exportTree(root)
  } finally {
    fs.closeSync(root)
    context.states.note(container, 'export')
  }
}

/** Find the place, do the work, close the root; errors in Docker's words. */
async function at<T>(
  context: EngineContext,
  container: Container,
  ref: string,
  wanted: string,
  work: (place: Place) => T | Promise<T>,
): Promise<T> {
  const place = findPlace(context, container, wanted)
  try {
    return await work(place)
  } catch (error) {
    if (error instanceof GantryError) throw error
    if (hasCode(error, 'ENOENT'))
      throw notFound(`Could not find the file ${wanted} in container ${ref}`, error)
    if (hasCode(error, 'ENOTDIR')) throw invalid(`lstat ${wanted}: not a directory`, error)
    throw error
  } finally {
    fs.closeSync(place.root)
  }
}

function findPlace(context: EngineContext, container: Container, wanted: string): Place {
  const absolute = cleanPath(path.posix.join('/', wanted))
  if (container.task) {
    // All of it: without /proc, /sys and /dev of the running container, which are none of its files.
    const root =
      absolute === '/'
        ? context.snapshots.mount(container.snapshot, { readOnly: true })
        : openRoot(context, container)
    return { root, asked: wanted, mount: undefined }
  }
  const mount = mountOf(container, absolute)
  if (!mount) return { root: openRoot(context, container), asked: wanted, mount }
  // A mounted file is seen from the folder that it is in on the host.
  const isFolder = fs.statSync(mount.source).isDirectory()
  const root = fs.openSync(
    isFolder ? mount.source : path.dirname(mount.source),
    linux.O_PATH | fs.constants.O_DIRECTORY,
  )
  const below = absolute.slice(mount.destination.length)
  const tail = /(^|\/)\.$/.test(wanted) ? '/.' : wanted.endsWith('/') ? '/' : ''
  const asked = isFolder ? `${below}${tail}` || '/' : `/${path.basename(mount.source)}`
  return {
    root,
    asked,
    mount,
    ...(below === '' && tail !== '/.' && { name: path.basename(mount.destination) }),
  }
}

const named = (stat: PathStat, { name }: Place): PathStat => (name === undefined ? stat : { ...stat, name })

const isBelow = (inner: string, outer: string): boolean => inner === outer || inner.startsWith(`${outer}/`)

/** The innermost mount with files of the host that `absolute` lies in. */
function mountOf(container: Container, absolute: string): MountPoint | undefined {
  return container.record.mounts
    .filter(
      ({ type, destination }) => (type === 'bind' || type === 'volume') && isBelow(absolute, destination),
    )
    .sort((a, b) => b.destination.length - a.destination.length)[0]
}

function checkWritable(container: Container, wanted: string, place: Place): void {
  const mount = place.mount ?? mountOf(container, cleanPath(path.posix.join('/', wanted)))
  if (mount && !mount.rw) throw forbidden('mounted volume is marked read-only')
  if (!mount && container.record.host.readonlyRootfs) {
    throw forbidden('container rootfs is marked read-only')
  }
}

function ownerOf(context: EngineContext, container: Container): { uid: number; gid: number } {
  const { uid, gid } = resolveUser({ user: container.record.config.user, ...userFiles(context, container) })
  return { uid, gid }
}
