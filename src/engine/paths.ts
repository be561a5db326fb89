/** Where a container's things are, in its folder. */
import * as path from 'node:path'
import type { EngineContext } from './context.ts'
import type { LogConfig } from './types.ts'

export interface ContainerPaths {
  folder: string
  /** The writable snapshot. */
  layer: string
  hosts: string
  hostname: string
  resolvConf: string
  /** /dev/shm, where other containers may join it. */
  shm: string
  /** Mounted images, a folder each. */
  imageMounts: string
}

export function pathsOf({ store }: Pick<EngineContext, 'store'>, id: string): ContainerPaths {
  const folder = store.folderOf(id)
  return {
    folder,
    layer: path.join(folder, 'layer'),
    hosts: path.join(folder, 'hosts'),
    hostname: path.join(folder, 'hostname'),
    resolvConf: path.join(folder, 'resolv.conf'),
    shm: path.join(folder, 'shm'),
    imageMounts: path.join(folder, 'image-mounts'),
  }
}

/** The log file; '' for a driver that has none. */
export function logPathOf(folder: string, id: string, { type }: LogConfig): string {
  if (type === 'json-file') return path.join(folder, `${id}-json.log`)
  if (type === 'local') return path.join(folder, 'local-logs', 'container.log')
  return ''
}
