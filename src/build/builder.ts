/**
 * The builder: one object for every door. A build goes through three rooms: the Dockerfile is read ({@link file://./dockerfile/}),
 * planned as a graph ({@link file://./plan/}) and solved ({@link file://./solve/}); then its outputs are written.
 */
import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { GantryError, messageOf } from '../errors.ts'
import type { ImageStore } from '../image/image-store.ts'
import type { Snapshots } from '../image/snapshots.ts'
import { type Logger, silent } from '../logger.ts'
import type { RegistryService } from '../registry/types.ts'
import { Contexts } from './contexts.ts'
import { DockerfileError } from './dockerfile/errors.ts'
import type { ExportContext } from './export/image.ts'
import { BuildHistory } from './history.ts'
import { setBuilding } from './interrupted.ts'
import { Build, type BuildParts } from './one-build.ts'
import { hostPlatform } from './plan/platform.ts'
import type { BuildRequest, BuildResult } from './request.ts'
import { Results } from './results.ts'
import { CacheMounts } from './solve/cache-mounts.ts'
import { FilePool } from './solve/file-pool.ts'
import { Layers } from './solve/layers.ts'
import type { OnProgress } from './solve/progress.ts'
import { Records } from './solve/records.ts'
import { Solver } from './solve/solver.ts'
import type { StepExecutor } from './solve/step.ts'
import { fetchGit } from './sources/git.ts'
import { fetchHttp } from './sources/http.ts'
import { type ImageRequest, ImageSource, type Puller } from './sources/images.ts'
import { BuildCache } from './usage.ts'

export interface BuilderOptions {
  /** The builder keeps `build/` in it. Survives a reboot. */
  dataRoot: string
  images: ImageStore
  snapshots: Snapshots
  executor: StepExecutor
  registries?: Puller & Partial<Pick<RegistryService, 'push' | 'withRepository'>>
  logger?: Logger
  /** Steps that may run at once; 4. */
  parallelism?: number
}

export class Builder {
  readonly history: BuildHistory
  readonly cache: BuildCache
  readonly #options: BuilderOptions
  readonly #files: FilePool
  readonly #layers: Layers
  readonly #records: Records
  readonly #solver: Solver
  readonly #contexts: Contexts
  readonly #images: ImageSource
  readonly #export: ExportContext
  readonly #scratch: string
  readonly #results = new Results()
  readonly #running = new Map<string, AbortController>()

  /** Opens the cache and sweeps what a crash left. */
  constructor(options: BuilderOptions) {
    this.#options = options
    this.#files = new FilePool({ archiveLimit: options.snapshots.maxLayerBytes })
    const root = path.join(options.dataRoot, 'build')
    fs.mkdirSync(root, { recursive: true, mode: 0o700 })
    this.#scratch = path.join(root, 'tmp')
    fs.rmSync(this.#scratch, { recursive: true, force: true })
    fs.mkdirSync(this.#scratch, { mode: 0o700 })
    this.#layers = new Layers(root, options.snapshots)
    this.#records = new Records(root, layer => this.#layers.has(layer))
    const needed = this.#records.layersNeeded()
    for (const layer of this.#layers.list()) if (!needed.has(layer)) this.#layers.remove(layer)
    setBuilding(options.dataRoot, false)
    this.#contexts = new Contexts(root, this.#files)
    this.#images = new ImageSource(options.images, options.registries)
    const caches = new CacheMounts(root)
    this.history = new BuildHistory(root)
    this.cache = new BuildCache({
      layers: this.#layers,
      records: this.#records,
      files: this.#files,
      caches,
      isBusy: () => this.#running.size > 0,
      onReleased: () => void options.images.collectGarbage(),
    })
    this.#export = {
      content: options.images.content,
      layers: this.#layers,
      files: this.#files,
      records: this.#records,
      tars: new Map(),
    }
    this.#solver = new Solver({
      layers: this.#layers,
      records: this.#records,
      files: this.#files,
      executor: options.executor,
      caches,
      parallelism: options.parallelism ?? 4,
      sources: {
        image: (op, session) =>
          this.#images.base({ ...op, auth: async () => undefined, signal: session.signal }),
        git: (op, session) => fetchGit(op, this.#scratch, session.signal),
        http: (op, session) => fetchHttp(op, this.#scratch, session.signal),
      },
    })
  }

  /** Stop a running build by its id; `false` where there is none. */
  cancel(id: string): boolean {
    const controller = this.#running.get(id)
    controller?.abort(new GantryError('invalid', 'context canceled'))
    return controller !== undefined
  }

  async close(): Promise<void> {
    for (const id of this.#running.keys()) this.cancel(id)
    await this.#files.close()
  }

  /** The config of an image, for the platform of this host unless told. */
  resolveImage(
    ref: string,
    options: Partial<Omit<ImageRequest, 'ref'>> = {},
  ): ReturnType<ImageSource['resolve']> {
    const { platform = hostPlatform, pull = false, auth = async () => undefined } = options
    const signal = options.signal ?? new AbortController().signal
    return this.#images.resolve({ ref, platform, pull, auth, signal })
  }

  /** Build. Rejects with a {@link DockerfileError} for what is wrong in the file, with an `ExitError` for a failed command. */
  async build(request: BuildRequest): Promise<BuildResult> {
    const id = request.id ?? randomBytes(12).toString('hex')
    const controller = new AbortController()
    const onAbort = () => controller.abort(request.signal?.reason)
    request.signal?.addEventListener('abort', onAbort, { once: true })
    if (request.signal?.aborted) onAbort()
    if (this.#running.size === 0) setBuilding(this.#options.dataRoot, true)
    this.#running.set(id, controller)
    const entry = this.history.begin(id, request)
    const onProgress: OnProgress = event => {
      entry.progress(event)
      request.onProgress?.(event)
    }
    try {
      const result = await new Build(this.#parts(), id, request, controller.signal, onProgress).run()
      entry.completed(result)
      return result
    } catch (error) {
      const reason = controller.signal.aborted ? canceled(controller.signal.reason) : error
      entry.failed(reason)
      throw reason
    } finally {
      request.signal?.removeEventListener('abort', onAbort)
      this.#running.delete(id)
      this.#afterBuild()
    }
  }

  #parts(): BuildParts {
    return {
      options: this.#options,
      contexts: this.#contexts,
      layers: this.#layers,
      solver: this.#solver,
      images: this.#images,
      exporting: this.#export,
      scratch: this.#scratch,
      results: this.#results,
    }
  }

  #flushing = false

  /** Bring the cache to the disk when nothing runs, without making anybody wait. */
  #afterBuild(): void {
    if (this.#running.size > 0) return
    setBuilding(this.#options.dataRoot, false)
    if (this.#flushing) return
    this.#flushing = true
    const logger = this.#options.logger ?? silent
    this.#records
      .flush()
      .then(() => this.cache.settle())
      .catch(error => logger.warn('build cache not synced', { error: messageOf(error) }))
      .finally(() => {
        this.#flushing = false
      })
  }
}

function canceled(reason: unknown): Error {
  return reason instanceof GantryError
    ? reason
    : new GantryError('invalid', 'context canceled', { cause: reason })
}
