/** Images on this host: the one thing that the rooms above open. */
import * as fs from 'node:fs'
import { type Logger, silent } from '../logger.ts'
import { ContentStore } from './content-store.ts'
import { ImageStore } from './image-store.ts'
import { OverlaySnapshots } from './overlay.ts'
import type { SnapshotDriver, Snapshots, UnpackLimits } from './snapshots.ts'
import { VfsSnapshots } from './vfs.ts'

export interface StorageOptions {
  /** Data root, absolute. */
  root: string
  /** overlay2 unless told, or vfs where the kernel has no overlayfs for this folder. */
  driver?: SnapshotDriver
  limits?: UnpackLimits
  logger?: Logger
}

export interface Storage {
  content: ContentStore
  snapshots: Snapshots
  images: ImageStore
}

/** Opens (making them where they are not) the stores under a data root, and settles what a crash left. */
export function openStorage(options: StorageOptions): Storage {
  const { root, limits, logger = silent } = options
  fs.mkdirSync(root, { recursive: true, mode: 0o711 })
  const content = new ContentStore(root)
  const driver = options.driver ?? (hasOverlay() ? 'overlay2' : 'vfs')
  const Driver = driver === 'overlay2' ? OverlaySnapshots : VfsSnapshots
  const snapshots = new Driver(root, content, limits)
  return { content, snapshots, images: new ImageStore(content, snapshots, logger) }
}

function hasOverlay(): boolean {
  try {
    return /\toverlay$/m.test(fs.readFileSync('/proc/filesystems', 'utf8'))
  } catch {
    return false
  }
}
