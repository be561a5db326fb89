/** From a container's record to what the runtime is asked: everything that takes the engine's knowledge is resolved here. */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { conflict, type ErrorKind, GantryError, invalid } from '../errors.ts'
import * as linux from '../linux/index.ts'
import type { Sandbox } from '../network/types.ts'
import { deviceAccess, parseDeviceRule } from '../runtime/devices.ts'
import type { MountRequest, NamespaceMode, RuntimeRequest } from '../runtime/request.ts'
import type { LinuxResources } from '../runtime/spec.ts'
import { resolveUser } from '../runtime/user.ts'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'
import { environment } from './environment.ts'
import { linuxResources } from './linux-resources.ts'
import { cleanPath, parseTmpfsOptions } from './mount-parse.ts'
import { pathsOf } from './paths.ts'
import { openInRoot, userFiles } from './rootfs.ts'
import { parseSeccompProfile, parseSecurityOptions } from './security.ts'
import { checkSysctls } from './sysctls.ts'
import type { HostSpec, MountPoint, Ulimit } from './types.ts'

/** Throws GantryErrors in Docker's words, for what only the moment of the start can tell. */
export function runtimeRequest(
  context: EngineContext,
  container: Container,
  sandbox: Sandbox,
): RuntimeRequest {
  const { record } = container
  const { config, host } = record
  checkSysctls(host)
  const security = parseSecurityOptions(host.securityOpt ?? [])
  const user = resolveUser({ user: config.user, groupAdd: host.groupAdd, ...userFiles(context, container) })
  const devices = (host.devices ?? []).map(device =>
    deviceAccess(device.pathOnHost, device.pathInContainer, device.permissions),
  )
  const rlimits = ulimits(context, host)
  const initPath = (host.init ?? context.config.init) ? initBinary(context) : undefined
  const seccomp = security.seccomp ?? (host.privileged ? 'unconfined' : daemonSeccomp(context))
  const { home, ...ids } = user
  return {
    id: record.id,
    process: {
      argv: [record.path, ...record.args],
      env: environment(record, { tty: config.tty, linked: sandbox.linkEnv, home }),
      cwd: config.workingDir ? cleanPath(config.workingDir) : '/',
      tty: config.tty ?? false,
      ...(config.tty && host.consoleSize && host.consoleSize[0] > 0 && { consoleSize: host.consoleSize }),
      user: ids,
      capAdd: host.capAdd,
      capDrop: host.capDrop,
      noNewPrivileges: security.noNewPrivileges ?? context.config.noNewPrivileges,
      ...(rlimits.length > 0 && { rlimits }),
      ...(host.oomScoreAdj && { oomScoreAdj: host.oomScoreAdj }),
    },
    ...(host.readonlyRootfs && { readonlyRootfs: true }),
    hostname: config.hostname,
    domainname: config.domainname,
    namespaces: {
      pid: joined(context, host.pidMode, 'pid'),
      ipc: host.ipcMode === 'none' ? 'none' : joined(context, host.ipcMode, 'ipc'),
      uts: host.utsMode === 'host' ? 'host' : 'private',
      network: networkNamespace(context, host, sandbox),
      cgroup: host.cgroupnsMode === 'host' ? 'host' : 'private',
    },
    mounts: mountRequests(context, container),
    devices: devices.flatMap(device => device.nodes),
    deviceRules: [
      ...devices.flatMap(device => device.rules),
      ...(host.deviceCgroupRules ?? []).map(parseDeviceRule),
    ],
    resources: linuxResources(host) as Omit<LinuxResources, 'devices'>,
    sysctls: { ...host.sysctls, ...sandbox.sysctls },
    ...(security.unmask ? { maskedPaths: [], readonlyPaths: [] } : {}),
    ...(host.maskedPaths && { maskedPaths: host.maskedPaths }),
    ...(host.readonlyPaths && { readonlyPaths: host.readonlyPaths }),
    seccomp: typeof seccomp === 'object' ? parseSeccompProfile(seccomp.json) : seccomp,
    shmSize: host.shmSize,
    ...(initPath && { initPath }),
    privileged: host.privileged,
    annotations: host.annotations,
    cgroupPath: path.posix.join(cgroupParent(context, host), record.id),
  }
}

