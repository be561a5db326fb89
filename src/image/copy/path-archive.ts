/**
 * `docker cp`: a path inside a container's root as a tar, and a tar into a folder there. The root is an fd: `/proc/PID/root` of a
 * running container, a detached mount of a stopped one. All work on files is done by a thread confined to that root.
 */
import * as fs from 'node:fs'
import type { Readable } from 'node:stream'
import { invalid } from '../../errors.ts'
import * as linux from '../../linux/index.ts'
import { openArchive } from '../archive/decompress.ts'
import { type Job, startJob } from '../confined/job.ts'
import type { CopyRequest } from '../layer/copy-task.ts'
import type { ExportRequest } from '../layer/export-task.ts'
import { fromText } from '../tar/entry.ts'
import { askedPath, openInside, type PathStat, statPath, withFd } from './path-stat.ts'

export { type PathStat, statPath } from './path-stat.ts'

/**
 * A path with all that is below it. A link is archived as a link, unless the path ends in `/` or `/.`. The caller may close `root` as
 * soon as this returns.
 * @throws LinuxError `ENOENT`, `ENOTDIR`
 */
export function archivePath(
  root: number,
  asked: string,
  signal?: AbortSignal,
): { stat: PathStat; stream: Readable } {
  const stat = statPath(root, asked)
  const { path, name } = askedPath(asked)
  const first = path === '/' && name === '.' ? './' : fromText(name)
  return { stat, stream: exportFrom(root, { path: fromText(path), name: first }, signal) }
}

/** `docker export`: the whole root. The caller may close `root` as soon as this returns. */
export function exportTree(root: number, signal?: AbortSignal): Readable {
  return exportFrom(root, { path: '/', name: '' }, signal)
}

function exportFrom(root: number, request: ExportRequest, signal: AbortSignal | undefined): Readable {
  const held = openInside(root, '/')
  const job = startJob('export', `/proc/self/fd/${held}`, request, { signal })
  void job.ended.then(() => fs.closeSync(held))
  return job.output
}

export interface ExtractOptions {
  /** Refuse to replace a folder by something else and the other way round. */
  noOverwriteDirNonDir?: boolean
  /** Whose everything shall be; otherwise what the archive says. */
  owner?: { uid: number; gid: number }
  signal?: AbortSignal
}

/**
 * Unpack a tar (in any compression) into a folder. Links on the way to it are followed inside the root; names in the archive, and links that
 * it makes, stay inside that folder.
 * @throws LinuxError `ENOENT`; GantryError `invalid` for what is no folder, no archive, or a name that climbs out
 */
export async function extractInto(
  root: number,
  asked: string,
  tar: Readable,
  options: ExtractOptions = {},
): Promise<void> {
  const { path } = askedPath(asked)
  const folder = openInside(root, path)
  try {
    if (!fs.fstatSync(folder).isDirectory()) throw invalid('extraction point is not a directory')
    const request: CopyRequest = {
      umask: process.umask(),
      whiteouts: 'none',
      owner: options.owner,
      keepKinds: options.noOverwriteDirNonDir ? asked : undefined,
    }
    const job = startJob('copy', `/proc/self/fd/${folder}`, request, { signal: options.signal })
    await send(job, tar)
  } finally {
    fs.closeSync(folder)
  }
}

async function send(job: Job<void>, tar: Readable): Promise<void> {
  try {
    for await (const chunk of openArchive(tar)) await job.write(chunk)
    job.end()
    await job.result
  } catch (error) {
    job.cancel(error)
    await job.ended
    throw error
  }
}

/** Whether a path is there and a folder, links followed: where `docker cp` would put things. */
export function isFolder(root: number, inside: string): boolean {
  try {
    return withFd(openInside(root, inside), fd => fs.fstatSync(fd).isDirectory())
  } catch (error) {
    if (error instanceof linux.LinuxError) return false
    throw error
  }
}
