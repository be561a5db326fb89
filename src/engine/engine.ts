/** The engine: what a program embeds, and what the API serves. */
import { type Logger, silent } from '../logger.ts'
import type { EngineConfig } from './config.ts'
import { Containers } from './containers.ts'
import { Events } from './events.ts'
import { Execs } from './execs.ts'
import { Images } from './images.ts'
import { EngineNetworks } from './networks.ts'
import { System } from './system.ts'
import { EngineVolumes } from './volumes.ts'

export interface EngineOptions {
  /** Survives a reboot: `/var/lib/gantry`. */
  dataRoot: string
  /** Gone after a reboot: `/run/gantry`. */
  execRoot: string
  config?: EngineConfig
  logger?: Logger
  /** Gives up the opening. */
  signal?: AbortSignal
}

export class Engine {
  readonly containers = new Containers()
  readonly execs = new Execs()
  readonly images = new Images()
  readonly networks = new EngineNetworks()
  readonly volumes = new EngineVolumes()
  readonly events = new Events()
  readonly system = new System()
  readonly config: EngineConfig
  readonly logger: Logger

  constructor(options: EngineOptions) {
    this.config = options.config ?? {}
    this.logger = options.logger ?? silent
  }

  /** Opens the roots, adopts what runs there and settles what ended meanwhile. */
  static async open(options: EngineOptions): Promise<Engine> {
    return new Engine(options)
  }

  /** Lets go of everything. Containers run on; the next {@link open} finds them. */
  async close(): Promise<void> {}
}
