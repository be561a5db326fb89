/**
 * What the engine asks the runtime for: a container described in Docker's terms with everything resolved that needs the
 * engine's knowledge (paths on the host, numeric users, namespaces of other containers). {@link buildSpec} turns it into
 * an OCI runtime spec with Docker's defaults.
 */
import type {
  DeviceNode,
  DeviceRule,
  IdMapping,
  LinuxResources,
  Rlimit,
  SeccompSpec,
  UserIds,
} from './spec.ts'

export interface RuntimeRequest {
  /** 64 hex digits. */
  id: string
  process: ProcessRequest
  readonlyRootfs?: boolean
  /** Set in a private UTS namespace; ignored with the host's or another container's. */
  hostname?: string
  domainname?: string
  namespaces?: NamespacesRequest
  /** Bind mounts, volumes and tmpfs, in the order in which they are to be mounted after the default mounts. */
  mounts?: MountRequest[]
  /** Device nodes beyond the default ones; each is made accessible by {@link deviceRules}. */
  devices?: DeviceNode[]
  /** Appended to the default device filter. */
  deviceRules?: DeviceRule[]
  resources?: Omit<LinuxResources, 'devices'>
  /** `net.…`, `kernel.…`, `fs.mqueue.…`; merged over the defaults. */
  sysctls?: Record<string, string>
  /** Absent is Docker's list; empty masks nothing (`systempaths=unconfined`). */
  maskedPaths?: string[]
  readonlyPaths?: string[]
  /** Absent is Docker's profile, or none where {@link privileged}. */
  seccomp?: 'default' | 'unconfined' | SeccompProfile
  /** Bytes of /dev/shm; 64 MiB unless told. */
  shmSize?: number
  /** Host path of the init binary to put at /sbin/docker-init and to run the command under. */
  initPath?: string
  privileged?: boolean
  annotations?: Record<string, string>
  /** Absolute cgroup path; `/gantry/<id>` unless told. */
  cgroupPath?: string
}

export interface ProcessRequest {
  /** What to execute, without the init. */
  argv: string[]
  env: string[]
  /** Absolute; `/` unless told. */
  cwd?: string
  tty?: boolean
  /** [rows, columns] */
  consoleSize?: [number, number]
  /** Numeric, as {@link resolveUser} gives it. */
  user?: UserIds
  /** With or without `CAP_`, or `ALL`. */
  capAdd?: string[]
  capDrop?: string[]
  noNewPrivileges?: boolean
  rlimits?: Rlimit[]
  /** -1000 to 1000. */
  oomScoreAdj?: number
}

/** `private` makes a new one; a path or fd names one to join (`/proc/PID/ns/net`, a netns fd). */
export type NamespaceMode = 'private' | 'host' | { path: string } | { fd: number }

/** Every namespace that is absent is Docker's default for it. */
export interface NamespacesRequest {
  pid?: NamespaceMode
  /** `none` is private without /dev/shm; the others decide what /dev/shm is, see {@link RuntimeRequest.shmSize}. */
  ipc?: NamespaceMode | 'none'
  uts?: NamespaceMode
  network?: NamespaceMode
  /** `private` on cgroup v2, `host` on v1. */
  cgroup?: NamespaceMode
  /** `host` unless told; a new one needs its maps. */
  user?: 'host' | { uidMappings: IdMapping[]; gidMappings: IdMapping[] }
}

export type Propagation = 'private' | 'rprivate' | 'shared' | 'rshared' | 'slave' | 'rslave'

export type MountRequest =
  | {
      type: 'bind'
      /** Absolute path on the host, resolved and present. */
      source: string
      destination: string
      readonly?: boolean
      /** What is mounted below the source comes along; `true` unless told. */
      recursive?: boolean
      /** With {@link readonly}: also what is mounted below. `auto` (the default) where the kernel can, `force` fails where it cannot. */
      readonlyRecursive?: 'auto' | 'force' | 'no'
      /** `rprivate` unless told. */
      propagation?: Propagation
    }
  | {
      type: 'tmpfs'
      destination: string
      /** As in `--tmpfs`: `size=1m`, `mode=1777`, `exec`, `ro`, … */
      options?: string[]
      readonly?: boolean
    }

/** Seccomp in Docker's profile format, which is OCI's with conditions on capabilities, architecture and kernel. */
export interface SeccompProfile extends Omit<SeccompSpec, 'architectures' | 'syscalls'> {
  architectures?: string[]
  archMap?: { architecture: string; subArchitectures: string[] | null }[]
  syscalls: ProfileRule[]
}

export interface ProfileRule {
  name?: string
  names?: string[]
  action: SeccompSpec['defaultAction']
  errnoRet?: number
  args?: NonNullable<SeccompSpec['syscalls']>[number]['args'] | null
  comment?: string
  includes?: ProfileCondition
  excludes?: ProfileCondition
}

export interface ProfileCondition {
  caps?: string[]
  /** GOARCH names. */
  arches?: string[]
  /** `4.8` */
  minKernel?: string
}

/** Where the root file system comes from. Not part of the OCI spec: there it is a path that somebody mounted. */
export type Rootfs =
  | { type: 'overlay'; lowerdirs: string[]; upperdir: string; workdir: string; options?: string[] }
  /** A detached mount (fsmount, open_tree). */
  | { type: 'mountFd'; fd: number }
  | { type: 'path'; path: string }

/** A process to start inside a running container. */
export interface ExecProcess extends ProcessRequest {
  privileged?: boolean
}