/** A mode that is `host`, `container:ID` or one's own. */
function joined({ store }: EngineContext, mode: string | undefined, namespace: 'pid' | 'ipc'): NamespaceMode {
  if (mode === 'host') return 'host'
  if (!mode?.startsWith('container:')) return 'private'
  const target = runningTarget(store.find(mode.slice('container:'.length)), mode, namespace)
  if (namespace === 'ipc' && target.record.host.ipcMode !== 'shareable') {
    const { ipcMode } = target.record.host
    if (ipcMode !== 'host') {
      throw invalid(
        `failed to join IPC namespace: container ${target.id}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)`,
      )
    }
  }
  return { path: `/proc/${target.task!.pid}/ns/${namespace}` }
}

function runningTarget(target: Container | undefined, mode: string, namespace: 'pid' | 'ipc'): Container {
  const ref = mode.slice('container:'.length)
  const failure = `failed to join ${namespace.toUpperCase()} namespace`
  // moby: for PIDs the cause's kind is lost on the way.
  const kind = (other: ErrorKind) => (namespace === 'pid' ? 'internal' : other)
  if (!target) throw new GantryError(kind('invalid'), `${failure}: No such container: ${ref}`)
  if (!target.task) {
    const why = target.record.state.status === 'restarting' ? 'is restarting' : 'is not running'
    throw new GantryError(kind('conflict'), `${failure}: container ${target.id} ${why}`)
  }
  return target
}

/** The container whose network this one shares. Raises as Docker. */
export function networkDonor({ store }: EngineContext, host: HostSpec): Container | undefined {
  const mode = host.networkMode ?? ''
  if (!mode.startsWith('container:')) return undefined
  const ref = mode.slice('container:'.length)
  const target = store.find(ref)
  if (!target) {
    throw new GantryError('internal', `joining network namespace of container: No such container: ${ref}`)
  }
  if (target.record.host === host) throw conflict('cannot join own network namespace')
  if (!target.task) {
    throw conflict(
      `cannot join network namespace of a non running container: container ${target.name} is ${
        target.record.state.status === 'restarting' ? 'restarting' : target.record.state.status
      }`,
    )
  }
  return target
}

function networkNamespace(context: EngineContext, host: HostSpec, sandbox: Sandbox): NamespaceMode {
  if (host.networkMode === 'host') return 'host'
  const donor = networkDonor(context, host)
  if (donor)
    return donor.record.host.networkMode === 'host' ? 'host' : { path: `/proc/${donor.task!.pid}/ns/net` }
  return sandbox.netnsFd === undefined ? 'private' : { fd: sandbox.netnsFd }
}

function ulimits({ config }: EngineContext, host: HostSpec) {
  const limits = new Map<string, Ulimit>()
  for (const limit of [...(config.defaultUlimits ?? []), ...(host.ulimits ?? [])])
    limits.set(limit.name, limit)
  return [...limits.values()].map(({ name, soft, hard }) => ({
    type: `RLIMIT_${name.toUpperCase()}`,
    soft,
    hard,
  }))
}

function initBinary({ config }: EngineContext): string {
  return config.initPath ?? path.join(linux.buildFolder, 'gantry-init')
}

function daemonSeccomp({ config }: EngineContext): 'default' | 'unconfined' | { json: string } {
  const profile = config.seccompProfile ?? 'builtin'
  if (profile === 'unconfined') return 'unconfined'
  return profile === 'builtin' ? 'default' : { json: fs.readFileSync(profile, 'utf8') }
}

/** The group, as a path below the root of each hierarchy, in which those of containers are. */
export function cgroupParent({ config }: Pick<EngineContext, 'config'>, host: HostSpec): string {
  return path.posix.join('/', host.cgroupParent || config.cgroupParent || 'gantry')
}

// --- mounts ---

/** By depth of the destination, so that what lies below is mounted after; what the user mounts replaces the engine's own files. */
function mountRequests(context: EngineContext, container: Container): MountRequest[] {
  const { record } = container
  const requests = new Map<string, MountRequest>()
  for (const file of ownFiles(context, container)) requests.set(file.destination, file)
  const shm = sharedMemory(context, container)
  if (shm) requests.set(shm.destination, shm)
  for (const mount of record.mounts) requests.set(mount.destination, mountRequest(context, container, mount))
  for (const [target, options] of Object.entries(record.host.tmpfs ?? {})) {
    const destination = cleanPath(target)
    requests.set(destination, { type: 'tmpfs', destination, options: parseTmpfsOptions(options) })
  }
  const depth = ({ destination }: MountRequest) => destination.split('/').length
  return [...requests.values()].sort((a, b) => depth(a) - depth(b))
}

