/**
 * The words of the domain: what a container is asked to be ({@link ContainerSpec}), what is kept of it
 * ({@link ContainerRecord}, `container.json`) and what state it is in ({@link ContainerState}).
 *
 * Names are Docker's in camelCase where the unit is not in doubt; the wire names live in `api/`. A field that is absent was not
 * asked for: the engine applies the default where it acts, so that `inspect` can show what the caller said.
 */
import type { Digest, ImageConfig, Platform } from '../image/types.ts'
import type { EndpointSpec, PortBinding } from '../network/types.ts'

export type { EndpointSpec, PortBinding }

/** Nanoseconds. */
export type Nanoseconds = number

/** `HEALTHCHECK`. `test` is `['NONE']`, `['CMD', …argv]`, `['CMD-SHELL', line]`, or empty to inherit. */
export interface HealthcheckSpec {
  test?: string[]
  interval?: Nanoseconds
  timeout?: Nanoseconds
  startPeriod?: Nanoseconds
  startInterval?: Nanoseconds
  retries?: number
}

/** The part of a container that an image can give a default for (`Config` on the wire). */
export interface ContainerConfig {
  hostname?: string
  domainname?: string
  user?: string
  attachStdin?: boolean
  attachStdout?: boolean
  attachStderr?: boolean
  /** `80/tcp`, `53/udp`, … */
  exposedPorts?: string[]
  tty?: boolean
  openStdin?: boolean
  stdinOnce?: boolean
  /** `NAME=value`; a bare `NAME` removes an image's variable. */
  env?: string[]
  cmd?: string[]
  entrypoint?: string[]
  healthcheck?: HealthcheckSpec
  /** As the user wrote it. */
  image: string
  /** Container paths of anonymous volumes. */
  volumes?: string[]
  workingDir?: string
  networkDisabled?: boolean
  onBuild?: string[]
  labels?: Record<string, string>
  /** `SIGTERM`, `TERM` or `15`. */
  stopSignal?: string
  /** Seconds; -1 waits for ever. */
  stopTimeout?: number
  shell?: string[]
}

export interface LogConfig {
  /** `json-file`, `local`, `none`; '' is the daemon's default. */
  type: string
  options: Record<string, string>
}

export interface RestartPolicy {
  name: '' | 'no' | 'always' | 'unless-stopped' | 'on-failure'
  maximumRetryCount: number
}

export interface MountSpec {
  type: 'bind' | 'volume' | 'tmpfs' | 'image' | 'npipe' | 'cluster'
  source?: string
  target: string
  readOnly?: boolean
  consistency?: string
  bind?: {
    propagation?: string
    nonRecursive?: boolean
    createMountpoint?: boolean
    readOnlyNonRecursive?: boolean
    readOnlyForceRecursive?: boolean
  }
  volume?: {
    noCopy?: boolean
    labels?: Record<string, string>
    driver?: { name: string; options: Record<string, string> }
    subpath?: string
  }
  tmpfs?: {
    sizeBytes?: number
    mode?: number
    options?: string[][]
  }
  image?: { subpath?: string }
}

export interface DeviceMapping {
  pathOnHost: string
  pathInContainer: string
  /** Some of `rwm`. */
  permissions: string
}

export interface ThrottleDevice {
  path: string
  rate: number
}

export interface Ulimit {
  /** `nofile`, `nproc`, … without `RLIMIT_`. */
  name: string
  soft: number
  hard: number
}

export interface DeviceRequest {
  driver?: string
  count?: number
  deviceIds?: string[]
  capabilities?: string[][]
  options?: Record<string, string>
}

/** Limits: what `docker update` can change. Sizes are bytes. */
export interface Resources {
  cpuShares?: number
  /** Billionths of a CPU (`--cpus`). */
  nanoCpus?: number
  /** Microseconds. */
  cpuPeriod?: number
  /** Microseconds in each period; -1 is none. */
  cpuQuota?: number
  cpuRealtimePeriod?: number
  cpuRealtimeRuntime?: number
  cpusetCpus?: string
  cpusetMems?: string
  memory?: number
  memoryReservation?: number
  /** Memory and swap together; -1 is unlimited. */
  memorySwap?: number
  /** 0 to 100; -1 is the kernel's. */
  memorySwappiness?: number
  kernelMemory?: number
  kernelMemoryTcp?: number
  oomKillDisable?: boolean
  /** 0 or -1 is unlimited. */
  pidsLimit?: number
  /** 10 to 1000. */
  blkioWeight?: number
  blkioWeightDevice?: { path: string; weight: number }[]
  blkioDeviceReadBps?: ThrottleDevice[]
  blkioDeviceWriteBps?: ThrottleDevice[]
  blkioDeviceReadIops?: ThrottleDevice[]
  blkioDeviceWriteIops?: ThrottleDevice[]
  devices?: DeviceMapping[]
  /** `c 1:3 rwm`. */
  deviceCgroupRules?: string[]
  deviceRequests?: DeviceRequest[]
  ulimits?: Ulimit[]
  cgroupParent?: string
}

