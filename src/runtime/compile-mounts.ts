/** The root and what is mounted in it, as operations. */

import { knowsLowerdirPlus, MOUNT_ATTR_RDONLY, MS_REC, MS_SLAVE, mountOverlay } from '../linux/index.ts'
import type { CgroupLayout } from './cgroup/layout.ts'
import type { LaunchContext } from './compile.ts'
import type { HostFacts } from './host.ts'
import { parseMountOptions } from './mount-options.ts'
import type { Op } from './plan.ts'
import type { Slots } from './slots.ts'
import type { DeviceNode, MountEntry, RuntimeSpec } from './spec.ts'

/** `create` of the mount operations. */
const CREATE = { folder: 1, file: 2, asSource: 3 } as const

/** Make the container's root, out of reach for the host's later mounts. */
export function rootOps(spec: RuntimeSpec, context: LaunchContext, slots: Slots, host: HostFacts): Op[] {
  const propagation = parseMountOptions(spec.linux.rootfsPropagation ? [spec.linux.rootfsPropagation] : [])
  const flags = (propagation.propagation || MS_SLAVE) | MS_REC
  return [{ op: 'propagation', path: '/', flags }, rootOp(context, slots, host)]
}

/** Kernels before 6.5 are not told of an overlay's many layers by an operation of the plan: they get the mount itself. */
function rootOp({ rootfs, describeOnly }: LaunchContext, slots: Slots, host: HostFacts): Op {
  switch (rootfs.type) {
    case 'mountFd':
      return { op: 'rootFd', fd: slots.add(rootfs.fd) }
    case 'path':
      return { op: 'rootBind', path: rootfs.path, recursive: true }
    case 'overlay': {
      const { lowerdirs, upperdir, workdir, options = [] } = rootfs
      if (!knowsLowerdirPlus(host.kernel)) {
        return { op: 'rootFd', fd: describeOnly ? -1 : slots.own(mountOverlay(rootfs)) }
      }
      const lower = lowerdirs.map(folder => `lowerdir+=${folder}`)
      return {
        op: 'rootFs',
        type: 'overlay',
        options: ['source=overlay', ...lower, `upperdir=${upperdir}`, `workdir=${workdir}`, ...options],
      }
    }
  }
}

/** Every mount of the spec, in order. */
export function mountOps(
  spec: RuntimeSpec,
  context: LaunchContext,
  slots: Slots,
  layout: CgroupLayout,
): Op[] {
  return spec.mounts.flatMap(mount => {
    if (mount.type === 'cgroup') return cgroupMountOps(mount, spec, context, layout)
    const fd = context.mountFds?.get(mount.destination)
    return mountOp(mount, fd === undefined ? undefined : slots.add(fd))
  })
}

function mountOp(mount: MountEntry, slot: number | undefined): Op[] {
  const options = parseMountOptions(mount.options)
  if (!options.bind && slot === undefined) {
    return [
      {
        op: 'mountFs',
        type: mount.type ?? 'none',
        target: mount.destination,
        options: withSource(mount.source, options.data),
        attributes: options.set | options.deepSet,
        create: CREATE.folder,
        propagation: options.propagation & ~MS_REC,
      },
    ]
  }
  const deep = options.deepSet !== 0 || options.deepClear !== 0
  const attributes = {
    target: mount.destination,
    set: options.set | options.deepSet,
    clear: options.clear | options.deepClear,
    propagation: options.propagation & ~MS_REC,
    create: CREATE.asSource,
    ...(deep && { deep }),
  }
  return slot === undefined
    ? [{ op: 'mountBind', source: mount.source!, recursive: options.recursive, ...attributes }]
    : [{ op: 'mountFd', fd: slot, ...attributes }]
}

/** What /proc/self/mountinfo shows as the source. */
const withSource = (source: string | undefined, options: string[]): string[] =>
  source ? [`source=${source}`, ...options] : options

// --- /sys/fs/cgroup ---

