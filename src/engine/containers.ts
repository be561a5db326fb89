/** Everything that can be done with containers. `ref` is an id, an unambiguous prefix of one, or a name. */
import type { Duplex, Readable } from 'node:stream'
import { conflict, notFound } from '../errors.ts'
import type { Digest } from '../image/types.ts'
import { archiveGet, archivePut, archiveStat, exportContainer } from './archive.ts'
import { attachContainer } from './attach.ts'
import { commitContainer } from './commit.ts'
import type { EngineContext } from './context.ts'
import { Control, type StopOptions } from './control.ts'
import { createContainer } from './create.ts'
import { inspectContainer } from './inspect.ts'
import { removeLink } from './links.ts'
import { type ListOptions, listContainers } from './list.ts'
import { readLogs } from './logs.ts'
import { type RemoveOptions, Remover } from './remove.ts'
import type {
  AttachOptions,
  Change,
  CommitOptions,
  ContainerDetails,
  ContainerSummary,
  Filters,
  LogOptions,
  PathStat,
  PruneReport,
  StatsSample,
  TopResult,
  UpdateOptions,
  WaitCondition,
  WaitResult,
} from './results.ts'
import { type RunListener, Runner } from './runner.ts'
import { Statistics } from './stats.ts'
import { topContainer } from './top.ts'
import type { ContainerSpec } from './types.ts'
import { updateContainer } from './update.ts'

export type { StopOptions } from './control.ts'
export type { ListOptions } from './list.ts'
export type { RemoveOptions } from './remove.ts'

/** A stream of a container. Framed in 8-byte headers unless `tty`. */
export interface ContainerStream<T> {
  tty: boolean
  stream: T
}

export class Containers {
  readonly #context: EngineContext
  readonly #control: Control
  readonly #statistics: Statistics
  /** For the engine itself: how containers are started and settled, and how they go. */
  readonly runner: Runner
  readonly remover: Remover

  constructor(context: EngineContext, onStarted: RunListener['onStarted']) {
    this.#context = context
    this.runner = new Runner(context, {
      onStarted,
      onAutoRemove: container => this.remover.autoRemove(container),
    })
    this.#control = new Control(context, this.runner)
    this.remover = new Remover(context, this.#control)
    this.#statistics = new Statistics(context)
  }

  #get(ref: string) {
    return this.#context.store.get(ref)
  }

  create(spec: ContainerSpec): Promise<{ id: string; warnings: string[] }> {
    return createContainer(this.#context, spec)
  }

  /** Raises notModified where it runs already. */
  async start(ref: string): Promise<void> {
    await this.runner.start(this.#get(ref))
  }

  /** Raises notModified where it does not run. */
  async stop(ref: string, options: StopOptions = {}): Promise<void> {
    await this.#control.stop(this.#get(ref), options)
  }

  async restart(ref: string, options: StopOptions = {}): Promise<void> {
    await this.#control.restart(this.#get(ref), options)
  }

  /** `signal` is a name or a number; SIGKILL unless told, which waits for the end. */
  async kill(ref: string, signal?: string): Promise<void> {
    const container = this.#context.store.find(ref)
    if (!container) throw notFound(`cannot kill container: ${ref}: No such container: ${ref}`)
    await this.#control.kill(container, ref, signal)
  }

  async pause(ref: string): Promise<void> {
    await this.#control.pause(this.#get(ref))
  }

  async unpause(ref: string): Promise<void> {
    await this.#control.unpause(this.#get(ref))
  }

  /**
   * Raises at once (not in the promise) for an unknown container, so that a server can send its headers and then wait.
   * Rejects with the signal's reason when that aborts.
   */
  wait(ref: string, condition: WaitCondition = 'not-running', signal?: AbortSignal): Promise<WaitResult> {
    return this.#control.wait(this.#get(ref), condition, signal)
  }

  async rename(ref: string, name: string): Promise<void> {
    await this.#control.rename(this.#get(ref), name)
  }

  async remove(ref: string, options: RemoveOptions = {}): Promise<void> {
    await this.remover.remove(this.#get(ref), ref, options)
  }

  /** Only the link `path` (`parent/alias`), not the container. */
  async removeLink(path: string): Promise<void> {
    removeLink(this.#context, path)
  }

  list(options: ListOptions = {}): Promise<ContainerSummary[]> {
    return listContainers(this.#context, options)
  }

  async inspect(ref: string, options: { size?: boolean } = {}): Promise<ContainerDetails> {
    return inspectContainer(this.#context, this.#get(ref), options)
  }

  /** `psArgs` as `ps` would take them; `-ef` unless told. */
  async top(ref: string, psArgs?: string): Promise<TopResult> {
    return topContainer(this.#context, this.#get(ref), psArgs)
  }

  async logs(ref: string, options: LogOptions = {}): Promise<ContainerStream<Readable>> {
    const container = this.#get(ref)
    const stream = await readLogs(this.#context, container, options)
    return { tty: container.record.config.tty ?? false, stream }
  }

  /** Open before start and nothing is lost. The stream ends with the container or by the detach keys. */
  async attach(ref: string, options: AttachOptions = {}): Promise<ContainerStream<Duplex>> {
    return attachContainer(this.#context, this.#get(ref), ref, options)
  }

  async resize(ref: string, rows: number, columns: number): Promise<void> {
    const container = this.#get(ref)
    if (!container.task) throw conflict(`container ${container.id} is not running`)
    await container.task.resize(rows, columns)
    this.#context.states.note(container, 'resize', { height: String(rows), width: String(columns) })
  }

  /** `docker diff`. */
  async changes(ref: string): Promise<Change[]> {
    return this.#context.snapshots.changes(this.#get(ref).snapshot)
  }

  /** The whole file system as a tar. */
  async export(ref: string): Promise<Readable> {
    return exportContainer(this.#context, this.#get(ref))
  }

  async archiveStat(ref: string, path: string): Promise<PathStat> {
    return archiveStat(this.#context, this.#get(ref), ref, path)
  }

  async archiveGet(ref: string, path: string): Promise<{ stat: PathStat; stream: Readable }> {
    return archiveGet(this.#context, this.#get(ref), ref, path)
  }

  /** `tar` may be compressed. */
  async archivePut(
    ref: string,
    path: string,
    tar: Readable,
    options: { noOverwriteDirNonDir?: boolean; copyUidGid?: boolean } = {},
  ): Promise<void> {
    await archivePut(this.#context, this.#get(ref), ref, path, tar, options)
  }

  async update(ref: string, options: UpdateOptions): Promise<{ warnings: string[] }> {
    return updateContainer(this.#context, this.#get(ref), options)
  }

  /** One reading of its counters, a second after one that it is compared with (`oneShot`: at once, with empty `precpu`). */
  async stats(ref: string, options: { oneShot?: boolean; signal?: AbortSignal } = {}): Promise<StatsSample> {
    return this.#statistics.read(this.#get(ref), options)
  }

  /**
   * One reading now and one a second, until the signal aborts or the container is removed; all who watch a container are told
   * the same objects. Raises at once (not in the promise) for an unknown container.
   */
  watchStats(ref: string, tell: (sample: StatsSample) => void, signal?: AbortSignal): Promise<void> {
    return this.#statistics.watch(this.#get(ref), tell, signal)
  }

  /** Filters: `until`, `label`, `label!`. */
  prune(filters: Filters = {}): Promise<PruneReport> {
    return this.remover.prune(filters)
  }

  /** The new image's id. */
  async commit(ref: string, options: CommitOptions = {}): Promise<Digest> {
    return commitContainer(this.#context, this.#get(ref), options)
  }
}
