/**
 * The OCI runtime specification's `config.json`, as far as Linux and Docker use it. Names are the specification's, so a
 * {@link RuntimeSpec} can be written to a bundle as it is. Source: opencontainers/runtime-spec 1.2, config.md and
 * config-linux.md.
 */

export interface RuntimeSpec {
  ociVersion: string
  process: ProcessSpec
  root: { path: string; readonly?: boolean }
  hostname?: string
  domainname?: string
  mounts: MountEntry[]
  annotations?: Record<string, string>
  linux: LinuxSpec
}

export interface ProcessSpec {
  terminal?: boolean
  consoleSize?: { height: number; width: number }
  user: UserIds
  args: string[]
  /** `NAME=value` */
  env: string[]
  /** Absolute, inside the container. */
  cwd: string
  capabilities?: CapabilitySets
  rlimits?: Rlimit[]
  noNewPrivileges?: boolean
  oomScoreAdj?: number
  apparmorProfile?: string
  selinuxLabel?: string
}

export interface UserIds {
  uid: number
  gid: number
  umask?: number
  additionalGids?: number[]
}

/** Names with `CAP_`. A set that is absent is empty. */
export interface CapabilitySets {
  bounding?: string[]
  effective?: string[]
  permitted?: string[]
  inheritable?: string[]
  ambient?: string[]
}

export interface Rlimit {
  /** `RLIMIT_NOFILE`, … */
  type: string
  soft: number
  hard: number
}

export interface MountEntry {
  /** Absolute, inside the container. */
  destination: string
  type?: string
  source?: string
  /** As in fstab(5), with `bind`, `rbind`, `rro`, `rprivate`, … */
  options?: string[]
}

export type NamespaceType = 'mount' | 'pid' | 'network' | 'ipc' | 'uts' | 'cgroup' | 'user' | 'time'

export interface NamespaceEntry {
  type: NamespaceType
  /** The namespace to join; absent for a new one. */
  path?: string
}

export interface IdMapping {
  containerID: number
  hostID: number
  size: number
}

export interface LinuxSpec {
  namespaces: NamespaceEntry[]
  uidMappings?: IdMapping[]
  gidMappings?: IdMapping[]
  devices?: DeviceNode[]
  /** Relative to each hierarchy's root, with a leading slash. */
  cgroupsPath: string
  resources?: LinuxResources
  sysctl?: Record<string, string>
  seccomp?: SeccompSpec
  rootfsPropagation?: string
  maskedPaths?: string[]
  readonlyPaths?: string[]
  mountLabel?: string
}

export interface DeviceNode {
  /** Absolute, inside the container. */
  path: string
  type: 'c' | 'b' | 'u' | 'p'
  major?: number
  minor?: number
  /** Permission bits. */
  fileMode?: number
  uid?: number
  gid?: number
}

/** One line of the device filter; the last that matches decides. */
export interface DeviceRule {
  allow: boolean
  /** Absent is both kinds. */
  type?: 'a' | 'c' | 'b'
  /** Absent is every number. */
  major?: number
  minor?: number
  /** Some of `rwm`. */
  access?: string
}

export interface WeightDevice {
  major: number
  minor: number
  /** 10 to 1000. */
  weight: number
}

export interface ThrottleRate {
  major: number
  minor: number
  /** Bytes or operations a second. */
  rate: number
}

/** Limits. Sizes are bytes, times microseconds; what is absent is left as it is. */
export interface LinuxResources {
  devices?: DeviceRule[]
  memory?: {
    limit?: number
    reservation?: number
    /** Memory and swap together; -1 is unlimited. */
    swap?: number
    kernel?: number
    kernelTCP?: number
    swappiness?: number
    disableOOMKiller?: boolean
  }
  cpu?: {
    shares?: number
    quota?: number
    period?: number
    realtimeRuntime?: number
    realtimePeriod?: number
    cpus?: string
    mems?: string
  }
  pids?: { limit: number }
  blockIO?: {
    weight?: number
    weightDevice?: WeightDevice[]
    throttleReadBpsDevice?: ThrottleRate[]
    throttleWriteBpsDevice?: ThrottleRate[]
    throttleReadIOPSDevice?: ThrottleRate[]
    throttleWriteIOPSDevice?: ThrottleRate[]
  }
  /** cgroup v2 files by name. */
  unified?: Record<string, string>
}

export type SeccompAction =
  | 'SCMP_ACT_KILL'
  | 'SCMP_ACT_KILL_PROCESS'
  | 'SCMP_ACT_KILL_THREAD'
  | 'SCMP_ACT_TRAP'
  | 'SCMP_ACT_ERRNO'
  | 'SCMP_ACT_TRACE'
  | 'SCMP_ACT_ALLOW'
  | 'SCMP_ACT_LOG'
  | 'SCMP_ACT_NOTIFY'

export type SeccompOperator =
  | 'SCMP_CMP_NE'
  | 'SCMP_CMP_LT'
  | 'SCMP_CMP_LE'
  | 'SCMP_CMP_EQ'
  | 'SCMP_CMP_GE'
  | 'SCMP_CMP_GT'
  | 'SCMP_CMP_MASKED_EQ'

export interface SeccompArgument {
  /** 0 to 5. */
  index: number
  /** For `SCMP_CMP_MASKED_EQ` the mask. */
  value: number
  /** For `SCMP_CMP_MASKED_EQ` what the masked argument must be. */
  valueTwo?: number
  op: SeccompOperator
}

export interface SeccompRule {
  names: string[]
  action: SeccompAction
  errnoRet?: number
  /** All must hold; several conditions on one argument are alternatives (as libseccomp's users, runc among them, read it). */
  args?: SeccompArgument[]
}

export interface SeccompSpec {
  defaultAction: SeccompAction
  defaultErrnoRet?: number
  /** `SCMP_ARCH_X86_64`, …; the native one is always covered. */
  architectures?: string[]
  /** `SECCOMP_FILTER_FLAG_LOG`, … */
  flags?: string[]
  syscalls?: SeccompRule[]
}