/** What a container sees of its cgroups: itself, with everything above out of sight. */
function cgroupMountOps(
  mount: MountEntry,
  spec: RuntimeSpec,
  context: LaunchContext,
  layout: CgroupLayout,
): Op[] {
  const { set, data } = parseMountOptions(mount.options)
  const isPrivate = spec.linux.namespaces.some(entry => entry.type === 'cgroup')
  const target = mount.destination
  if (layout.version === 2) {
    const fs: Op = {
      op: 'mountFs',
      type: 'cgroup2',
      target,
      options: withSource('cgroup', data),
      attributes: set,
      create: CREATE.folder,
    }
    return [fs]
  }
  const { path } = context.cgroup
  return [
    {
      op: 'mountFs',
      type: 'tmpfs',
      target,
      options: withSource('tmpfs', ['mode=755']),
      attributes: set & ~MOUNT_ATTR_RDONLY,
      create: CREATE.folder,
    },
    ...layout.hierarchies.flatMap(({ folder, controllers }): Op[] => {
      const name = folder.slice(folder.lastIndexOf('/') + 1)
      const place = `${target}/${name}`
      const own: Op = isPrivate
        ? {
            op: 'mountFs',
            type: 'cgroup',
            target: place,
            options: withSource(
              controllers[0]!.startsWith('name=') ? controllers[0]!.slice(5) : 'cgroup',
              controllers,
            ),
            attributes: set,
            create: CREATE.folder,
          }
        : { op: 'mountBind', source: folder + path, target: place, set, create: CREATE.folder }
      const links = controllers.length < 2 ? [] : controllers.filter(controller => controller !== name)
      return [own, ...links.map((link): Op => ({ op: 'symlink', target: name, path: `${target}/${link}` }))]
    }),
  ]
}

// --- /dev ---

const character = (name: string, major: number, minor: number): DeviceNode => ({
  path: `/dev/${name}`,
  type: 'c',
  major,
  minor,
  fileMode: 0o666,
})

/** OCI runtime-spec, config-linux.md: default devices. */
const defaultDevices: readonly DeviceNode[] = [
  character('null', 1, 3),
  character('random', 1, 8),
  character('full', 1, 7),
  character('tty', 5, 0),
  character('zero', 1, 5),
  character('urandom', 1, 9),
]

const links: readonly [path: string, target: string][] = [
  ['/dev/fd', '/proc/self/fd'],
  ['/dev/stdin', '/proc/self/fd/0'],
  ['/dev/stdout', '/proc/self/fd/1'],
  ['/dev/stderr', '/proc/self/fd/2'],
]

const TYPE_BITS = { c: 0o020000, u: 0o020000, b: 0o060000, p: 0o010000 } as const

/** Nodes and links, unless the container was given somebody else's /dev. */
export function deviceOps(spec: RuntimeSpec): Op[] {
  const dev = spec.mounts.find(mount => mount.destination === '/dev')
  if (dev && parseMountOptions(dev.options).bind) return []
  const asked = (spec.linux.devices ?? []).filter(device => device.path !== '/dev/ptmx')
  const named = new Set(asked.map(device => device.path))
  const nodes = [...defaultDevices.filter(device => !named.has(device.path)), ...asked]
  return [
    ...nodes.map(
      (device): Op => ({
        op: 'mknod',
        path: device.path,
        mode: TYPE_BITS[device.type] | ((device.fileMode ?? 0o666) & 0o7777),
        major: device.major,
        minor: device.minor,
        uid: device.uid,
        gid: device.gid,
      }),
    ),
    ...links.map(([path, target]): Op => ({ op: 'symlink', target, path })),
    { op: 'symlink', target: 'pts/ptmx', path: '/dev/ptmx' },
  ]
}

/** Paths to hide and to protect, then the root itself. */
export function protectionOps(spec: RuntimeSpec): Op[] {
  return [
    ...(spec.linux.readonlyPaths ?? []).map((path): Op => ({ op: 'readonly', path })),
    ...(spec.linux.maskedPaths ?? []).map((path): Op => ({ op: 'mask', path })),
    ...(spec.root.readonly ? [{ op: 'remount', target: '/', set: MOUNT_ATTR_RDONLY } as const] : []),
  ]
}
