/** What the engine's parts share. Made once, by {@link file://./engine.ts}. */
import type { ImageStore } from '../image/image-store.ts'
import type { Snapshots } from '../image/snapshots.ts'
import type { Logger } from '../logger.ts'
import type { KeyedMutex } from '../mutex.ts'
import type { Networks } from '../network/networks.ts'
import type { Launcher } from '../runtime/launcher.ts'
import type { Volumes } from '../volume/volumes.ts'
import type { EngineConfig } from './config.ts'
import type { Events } from './events.ts'
import type { InitLayers } from './init-layer.ts'
import type { States } from './state.ts'
import type { ContainerStore } from './store.ts'

export interface EngineContext {
  readonly dataRoot: string
  readonly execRoot: string
  readonly config: EngineConfig
  readonly logger: Logger
  /** Aborts when the engine closes. */
  readonly closing: AbortSignal
  readonly store: ContainerStore
  readonly states: States
  readonly events: Events
  /** One lock a container, by id. */
  readonly locks: KeyedMutex
  readonly images: ImageStore
  readonly snapshots: Snapshots
  readonly initLayers: InitLayers
  readonly volumes: Volumes
  readonly networks: Networks
  readonly launcher: Launcher
}
