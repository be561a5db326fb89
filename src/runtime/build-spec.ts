/**
 * From a {@link RuntimeRequest} to an OCI runtime spec with Docker's defaults (as Docker 28.5 writes them to a bundle).
 * Pure but for two look-ups with `--privileged` (the host's device nodes, its capabilities); what is the same for every
 * container is shared between the specs, so nobody may change a spec's parts in place.
 */
import { allCapabilities, capabilitySets, defaultCapabilities, tweakCapabilities } from './capabilities.ts'
import { hostDevices } from './devices.ts'
import { type HostFacts, hostFacts } from './host.ts'
import type { MountRequest, NamespaceMode, RuntimeRequest } from './request.ts'
import { defaultSeccomp, resolveProfile } from './seccomp/profile.ts'
import type {
  CapabilitySets,
  DeviceRule,
  LinuxResources,
  MountEntry,
  NamespaceEntry,
  NamespaceType,
  RuntimeSpec,
  SeccompSpec,
} from './spec.ts'

/** Files of /proc and /sys that tell of or reach the host. Hidden behind an empty folder or /dev/null. */
export const defaultMaskedPaths: readonly string[] = [
  '/proc/asound',
  '/proc/acpi',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
]

export const defaultReadonlyPaths: readonly string[] = [
  '/proc/bus',
  '/proc/fs',
  '/proc/irq',
  '/proc/sys',
  '/proc/sysrq-trigger',
]

/** zero, null, urandom, random, tty, console; and not fuse, which older defaults allowed. */
const defaultDeviceRules: readonly DeviceRule[] = [
  { allow: false, access: 'rwm' },
  { allow: true, type: 'c', major: 1, minor: 5, access: 'rwm' },
  { allow: true, type: 'c', major: 1, minor: 3, access: 'rwm' },
  { allow: true, type: 'c', major: 1, minor: 9, access: 'rwm' },
  { allow: true, type: 'c', major: 1, minor: 8, access: 'rwm' },
  { allow: true, type: 'c', major: 5, minor: 0, access: 'rwm' },
  { allow: true, type: 'c', major: 5, minor: 1, access: 'rwm' },
  { allow: false, type: 'c', major: 10, minor: 229, access: 'rwm' },
]

const EVERY_DEVICE: DeviceRule[] = [{ allow: true, access: 'rwm' }]

const DEFAULT_SHM_SIZE = 64 * 1024 * 1024

/** The spec of a container. `root.path` is a placeholder: where the root comes from is said at launch. */
export function buildSpec(request: RuntimeRequest, host: HostFacts = hostFacts()): RuntimeSpec {
  const privileged = request.privileged ?? false
  const namespaces = namespaceEntries(request, host)
  const capabilities = processCapabilities(request)
  return {
    ociVersion: '1.2.1',
    process: processSpec(request, capabilities),
    root: { path: 'rootfs', ...(request.readonlyRootfs && { readonly: true }) },
    ...(hasOwn(namespaces, 'uts') && request.hostname && { hostname: request.hostname }),
    mounts: mountEntries(request),
    ...(request.annotations && { annotations: request.annotations }),
    linux: {
      namespaces,
      ...userMappings(request),
      ...rootPropagation(request),
      sysctl: sysctls(request, namespaces),
      cgroupsPath: request.cgroupPath ?? `/gantry/${request.id}`,
      resources: resources(request),
      ...deviceNodes(request),
      ...seccompSpec(request, capabilities, host),
      maskedPaths: request.maskedPaths ?? (privileged ? [] : maskedPaths(host)),
      readonlyPaths: request.readonlyPaths ?? (privileged ? [] : [...defaultReadonlyPaths]),
    },
  }
}

function processSpec(
  { process, initPath }: RuntimeRequest,
  capabilities: CapabilitySets,
): RuntimeSpec['process'] {
  return {
    ...(process.tty && { terminal: true }),
    ...(process.consoleSize && {
      consoleSize: { height: process.consoleSize[0], width: process.consoleSize[1] },
    }),
    user: process.user ?? { uid: 0, gid: 0, additionalGids: [0] },
    args: initPath ? ['/sbin/docker-init', '--', ...process.argv] : process.argv,
    env: process.env,
    cwd: process.cwd ?? '/',
    capabilities,
    ...(process.rlimits && { rlimits: process.rlimits }),
    ...(process.noNewPrivileges && { noNewPrivileges: true }),
    oomScoreAdj: process.oomScoreAdj ?? 0,
  }
}

