/** What the engine answers. The API gives these Docker's wire names; nothing here is computed there again. */
import type { ImageSummary as StoredImageSummary } from '../image/image-list.ts'
import type {
  Descriptor,
  Digest,
  HistoryEntry,
  ImageConfig,
  ImageRuntimeConfig,
  Platform,
} from '../image/types.ts'
import type { EndpointDetails } from '../network/types.ts'
import type {
  ContainerRecord,
  ContainerStatus,
  HealthState,
  MountPoint,
  PortBinding,
  Resources,
  RestartPolicy,
} from './types.ts'

export type { PathStat } from '../image/copy/path-stat.ts'
export type { ImageRemoval } from '../image/removal.ts'
export type { Change } from '../image/snapshots.ts'
export type { Filters } from '../network/filters.ts'
export type { EndpointDetails } from '../network/types.ts'

/** One line of a progress stream, as clients draw it. */
export interface ProgressMessage {
  status?: string
  stream?: string
  id?: string
  progressDetail?: { current?: number; total?: number; hidecounts?: boolean; units?: string }
  progress?: string
  error?: string
  errorDetail?: { code?: number; message: string }
  aux?: unknown
}

export type Progress = (message: ProgressMessage) => void

export interface Port {
  ip?: string
  privatePort: number
  publicPort?: number
  type: 'tcp' | 'udp' | 'sctp'
}

export interface NetworkDetails {
  sandboxId: string
  sandboxKey: string
  /** By `80/tcp`; null where exposed and not published. */
  ports: Record<string, { hostIp: string; hostPort: string }[] | null>
  endpoints: Record<string, EndpointDetails>
}

export interface ContainerSummary {
  id: string
  /** With the slash; links add more. */
  names: string[]
  image: string
  imageId: Digest
  imageManifest?: Descriptor
  command: string
  /** Seconds since 1970. */
  created: number
  ports: Port[]
  labels: Record<string, string>
  state: ContainerStatus
  /** `Up 3 minutes (healthy)`, `Exited (0) 2 hours ago`, … */
  status: string
  networkMode: string
  annotations?: Record<string, string>
  networks: Record<string, EndpointDetails>
  mounts: MountPoint[]
  health?: Pick<HealthState, 'status' | 'failingStreak'>
  sizeRw?: number
  sizeRootFs?: number
}

export interface ContainerDetails {
  record: ContainerRecord
  resolvConfPath: string
  hostnamePath: string
  hostsPath: string
  /** Ids of the exec instances that are not gone; null is none. */
  execIds: string[] | null
  network: NetworkDetails
  imageManifest?: Descriptor
  /** Folders of the overlay: LowerDir, MergedDir, UpperDir, WorkDir. */
  storage: { driver: string; data: Record<string, string> }
  appArmorProfile: string
  sizeRw?: number
  sizeRootFs?: number
}

export type WaitCondition = 'not-running' | 'next-exit' | 'removed'

export interface WaitResult {
  exitCode: number
  error?: string
}

export interface TopResult {
  titles: string[]
  processes: string[][]
}

export interface LogOptions {
  stdout?: boolean
  stderr?: boolean
  /** Nanoseconds since 1970. */
  since?: bigint
  until?: bigint
  timestamps?: boolean
  details?: boolean
  follow?: boolean
  /** Lines from the end; absent is all. */
  tail?: number
  signal?: AbortSignal
}

export interface AttachOptions {
  stdin?: boolean
  stdout?: boolean
  stderr?: boolean
  /** Follow what comes; else only `logs`. */
  stream?: boolean
  /** Replay the log first. */
  logs?: boolean
  /** `ctrl-p,ctrl-q` unless told. */
  detachKeys?: string
  signal?: AbortSignal
}

export interface UpdateOptions {
  resources: Resources
  restartPolicy?: RestartPolicy
  /** All that is to be published from now on, by `80/tcp`. Absent leaves the ports as they are. */
  portBindings?: Record<string, PortBinding[]>
}

export interface CommitOptions {
  repository?: string
  tag?: string
  comment?: string
  author?: string
  /** Pause while the layer is read; true unless told. */
  pause?: boolean
  /** Dockerfile instructions. */
  changes?: string[]
  config?: ImageRuntimeConfig
}

export interface ExecSpec {
  cmd: string[]
  user?: string
  env?: string[]
  workingDir?: string
  privileged?: boolean
  tty?: boolean
  attachStdin?: boolean
  attachStdout?: boolean
  attachStderr?: boolean
  detachKeys?: string
  consoleSize?: [number, number]
}

