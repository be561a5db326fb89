/**
 * A volume that is empty when a container is made with it takes over what the image has at that place: content, owners, modes, times,
 * links and attributes. moby container/container_unix.go, CopyImagePathContent.
 */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { hasCode } from '../errors.ts'
import type { WritableSnapshot } from '../image/snapshots.ts'
import * as linux from '../linux/index.ts'
import type { EngineContext } from './context.ts'
import { openInRoot } from './rootfs.ts'
import type { ContainerRecord } from './types.ts'

/** Fill those of the volumes in `own` that are empty. The root is only mounted where there is one to fill. */
export async function copyUp(
  context: EngineContext,
  record: ContainerRecord,
  snapshot: WritableSnapshot,
  own: ReadonlySet<string>,
): Promise<void> {
  const mounts = record.mounts.filter(
    mount =>
      mount.type === 'volume' &&
      own.has(mount.name!) &&
      !mount.spec?.volume?.noCopy &&
      fs.readdirSync(context.volumes.dataPath(mount.name!)).length === 0,
  )
  if (mounts.length === 0) return
  const root = context.snapshots.mount(snapshot, { readOnly: true })
  try {
    for (const mount of mounts) {
      const target = await context.volumes.mount(mount.name!, record.id)
      try {
        await copyPath(root, mount.destination, target)
      } finally {
        await context.volumes.unmount(mount.name!, record.id)
      }
    }
  } finally {
    fs.closeSync(root)
  }
}

/** Copy the folder at `source` inside `root` over the empty folder `target`. Nothing where there is no such folder. */
async function copyPath(root: number, source: string, target: string): Promise<void> {
  let fd: number
  try {
    fd = openInRoot(root, source, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY)
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return
    throw error
  }
  try {
    if ((await fs.promises.readdir(target)).length > 0) return
    const inodes = new Map<string, string>()
    await copyFolder(`/proc/self/fd/${fd}/.`, target, inodes)
  } finally {
    fs.closeSync(fd)
  }
}

async function copyFolder(source: string, target: string, inodes: Map<string, string>): Promise<void> {
  for (const name of await fs.promises.readdir(source)) {
    await copyEntry(path.join(source, name), path.join(target, name), inodes)
  }
  copyAttributes(source, target, fs.lstatSync(source, { bigint: true }))
}

async function copyEntry(source: string, target: string, inodes: Map<string, string>): Promise<void> {
  const stats = fs.lstatSync(source, { bigint: true })
  const inode = `${stats.dev}:${stats.ino}`
  const twin = stats.nlink > 1n && !stats.isDirectory() ? inodes.get(inode) : undefined
  if (twin !== undefined) {
    fs.linkSync(twin, target)
    return
  }
  if (stats.isDirectory()) {
    fs.mkdirSync(target, { mode: 0o700 })
    await copyFolder(source, target, inodes)
    return
  }
  inodes.set(inode, target)
  if (stats.isSymbolicLink()) fs.symlinkSync(fs.readlinkSync(source), target)
  else if (stats.isFile()) await fs.promises.copyFile(source, target, fs.constants.COPYFILE_FICLONE)
  else {
    const device = Number(stats.rdev)
    linux.mknod(
      target,
      Number(stats.mode),
      (device >>> 8) & 0xfff,
      (device & 0xff) | ((device >>> 12) & 0xfff00),
    )
  }
  copyAttributes(source, target, stats)
}

function copyAttributes(source: string, target: string, stats: fs.BigIntStats): void {
  fs.lchownSync(target, Number(stats.uid), Number(stats.gid))
  if (!stats.isSymbolicLink()) fs.chmodSync(target, Number(stats.mode & 0o7777n))
  for (const name of linux.listxattr(source)) {
    if (name.startsWith('trusted.overlay.')) continue
    const value = linux.getxattr(source, name)
    if (value) linux.setxattr(target, name, value)
  }
  linux.lutimens(target, stats.atimeNs, stats.mtimeNs)
}
