/**
 * From an OCI runtime spec to the flat list of operations that the shim runs: {@link compilePlan} for a container's first
 * process, {@link compileExec} for one more in a running container.
 *
 * Nothing here executes anything but {@link Cgroup.create}, so a plan can be printed and compared.
 */
import * as linux from '../linux/index.ts'
import type { Cgroup } from './cgroup/cgroup.ts'
import { type CgroupLayout, detectCgroups } from './cgroup/layout.ts'
import { deviceOps, mountOps, protectionOps, rootOps } from './compile-mounts.ts'
import { oomScoreOps, processOps } from './compile-process.ts'
import { type HostFacts, hostFacts } from './host.ts'
import { type LaunchPlan, LogFormat, type Op } from './plan.ts'
import type { Rootfs } from './request.ts'
import { Slots } from './slots.ts'
import type { NamespaceType, ProcessSpec, RuntimeSpec } from './spec.ts'

export interface LaunchContext {
  rootfs: Rootfs
  cgroup: Cgroup
  /** The container has a stdin (`-i`). */
  stdin?: boolean
  log?: LogTarget
  /** Open fds of namespaces to join, instead of the path in the spec. */
  namespaceFds?: Partial<Record<JoinedNamespace, number>>
  /** Detached mounts to use for a destination of `spec.mounts` instead of its source. */
  mountFds?: ReadonlyMap<string, number>
  /** Bring up `lo`: in a network namespace that nobody else configures. */
  loopback?: boolean
  /** The plan is only to be looked at: touch nothing. */
  describeOnly?: boolean
}

export type JoinedNamespace = 'network' | 'ipc' | 'uts' | 'pid' | 'cgroup'

export interface LogTarget {
  format: keyof typeof LogFormat
  path: string
  /** Bytes; 0 never rotates. */
  maxSize?: number
  maxFiles?: number
  /** Bytes buffered while the log cannot be written (`mode=non-blocking`). */
  ring?: number
  /** Put into each line's `attrs`. */
  attrs?: Record<string, string>
}

/** Ready for `Launcher.launch`: a slot of the plan is an index into `fds`. */
export interface Compiled {
  plan: LaunchPlan
  fds: number[]
  /** Close the fds that were opened for this plan. To be called once, when the launch has settled either way. */
  release(): void
}

const CLONE_FLAGS: Record<NamespaceType, number> = {
  mount: linux.CLONE_NEWNS,
  cgroup: linux.CLONE_NEWCGROUP,
  uts: linux.CLONE_NEWUTS,
  ipc: linux.CLONE_NEWIPC,
  user: linux.CLONE_NEWUSER,
  pid: linux.CLONE_NEWPID,
  network: linux.CLONE_NEWNET,
  time: linux.CLONE_NEWTIME,
}

/** The machine, so that tests can compile for another one. */
export interface CompileHost {
  facts: HostFacts
  cgroups: CgroupLayout
}

const thisHost = (): CompileHost => ({ facts: hostFacts(), cgroups: detectCgroups() })

export function compilePlan(
  spec: RuntimeSpec,
  context: LaunchContext,
  host: CompileHost = thisHost(),
): Compiled {
  const slots = new Slots()
  try {
    return { plan: planOf(spec, context, host, slots), fds: slots.fds, release: () => slots.close() }
  } catch (error) {
    slots.close()
    throw error
  }
}

function planOf(spec: RuntimeSpec, context: LaunchContext, host: CompileHost, slots: Slots): LaunchPlan {
  const namespaces = sortNamespaces(spec, context, slots)
  const resources = spec.linux.resources ?? {}
  const cgroup = context.cgroup.ops(resources)
  const init = [
    ...cgroup.init,
    ...oomScoreOps(spec.process),
    ...(namespaces.user.length > 0 ? [{ op: 'await' } as const] : []),
    ...namespaces.join,
    ...(context.loopback ? [{ op: 'interfaceUp', name: 'lo' } as const] : []),
    ...rootOps(spec, context, slots, host.facts),
    ...mountOps(spec, context, slots, host.cgroups),
    ...deviceOps(spec),
    ...consoleOps(spec.process, true),
    ...workingFolderOps(spec.process),
    ...sysctlOps(spec),
    ...protectionOps(spec),
    ...nameOps(spec),
    { op: 'pivot' } as const,
    { op: 'keyring', name: `_ses.${spec.linux.cgroupsPath.split('/').at(-1)}`, mayFail: true } as const,
    ...processOps(spec.process, spec.linux.seccomp, host.facts),
  ]
  // Last: what is refused until here leaves nothing.
  const bornIn = context.describeOnly ? undefined : context.cgroup.create(resources)
  return {
    host: [
      { op: 'stdio', tty: spec.process.terminal ?? false, stdin: context.stdin ?? false },
      ...logOps(context.log),
      ...cgroup.host,
      {
        op: 'clone',
        flags: namespaces.cloneFlags,
        cgroup: bornIn === undefined ? -1 : slots.own(bornIn),
      },
      ...namespaces.pid,
    ],
    init,
    parent: [...namespaces.user, ...cgroup.parent],
    exit: [...survivorOps(spec, context.cgroup), ...cgroup.exit],
    teardown: cgroup.teardown,
  }
}

