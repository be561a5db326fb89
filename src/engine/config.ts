/** How an engine is set up: `daemon.json` and the daemon's flags, translated. Everything has Docker's default. */
import type { NetworkConfig } from '../network/types.ts'
import type { LogConfig, Ulimit } from './types.ts'

export type { AddressPool } from '../network/types.ts'

/** An outside OCI runtime (`--add-runtime`, `runtimes` in daemon.json). */
export interface RuntimeConfig {
  path: string
  runtimeArgs?: string[]
}

export interface EngineConfig extends NetworkConfig {
  /** `key=value` labels of the daemon itself. */
  labels?: string[]
  /** The log driver of containers that name none; `json-file` unless told. */
  logConfig?: LogConfig
  /** `overlay2` or `vfs`; the better one that works where absent. */
  storageDriver?: string
  /** Bytes of /dev/shm where a container says nothing; 64 MiB. */
  defaultShmSize?: number
  defaultIpcMode?: string
  defaultCgroupnsMode?: 'private' | 'host'
  defaultRuntime?: string
  runtimes?: Record<string, RuntimeConfig>
  defaultUlimits?: Ulimit[]
  cgroupParent?: string
  /** Run every container with an init process. */
  init?: boolean
  initPath?: string
  noNewPrivileges?: boolean
  /** Path of a profile, `builtin` or `unconfined`. */
  seccompProfile?: string
  oomScoreAdjust?: number
  /** Seconds that the daemon's own end waits. */
  shutdownTimeout?: number
  registryMirrors?: string[]
  insecureRegistries?: string[]
  maxConcurrentDownloads?: number
  maxConcurrentUploads?: number
  maxDownloadAttempts?: number
  /** Bytes of one layer, unpacked; 256 GiB. Gantry's own setting. */
  maxLayerSize?: number
  experimental?: boolean
  debug?: boolean
}