/** The part of a container that belongs to this host (`HostConfig` on the wire). */
export interface HostSpec extends Resources {
  /** `source:target[:options]`, as written. */
  binds?: string[]
  containerIdFile?: string
  logConfig?: LogConfig
  /** `default`, `bridge`, `none`, `host`, `container:ID`, or a network's name. */
  networkMode?: string
  /** By `80/tcp`. */
  portBindings?: Record<string, PortBinding[]>
  restartPolicy?: RestartPolicy
  autoRemove?: boolean
  volumeDriver?: string
  volumesFrom?: string[]
  mounts?: MountSpec[]
  /** [rows, columns] */
  consoleSize?: [number, number]
  annotations?: Record<string, string>
  capAdd?: string[]
  capDrop?: string[]
  cgroupnsMode?: '' | 'private' | 'host'
  dns?: string[]
  dnsOptions?: string[]
  dnsSearch?: string[]
  /** `name:address` */
  extraHosts?: string[]
  groupAdd?: string[]
  /** `none`, `private`, `shareable`, `host`, `container:ID` */
  ipcMode?: string
  cgroup?: string
  /** `name:alias` */
  links?: string[]
  oomScoreAdj?: number
  /** '', `host`, `container:ID` */
  pidMode?: string
  privileged?: boolean
  publishAllPorts?: boolean
  readonlyRootfs?: boolean
  securityOpt?: string[]
  storageOpt?: Record<string, string>
  /** Target to options. */
  tmpfs?: Record<string, string>
  utsMode?: string
  usernsMode?: string
  shmSize?: number
  sysctls?: Record<string, string>
  runtime?: string
  isolation?: string
  /** Absent is Docker's default list; empty is none. */
  maskedPaths?: string[]
  readonlyPaths?: string[]
  init?: boolean
}

/** A create request, translated. */
export interface ContainerSpec {
  /** Without the slash; absent for a generated one. */
  name?: string
  platform?: Platform
  config: ContainerConfig
  host: HostSpec
  /** By the network's name or id. */
  networks?: Record<string, EndpointSpec>
}

export type ContainerStatus = 'created' | 'running' | 'paused' | 'restarting' | 'removing' | 'exited' | 'dead'

export interface HealthState {
  status: 'none' | 'starting' | 'healthy' | 'unhealthy'
  failingStreak: number
  /** The last five. */
  log: { start: string; end: string; exitCode: number; output: string }[]
}

export interface ContainerState {
  status: ContainerStatus
  /** 0 unless the container has a process. */
  pid: number
  exitCode: number
  /** Why the last start failed, in Docker's words; '' if it did not. */
  error: string
  oomKilled: boolean
  /** RFC 3339 with nanoseconds; `0001-01-01T00:00:00Z` for never. */
  startedAt: string
  finishedAt: string
  restartCount: number
  /** Paused only while a commit reads it: a daemon that finds it so lets it go on. */
  pausedForCommit?: boolean
  /** Stopped by a person: no restart policy brings it back until it is started again. */
  manuallyStopped: boolean
  health?: HealthState
}

/** A mount as it was resolved at create time (`Mounts` of inspect). */
export interface MountPoint {
  type: MountSpec['type']
  /** The volume's name. */
  name?: string
  /** Absolute path on the host; '' for tmpfs. */
  source: string
  destination: string
  driver?: string
  /** As written: `z`, `ro`, `rprivate`, … */
  mode: string
  rw: boolean
  propagation: string
  spec?: MountSpec
  /** An anonymous volume, which `rm -v` takes along. */
  anonymous?: boolean
}

/** What `container.json` holds: all that the engine knows of a container and cannot ask the kernel for. */
export interface ContainerRecord {
  version: 1
  /** 64 hex digits. */
  id: string
  name: string
  created: string
  /** As merged with the image's defaults. */
  config: ContainerConfig
  host: HostSpec
  /** The image's config digest. */
  imageId: Digest
  imageManifest?: Digest
  imageConfig?: ImageConfig
  platform: Platform
  driver: string
  mounts: MountPoint[]
  networks: Record<string, EndpointSpec>
  state: ContainerState
  /** The argv as resolved: entrypoint then cmd. */
  path: string
  args: string[]
  /** '' where the log driver has no file. */
  logPath: string
}

/** Something that happened (`GET /events`). */
export interface EngineEvent {
  type: 'container' | 'image' | 'network' | 'volume' | 'daemon' | 'builder' | 'plugin'
  action: string
  actor: { id: string; attributes: Record<string, string> }
  /** Nanoseconds since 1970. */
  timeNano: bigint
}
