/**
 * What every container's root needs and not every image has: places to mount at. It lies between the image and the writable
 * layer, so that `diff` and `commit` do not take it for the container's work. One for each image chain, made when first needed.
 * moby daemon/initlayer/setup_unix.go
 */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { temporaryPath } from '../durable.ts'
import { hasCode } from '../errors.ts'
import type { Snapshots, WritableSnapshot } from '../image/snapshots.ts'
import * as linux from '../linux/index.ts'
import { openInRoot } from './rootfs.ts'

type Kind = 'folder' | 'file' | { link: string }

const CONTENT: Record<string, Kind> = {
  '/.dockerenv': 'file',
  '/dev/console': 'file',
  '/dev/pts': 'folder',
  '/dev/shm': 'folder',
  '/etc/hostname': 'file',
  '/etc/hosts': 'file',
  '/etc/mtab': { link: '/proc/mounts' },
  '/etc/resolv.conf': 'file',
  '/proc': 'folder',
  '/sys': 'folder',
}

export class InitLayers {
  readonly #folder: string
  readonly #snapshots: Snapshots

  constructor(dataRoot: string, snapshots: Snapshots) {
    this.#folder = path.join(dataRoot, 'init-layers')
    this.#snapshots = snapshots
    fs.mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
    for (const name of fs.readdirSync(this.#folder)) {
      if (name !== NO_IMAGE && !snapshots.has(`sha256:${name}`)) {
        fs.rmSync(path.join(this.#folder, name), { recursive: true, force: true })
      }
    }
  }

  /** The snapshot with the layer below its writable one. With vfs there is nothing to put it between. */
  below(snapshot: WritableSnapshot): WritableSnapshot {
    if (snapshot.workdir === '') return snapshot
    const folder = path.join(this.#folder, snapshot.parent?.split(':')[1] ?? NO_IMAGE)
    if (!this.#made.has(folder)) this.#make(folder, snapshot)
    return { ...snapshot, lowerdirs: [folder, ...snapshot.lowerdirs] }
  }

  readonly #made = new Set<string>()

  #make(folder: string, snapshot: WritableSnapshot): void {
    if (!fs.existsSync(folder)) {
      const partial = temporaryPath(this.#folder)
      const root = this.#snapshots.mount(snapshot, { readOnly: true })
      try {
        fs.mkdirSync(partial, { mode: 0o755 })
        copyOwner(root, '/', partial)
        for (const [name, kind] of Object.entries(CONTENT)) addMissing(root, partial, name, kind)
        fs.renameSync(partial, folder)
      } finally {
        fs.closeSync(root)
      }
    }
    this.#made.add(folder)
  }
}

const NO_IMAGE = 'none'

function addMissing(root: number, layer: string, name: string, kind: Kind): void {
  if (lstatInRoot(root, name)) return
  const target = path.join(layer, name)
  const parent = path.dirname(name)
  if (!fs.existsSync(path.join(layer, parent))) {
    fs.mkdirSync(path.join(layer, parent), { mode: 0o755 })
    copyOwner(root, parent, path.join(layer, parent))
  }
  if (kind === 'folder') fs.mkdirSync(target, { mode: 0o755 })
  else if (kind === 'file') fs.writeFileSync(target, '', { mode: 0o755 })
  else fs.symlinkSync(kind.link, target)
}

/** A folder of this layer hides the image's own: it has to look the same. */
function copyOwner(root: number, name: string, target: string): void {
  const stats = lstatInRoot(root, name)
  if (!stats) return
  fs.chownSync(target, stats.uid, stats.gid)
  fs.chmodSync(target, stats.mode & 0o7777)
}

function lstatInRoot(root: number, name: string): fs.Stats | undefined {
  try {
    const fd = openInRoot(root, name, linux.O_PATH | fs.constants.O_NOFOLLOW)
    try {
      return fs.fstatSync(fd)
    } finally {
      fs.closeSync(fd)
    }
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return undefined
    throw error
  }
}