export interface ExecDetails {
  id: string
  containerId: string
  running: boolean
  /** null until it ended. */
  exitCode: number | null
  pid: number
  /** Started at least once or closed. */
  canRemove: boolean
  openStdin: boolean
  openStdout: boolean
  openStderr: boolean
  detachKeys: string
  spec: ExecSpec
  entrypoint: string
  arguments: string[]
}

/** One reading of a container's counters. Bytes, nanoseconds, packets; Docker's words. */
export interface StatsSample {
  id: string
  name: string
  osType: string
  /** RFC 3339; the year 1 for a container that does not run. */
  read: string
  preread: string
  pids: { current?: number; limit?: number }
  cpu: CpuStats
  precpu: CpuStats
  memory: {
    usage?: number
    maxUsage?: number
    limit?: number
    failcnt?: number
    stats?: Record<string, number>
  }
  blkio: Record<
    | 'ioServiceBytesRecursive'
    | 'ioServicedRecursive'
    | 'ioQueueRecursive'
    | 'ioServiceTimeRecursive'
    | 'ioWaitTimeRecursive'
    | 'ioMergedRecursive'
    | 'ioTimeRecursive'
    | 'sectorsRecursive',
    { major: number; minor: number; op: string; value: number }[] | null
  >
  networks?: Record<
    string,
    {
      rxBytes: number
      rxPackets: number
      rxErrors: number
      rxDropped: number
      txBytes: number
      txPackets: number
      txErrors: number
      txDropped: number
    }
  >
}

export interface CpuStats {
  totalUsage: number
  percpuUsage?: number[]
  usageInKernelmode: number
  usageInUsermode: number
  systemUsage?: number
  onlineCpus?: number
  throttling: { periods: number; throttledPeriods: number; throttledTime: number }
}

export interface ImageSummary extends StoredImageSummary {
  descriptor?: Descriptor
}

export interface ImageDetails {
  id: Digest
  repoTags: string[]
  repoDigests: string[]
  parent: string
  comment: string
  config: ImageConfig
  size: number
  storage: { driver: string; data: Record<string, string> }
  /** RFC 3339; when the last tag was set. */
  lastTagTime: string
  descriptor?: Descriptor
}

export interface ImageHistoryEntry extends HistoryEntry {
  id: string
  size: number
  tags: string[] | null
}

export interface PruneReport {
  deleted: string[]
  /** Bytes. */
  spaceReclaimed: number
}

export interface VolumeDetails {
  name: string
  driver: string
  mountpoint: string
  /** RFC 3339. */
  createdAt: string
  labels: Record<string, string> | null
  options: Record<string, string> | null
  scope: 'local'
  /** Only from disk usage. */
  usage?: { size: number; refCount: number }
}

export interface DiskUsage {
  layersSize: number
  images: ImageSummary[]
  containers: ContainerSummary[]
  volumes: VolumeDetails[]
  buildCache: unknown[]
}

export interface SystemInfo {
  id: string
  name: string
  containers: number
  containersRunning: number
  containersPaused: number
  containersStopped: number
  images: number
  driver: string
  driverStatus: [string, string][]
  dataRoot: string
  memoryLimit: boolean
  swapLimit: boolean
  cpuCfsPeriod: boolean
  cpuCfsQuota: boolean
  cpuShares: boolean
  cpuSet: boolean
  pidsLimit: boolean
  oomKillDisable: boolean
  ipv4Forwarding: boolean
  debug: boolean
  fds: number
  eventListeners: number
  loggingDriver: string
  cgroupDriver: 'cgroupfs' | 'none'
  cgroupVersion: '1' | '2'
  kernelVersion: string
  operatingSystem: string
  osVersion: string
  osType: string
  architecture: string
  cpus: number
  memory: number
  httpProxy: string
  httpsProxy: string
  noProxy: string
  labels: string[]
  experimental: boolean
  version: string
  runtimes: Record<string, { path: string; runtimeArgs?: string[] }>
  defaultRuntime: string
  securityOptions: string[]
  initBinary: string
  logDrivers: string[]
  volumeDrivers: string[]
  networkDrivers: string[]
  registryMirrors: string[]
  insecureRegistries: string[]
  warnings: string[]
}

export interface VersionInfo {
  version: string
  gitCommit: string
  platform: Platform
  kernelVersion: string
  buildTime: string
  components: { name: string; version: string; details: Record<string, string> }[]
}