export interface ExecContext {
  /** The container's spec: an exec has its namespaces and its seccomp filter. */
  spec: RuntimeSpec
  cgroup: Cgroup
  /** The container's process, on the host. */
  pid: number
  stdin?: boolean
}

/** `process` is {@link execProcess}'s. */
export function compileExec(
  process: ProcessSpec,
  context: ExecContext,
  host: CompileHost = thisHost(),
): LaunchPlan {
  const { spec, pid } = context
  const flags = spec.linux.namespaces.reduce(
    (all, { type }) => (type === 'pid' ? all : all | CLONE_FLAGS[type]),
    0,
  )
  const ownPids = spec.linux.namespaces.some(entry => entry.type === 'pid')
  return {
    host: [
      { op: 'stdio', tty: process.terminal ?? false, stdin: context.stdin ?? false },
      { op: 'clone', flags: 0, cgroupPath: context.cgroup.birthplace },
      ...(ownPids ? [{ op: 'pidNamespace', path: `/proc/${pid}/ns/pid` } as const] : []),
    ],
    init: [
      ...context.cgroup.joinOps(),
      ...oomScoreOps(process),
      { op: 'setns', flags },
      ...consoleOps(process, false),
      ...processOps(process, spec.linux.seccomp, host.facts),
    ],
    parent: [],
  }
}

// --- namespaces ---

interface Namespaces {
  cloneFlags: number
  /** Makes the process in another container's PID namespace. */
  pid: Op[]
  join: Op[]
  user: Op[]
}

function sortNamespaces(spec: RuntimeSpec, context: LaunchContext, slots: Slots): Namespaces {
  const sorted: Namespaces = { cloneFlags: 0, pid: [], join: [], user: userMapOps(spec) }
  for (const { type, path } of spec.linux.namespaces) {
    const fd = context.namespaceFds?.[type as JoinedNamespace]
    const place = fd === undefined ? path && { path } : { fd: slots.add(fd) }
    if (place && type === 'pid') sorted.pid.push({ op: 'pidNamespace', ...place })
    else if (place) sorted.join.push({ op: 'setns', flags: CLONE_FLAGS[type], ...place })
    // A cgroup namespace shows as its root the cgroups that the process is in when it makes it.
    else if (type === 'cgroup') sorted.join.push({ op: 'unshare', flags: CLONE_FLAGS.cgroup })
    else sorted.cloneFlags |= CLONE_FLAGS[type]
  }
  return sorted
}

function userMapOps({ linux }: RuntimeSpec): Op[] {
  if (!linux.namespaces.some(entry => entry.type === 'user' && !entry.path)) return []
  const map = (entries: RuntimeSpec['linux']['uidMappings'] = []): string =>
    entries.map(({ containerID, hostID, size }) => `${containerID} ${hostID} ${size}\n`).join('')
  return [
    { op: 'processFile', name: 'uid_map', data: map(linux.uidMappings) },
    { op: 'processFile', name: 'gid_map', data: map(linux.gidMappings) },
  ]
}

// --- the smaller parts ---

/** The kernel ends everything in a PID namespace with its first process; without one of its own somebody has to. */
function survivorOps({ linux }: RuntimeSpec, cgroup: Cgroup): Op[] {
  const ownPids = linux.namespaces.some(entry => entry.type === 'pid' && entry.path === undefined)
  return ownPids ? [] : [{ op: 'killAll', path: cgroup.processFile, mayFail: true }]
}

export function logOps(log: LogTarget | undefined): Op[] {
  if (!log || log.format === 'none') return []
  return [
    {
      op: 'log',
      format: LogFormat[log.format],
      path: log.path,
      maxSize: log.maxSize,
      maxFiles: log.maxFiles,
      ring: log.ring,
      attrs: log.attrs && Buffer.from(JSON.stringify(log.attrs)),
    },
  ]
}

function consoleOps({ terminal, consoleSize, user }: ProcessSpec, bind: boolean): Op[] {
  if (!terminal) return []
  return [{ op: 'console', rows: consoleSize?.height, columns: consoleSize?.width, uid: user.uid, bind }]
}

/** A working folder that the image lacks is made, and is root's. */
function workingFolderOps({ cwd }: ProcessSpec): Op[] {
  return cwd === '/' ? [] : [{ op: 'makeFolder', path: cwd, mode: 0o755 }]
}

/** Written to the host's /proc, which shows each process the values of its own namespaces: nothing in the image can stand in for it. */
function sysctlOps({ linux }: RuntimeSpec): Op[] {
  return Object.entries(linux.sysctl ?? {}).map(([name, value]) =>
    name === 'kernel.domainname'
      ? { op: 'domainname', name: value }
      : { op: 'writeFile', path: `/proc/sys/${name.replaceAll('.', '/')}`, data: value },
  )
}

function nameOps({ hostname, domainname }: RuntimeSpec): Op[] {
  return [
    ...(hostname ? [{ op: 'hostname', name: hostname } as const] : []),
    ...(domainname ? [{ op: 'domainname', name: domainname } as const] : []),
  ]
}