/** /etc/resolv.conf, /etc/hostname, /etc/hosts: the engine's, or those of the container whose network is shared. */
function ownFiles(context: EngineContext, container: Container): MountRequest[] {
  const owner = networkDonor(context, container.record.host) ?? container
  const paths = pathsOf(context, owner.id)
  const bind = (source: string, destination: string): MountRequest => ({
    type: 'bind',
    source,
    destination,
    readonly: container.record.host.readonlyRootfs ?? false,
  })
  return [
    bind(paths.resolvConf, '/etc/resolv.conf'),
    bind(paths.hostname, '/etc/hostname'),
    bind(paths.hosts, '/etc/hosts'),
  ]
}

/** /dev/shm that is shared between containers: the donor's. */
function sharedMemory(context: EngineContext, container: Container): MountRequest | undefined {
  const mode = container.record.host.ipcMode ?? ''
  const owner = mode.startsWith('container:')
    ? context.store.find(mode.slice('container:'.length))
    : mode === 'shareable'
      ? container
      : undefined
  if (owner?.record.host.ipcMode !== 'shareable') return undefined
  return { type: 'bind', source: pathsOf(context, owner.id).shm, destination: '/dev/shm' }
}

function mountRequest(context: EngineContext, container: Container, mount: MountPoint): MountRequest {
  const { destination } = mount
  if (mount.type === 'tmpfs') {
    const { sizeBytes, mode, options = [] } = mount.spec?.tmpfs ?? {}
    return {
      type: 'tmpfs',
      destination,
      options: [
        ...(sizeBytes ? [`size=${sizeBytes}`] : []),
        ...(mode ? [`mode=${mode.toString(8)}`] : []),
        ...options.map(option => option.join('=')),
      ],
      readonly: !mount.rw,
    }
  }
  if (mount.type === 'image') {
    const whole = path.join(pathsOf(context, container.id).imageMounts, mountFolder(mount))
    const source = insideOf(whole, mount.spec?.image?.subpath)
    return { type: 'bind', source, destination, readonly: true }
  }
  const bind = mount.spec?.bind
  return {
    type: 'bind',
    source: mount.type === 'volume' ? volumeSource(context, mount) : bindSource(mount),
    destination,
    readonly: !mount.rw,
    recursive: !bind?.nonRecursive,
    readonlyRecursive: bind?.readOnlyNonRecursive ? 'no' : bind?.readOnlyForceRecursive ? 'force' : 'auto',
    propagation: (mount.propagation || 'rprivate') as 'rprivate',
  }
}

/** A folder name for an image mount: its place among the container's mounts is not stable, its destination is. */
export const mountFolder = (mount: MountPoint): string => encodeURIComponent(mount.destination)

/** `-v` makes a missing folder; `--mount` refused it at create, and refuses it now if it went since. */
function bindSource(mount: MountPoint): string {
  if (!fs.existsSync(mount.source)) {
    if (!mount.spec?.bind?.createMountpoint) {
      throw invalid(`invalid mount config for type "bind": bind source path does not exist: ${mount.source}`)
    }
    fs.mkdirSync(mount.source, { recursive: true, mode: 0o755 })
  }
  return mount.source
}

const volumeSource = ({ volumes }: EngineContext, mount: MountPoint): string =>
  insideOf(volumes.dataPath(mount.name!), mount.spec?.volume?.subpath)

/** `folder`, or a path inside it that no link can lead out of. */
function insideOf(folder: string, subpath: string | undefined): string {
  if (!subpath) return folder
  const root = fs.openSync(folder, linux.O_PATH | fs.constants.O_DIRECTORY)
  try {
    const inside = openInRoot(root, subpath, linux.O_PATH)
    try {
      return fs.readlinkSync(`/proc/self/fd/${inside}`)
    } finally {
      fs.closeSync(inside)
    }
  } catch (error) {
    throw invalid(
      `cannot access path ${path.join(folder, subpath)}: lstat ${path.join(folder, subpath)}: no such file or directory`,
      error,
    )
  } finally {
    fs.closeSync(root)
  }
}
