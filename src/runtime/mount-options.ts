/** Mount options in fstab's words, as an OCI spec has them, and what they are to mount_setattr(2). Source: mount(8), linux/mount.h. */

import {
  MOUNT_ATTR__ATIME,
  MOUNT_ATTR_NOATIME,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NODIRATIME,
  MOUNT_ATTR_NOEXEC,
  MOUNT_ATTR_NOSUID,
  MOUNT_ATTR_NOSYMFOLLOW,
  MOUNT_ATTR_RDONLY,
  MOUNT_ATTR_STRICTATIME,
  MS_PRIVATE,
  MS_REC,
  MS_SHARED,
  MS_SLAVE,
  MS_UNBINDABLE,
} from '../linux/index.ts'

export interface MountOptions {
  bind: boolean
  /** `rbind` */
  recursive: boolean
  /** MOUNT_ATTR_… to set on the mount, and to clear. */
  set: number
  clear: number
  /** The same for the mount and all below it (`rro`, `rnosuid`, …). */
  deepSet: number
  deepClear: number
  /** MS_PRIVATE, MS_SHARED, …; with MS_REC where asked. */
  propagation: number
  /** The file system's own: `size=1m`, `mode=755`. */
  data: string[]
}

/** [set, clear]; each also exists with `r` in front. */
const ATTRIBUTES: Record<string, [set: number, clear: number]> = {
  ro: [MOUNT_ATTR_RDONLY, 0],
  rw: [0, MOUNT_ATTR_RDONLY],
  nosuid: [MOUNT_ATTR_NOSUID, 0],
  suid: [0, MOUNT_ATTR_NOSUID],
  nodev: [MOUNT_ATTR_NODEV, 0],
  dev: [0, MOUNT_ATTR_NODEV],
  noexec: [MOUNT_ATTR_NOEXEC, 0],
  exec: [0, MOUNT_ATTR_NOEXEC],
  noatime: [MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME],
  relatime: [0, MOUNT_ATTR__ATIME],
  strictatime: [MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME],
  nodiratime: [MOUNT_ATTR_NODIRATIME, 0],
  diratime: [0, MOUNT_ATTR_NODIRATIME],
  nosymfollow: [MOUNT_ATTR_NOSYMFOLLOW, 0],
  symfollow: [0, MOUNT_ATTR_NOSYMFOLLOW],
}

const PROPAGATIONS: Record<string, number> = {
  private: MS_PRIVATE,
  shared: MS_SHARED,
  slave: MS_SLAVE,
  unbindable: MS_UNBINDABLE,
}

/** Mean nothing to a mount: the kernel's defaults, or words for other tools. */
const IGNORED = new Set([
  'defaults',
  'async',
  'norelatime',
  'nostrictatime',
  'atime',
  'loud',
  'tmpcopyup',
  'newinstance',
])

export function parseMountOptions(options: readonly string[] = []): MountOptions {
  const parsed: MountOptions = {
    bind: false,
    recursive: false,
    set: 0,
    clear: 0,
    deepSet: 0,
    deepClear: 0,
    propagation: 0,
    data: [],
  }
  for (const option of options) {
    const deep = option.startsWith('r') && option.slice(1) in ATTRIBUTES && !(option in ATTRIBUTES)
    const attribute = ATTRIBUTES[deep ? option.slice(1) : option]
    const propagation = PROPAGATIONS[option] ?? recursivePropagation(option)
    if (option === 'bind' || option === 'rbind') {
      parsed.bind = true
      parsed.recursive = option === 'rbind'
    } else if (attribute) {
      const [set, clear] = attribute
      const [setKey, clearKey] = deep ? (['deepSet', 'deepClear'] as const) : (['set', 'clear'] as const)
      parsed[setKey] = (parsed[setKey] & ~clear) | set
      parsed[clearKey] = (parsed[clearKey] & ~set) | clear
    } else if (propagation !== undefined) parsed.propagation = propagation
    else if (!IGNORED.has(option)) parsed.data.push(option)
  }
  return parsed
}

function recursivePropagation(option: string): number | undefined {
  const plain = option.startsWith('r') ? PROPAGATIONS[option.slice(1)] : undefined
  return plain === undefined ? undefined : plain | MS_REC
}
