/** The engine: what a program embeds, and what the API serves. */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { collectRegularly } from '../image/garbage.ts'
import { takeUp } from '../image/held.ts'
import { acquireRoot } from '../image/root-lock.ts'
import { openStorage } from '../image/storage.ts'
import { type Logger, silent } from '../logger.ts'
import { KeyedMutex } from '../mutex.ts'
import { Networks } from '../network/networks.ts'
import type { FileEdits } from '../network/types.ts'
import { Registries } from '../registry/registries.ts'
import { createLauncher } from '../runtime/shim-launcher.ts'
import { Volumes } from '../volume/volumes.ts'
import type { EngineConfig } from './config.ts'
import { Containers } from './containers.ts'
import type { EngineContext } from './context.ts'
import { Events } from './events.ts'
import { Execs } from './execs.ts'
import { HealthChecks } from './health.ts'
import { Images } from './images.ts'
import { InitLayers } from './init-layer.ts'
import { EngineNetworks } from './networks.ts'
import { launcherRoot } from './outside-runtime.ts'
import { findRuns, Recovery, runningContainers } from './recover.ts'
import { States } from './state.ts'
import { storageDriver } from './storage-driver.ts'
import { ContainerStore } from './store.ts'
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
  readonly containers: Containers
  readonly execs: Execs
  readonly health: HealthChecks
  readonly images: Images
  readonly networks: EngineNetworks
  readonly volumes: EngineVolumes
  readonly events: Events
  readonly system: System
  /** Login, search, and what a name stands for elsewhere. */
  readonly registries: Registries
  readonly config: EngineConfig
  readonly logger: Logger
  /** For rooms above that need the stores themselves: build, registry. */
  readonly context: EngineContext
  readonly #closing: AbortController
  readonly #releaseRoot: () => void

  protected constructor(context: EngineContext, closing: AbortController, releaseRoot: () => void) {
    this.context = context
    this.config = context.config
    this.logger = context.logger
    this.events = context.events
    this.#closing = closing
    this.#releaseRoot = releaseRoot
    this.execs = new Execs(context)
    this.health = new HealthChecks(context, this.execs)
    this.containers = new Containers(context, (container, signal) => this.health.watch(container, signal))
    this.registries = new Registries(context.images, registryConfig(context.config))
    this.images = new Images(context, this.registries)
    this.networks = new EngineNetworks(context)
    this.volumes = new EngineVolumes(context)
    this.system = new System(context, this.containers, this.images, this.volumes)
  }

  /** Opens the roots, adopts what runs there, settles what ended meanwhile, and starts what is to run. */
  static async open(options: EngineOptions): Promise<Engine> {
    const { dataRoot, execRoot, config = {}, logger = silent, signal } = options
    const closing = new AbortController()
    fs.mkdirSync(dataRoot, { recursive: true, mode: 0o710 })
    fs.mkdirSync(execRoot, { recursive: true, mode: 0o711 })
    const releaseRoot = acquireRoot(dataRoot, 'engine')
    try {
      const trash = path.join(dataRoot, 'trash')
      const store = new ContainerStore(path.join(dataRoot, 'containers'), trash, logger)
      store.load()
      const events = new Events()
      const driver = storageDriver(config)
      const { images, snapshots } = openStorage({
        root: dataRoot,
        logger,
        ...(driver && { driver }),
        ...(config.maxLayerSize && { limits: { layerBytes: config.maxLayerSize } }),
      })
      await images.repair()
      const volumes = new Volumes(path.join(dataRoot, 'volumes'), trash, logger)
      const launcher = createLauncher({ root: launcherRoot(execRoot) })
      signal?.throwIfAborted()
      const findings = await findRuns({ store, launcher, logger })
      const networks = await Networks.open(
        {
          dataRoot,
          execRoot,
          config,
          logger,
          onEvent: (action, id, attributes) => events.emit('network', action, id, attributes),
          onFilesChanged: (id, edits) => editFiles(store.folderOf(id), edits),
        },
        runningContainers({ store }, findings),
      )
      const context: EngineContext = {
        dataRoot,
        execRoot,
        config,
        logger,
        closing: closing.signal,
        store,
        states: new States(store, events),
        events,
        locks: new KeyedMutex(),
        images,
        snapshots,
        initLayers: new InitLayers(dataRoot, snapshots),
        volumes,
        networks,
        launcher,
      }
      const engine = new this(context, closing, releaseRoot)
      const recovery = new Recovery(context, engine.containers.runner)
      await recovery.settle(findings)
      await recovery.resume(engine.containers.remover)
      // What the build cache stands on: the builder itself is opened when it is first asked for.
      await takeUp(snapshots, path.join(dataRoot, 'build/bases'))
      collectRegularly(images, logger, closing.signal)
      return engine
    } catch (error) {
      releaseRoot()
      throw error
    }
  }

  /** Lets go of everything. Containers run on; the next {@link open} finds them. */
  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return
    this.#closing.abort(new Error('the engine is closing'))
    await this.context.networks.close()
    for (const container of this.context.store.all()) container.task?.disconnect()
    this.context.launcher.close()
    this.#releaseRoot()
  }
}

/** In place: the container has these very files mounted. */
function editFiles(folder: string, edits: FileEdits): void {
  for (const [name, edit] of [
    ['hosts', edits.hosts],
    ['resolv.conf', edits.resolvConf],
  ] as const) {
    const file = path.join(folder, name)
    const before = fs.readFileSync(file, 'utf8')
    const after = edit(before)
    if (after !== before) fs.writeFileSync(file, after)
  }
}

function registryConfig(config: EngineConfig) {
  return {
    ...(config.registryMirrors && { mirrors: config.registryMirrors }),
    ...(config.insecureRegistries && { insecureRegistries: config.insecureRegistries }),
    ...(config.maxConcurrentDownloads && { maxConcurrentDownloads: config.maxConcurrentDownloads }),
    ...(config.maxConcurrentUploads && { maxConcurrentUploads: config.maxConcurrentUploads }),
    ...(config.maxDownloadAttempts && { maxDownloadAttempts: config.maxDownloadAttempts }),
    environment: process.env,
  }
}