const DEFAULT_SETS = capabilitySets([...defaultCapabilities])

/** The sets of a container's first process; the same object for all that ask for nothing. */
export function processCapabilities({
  process,
  privileged,
}: Pick<RuntimeRequest, 'process' | 'privileged'>): CapabilitySets {
  if (privileged) return capabilitySets([...allCapabilities()])
  if (!process.capAdd?.length && !process.capDrop?.length) return DEFAULT_SETS
  return capabilitySets(tweakCapabilities(process.capAdd, process.capDrop))
}

// --- namespaces ---

const NAMESPACE_KEYS: [keyof NonNullable<RuntimeRequest['namespaces']>, NamespaceType][] = [
  ['network', 'network'],
  ['uts', 'uts'],
  ['pid', 'pid'],
  ['ipc', 'ipc'],
  ['cgroup', 'cgroup'],
]

function namespaceEntries({ namespaces = {} }: RuntimeRequest, host: HostFacts): NamespaceEntry[] {
  const entries: NamespaceEntry[] = [{ type: 'mount' }]
  for (const [key, type] of NAMESPACE_KEYS) {
    const asked = namespaces[key] as NamespaceMode | 'none' | undefined
    const mode = asked ?? (type === 'cgroup' && host.cgroupVersion === 1 ? 'host' : 'private')
    if (mode === 'host') continue
    entries.push(typeof mode === 'string' ? { type } : { type, path: namespacePath(mode) })
  }
  if (typeof namespaces.user === 'object') entries.push({ type: 'user' })
  return entries
}

/** An fd of this process has a path that others can open too. */
function namespacePath(mode: { path: string } | { fd: number }): string {
  return 'path' in mode ? mode.path : `/proc/${process.pid}/fd/${mode.fd}`
}

/** Whether the container gets a namespace of its own of this type, neither the host's nor another container's. */
const hasOwn = (entries: NamespaceEntry[], type: NamespaceType): boolean =>
  entries.some(entry => entry.type === type && entry.path === undefined)

function userMappings({ namespaces }: RuntimeRequest) {
  return typeof namespaces?.user === 'object' ? namespaces.user : {}
}

function sysctls(request: RuntimeRequest, namespaces: NamespaceEntry[]): Record<string, string> {
  const hasNetwork = namespaces.some(entry => entry.type === 'network')
  const userns = typeof request.namespaces?.user === 'object'
  return {
    ...(hasNetwork && { 'net.ipv4.ip_unprivileged_port_start': '0' }),
    ...(hasNetwork && !userns && { 'net.ipv4.ping_group_range': '0 2147483647' }),
    ...(request.domainname && hasOwn(namespaces, 'uts') && { 'kernel.domainname': request.domainname }),
    ...request.sysctls,
  }
}

// --- mounts ---

function mountEntries(request: RuntimeRequest): MountEntry[] {
  const own = (request.mounts ?? []).map(mountEntry)
  const replaced = new Set(own.map(mount => mount.destination))
  const defaults = defaultMounts(request).filter(
    ({ destination }) =>
      !replaced.has(destination) && !(replaced.has('/dev') && destination.startsWith('/dev/')),
  )
  const init: MountEntry[] = request.initPath
    ? [{ destination: '/sbin/docker-init', type: 'bind', source: request.initPath, options: ['bind', 'ro'] }]
    : []
  return [...defaults, ...init, ...own]
}

function defaultMounts(request: RuntimeRequest): MountEntry[] {
  // A privileged container may write to /sys, unless all of its root is read-only.
  const ro = request.privileged && !request.readonlyRootfs ? [] : ['ro']
  const mounts: MountEntry[] = [
    { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
    {
      destination: '/dev',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
    },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
    },
    { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', ...ro] },
    {
      destination: '/sys/fs/cgroup',
      type: 'cgroup',
      source: 'cgroup',
      options: [...ro, 'nosuid', 'noexec', 'nodev'],
    },
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] },
  ]
  const shm = sharedMemoryMount(request)
  return shm ? [...mounts, shm] : mounts
}

function sharedMemoryMount({ namespaces, shmSize }: RuntimeRequest): MountEntry | undefined {
  const ipc = namespaces?.ipc ?? 'private'
  if (ipc === 'none') return undefined
  if (ipc === 'host') {
    return { destination: '/dev/shm', type: 'bind', source: '/dev/shm', options: ['rbind', 'rprivate'] }
  }
  const size = shmSize || DEFAULT_SHM_SIZE
  return {
    destination: '/dev/shm',
    type: 'tmpfs',
    source: 'shm',
    options: ['nosuid', 'noexec', 'nodev', 'mode=1777', `size=${size}`],
  }
}

function mountEntry(mount: MountRequest): MountEntry {
  if (mount.type === 'tmpfs') {
    const options = [
      'noexec',
      'nosuid',
      'nodev',
      'rprivate',
      ...(mount.options ?? []),
      ...(mount.readonly ? ['ro'] : []),
    ]
    return { destination: mount.destination, type: 'tmpfs', source: 'tmpfs', options: settleOptions(options) }
  }
  const recursive = mount.recursive ?? true
  const readonly = !mount.readonly ? [] : [mount.readonlyRecursive === 'no' ? 'ro' : 'rro']
  const options = [recursive ? 'rbind' : 'bind', ...readonly, mount.propagation ?? 'rprivate']
  return { destination: mount.destination, type: 'bind', source: mount.source, options }
}

const OPPOSITES = new Map(
  [
    ['ro', 'rw'],
    ['suid', 'nosuid'],
    ['dev', 'nodev'],
    ['exec', 'noexec'],
    ['sync', 'async'],
    ['atime', 'noatime'],
    ['diratime', 'nodiratime'],
  ].flatMap(
    ([one, other]) =>
      [
        [one, other],
        [other, one],
      ] as [string, string][],
  ),
)

/** Of options that contradict each other (`exec`, `noexec`; two sizes) the last stays, as Docker's tmpfs does. */
function settleOptions(options: string[]): string[] {
  const settled: string[] = []
  for (const option of options) {
    const name = option.split('=', 1)[0]!
    const clash = (other: string): boolean =>
      other === option ||
      other === OPPOSITES.get(option) ||
      (option.includes('=') && other.startsWith(`${name}=`))
    const at = settled.findIndex(clash)
    if (at >= 0) settled.splice(at, 1)
    settled.push(option)
  }
  return settled
}

/** A mount can only share with the host, or follow it, where the root does. */
function rootPropagation({ mounts = [] }: RuntimeRequest): { rootfsPropagation?: string } {
  const asked = mounts.map(mount => (mount.type === 'bind' ? mount.propagation : undefined))
  if (asked.some(propagation => propagation?.endsWith('shared'))) return { rootfsPropagation: 'shared' }
  return asked.some(propagation => propagation?.endsWith('slave')) ? { rootfsPropagation: 'rslave' } : {}
}

// --- devices, limits, seccomp ---

function deviceNodes({ devices = [], privileged }: RuntimeRequest) {
  const nodes = privileged ? [...hostDevices(), ...devices] : devices
  return nodes.length > 0 ? { devices: nodes } : {}
}

function resources(request: RuntimeRequest): LinuxResources {
  const rules = request.privileged ? EVERY_DEVICE : defaultDeviceRules
  return { ...request.resources, devices: [...rules, ...(request.deviceRules ?? [])] }
}

function maskedPaths(host: HostFacts): string[] {
  return [...defaultMaskedPaths, ...host.thermalThrottlePaths]
}

function seccompSpec(
  request: RuntimeRequest,
  capabilities: CapabilitySets,
  host: HostFacts,
): { seccomp?: SeccompSpec } {
  const asked = request.seccomp ?? (request.privileged ? 'unconfined' : 'default')
  if (asked === 'unconfined') return {}
  const names = capabilities.bounding ?? []
  const seccomp = asked === 'default' ? defaultSeccomp(names, host) : resolveProfile(asked, names, host)
  return seccomp ? { seccomp } : {}
}
