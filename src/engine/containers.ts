/** Everything that can be done with containers. `ref` is an id, an unambiguous prefix of one, or a name. */
import type { Duplex, Readable } from 'node:stream'
import { notImplemented } from '../errors.ts'
import type { Digest } from '../image/types.ts'
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
import type { ContainerSpec } from './types.ts'

const soon = (name: string) => notImplemented(`${name} is not implemented`)

export interface ListOptions {
  /** Stopped ones too. */
  all?: boolean
  /** The newest n, stopped ones too. */
  limit?: number
  size?: boolean
  filters?: Filters
}

export interface StopOptions {
  /** Instead of the container's own. */
  signal?: string
  /** Seconds; -1 waits for ever. */
  timeout?: number
}

export interface RemoveOptions {
  force?: boolean
  /** Anonymous volumes too. */
  volumes?: boolean
  /** Remove the link `ref` (`/name/alias`), not the container. */
  link?: boolean
}

/** A stream of a container. Framed in 8-byte headers unless `tty`. */
export interface ContainerStream<T> {
  tty: boolean
  stream: T
}

export class Containers {
  async create(_spec: ContainerSpec): Promise<{ id: string; warnings: string[] }> {
    throw soon('create')
  }

  /** Raises notModified where it runs already. `detachKeys` concerns nothing here: it belongs to attach. */
  async start(_ref: string): Promise<void> {
    throw soon('start')
  }

  /** Raises notModified where it does not run. */
  async stop(_ref: string, _options: StopOptions = {}): Promise<void> {
    throw soon('stop')
  }

  async restart(_ref: string, _options: StopOptions = {}): Promise<void> {
    throw soon('restart')
  }

  /** `signal` is a name or a number; SIGKILL unless told. */
  async kill(_ref: string, _signal?: string): Promise<void> {
    throw soon('kill')
  }

  async pause(_ref: string): Promise<void> {
    throw soon('pause')
  }

  async unpause(_ref: string): Promise<void> {
    throw soon('unpause')
  }

  /**
   * Raises at once (not in the promise) for an unknown container, so that a server can send its headers and then wait.
   * Rejects with the signal's reason when that aborts.
   */
  wait(_ref: string, _condition: WaitCondition = 'not-running', _signal?: AbortSignal): Promise<WaitResult> {
    throw soon('wait')
  }

  async rename(_ref: string, _name: string): Promise<void> {
    throw soon('rename')
  }

  async remove(_ref: string, _options: RemoveOptions = {}): Promise<void> {
    throw soon('remove')
  }

  async list(_options: ListOptions = {}): Promise<ContainerSummary[]> {
    throw soon('list')
  }

  async inspect(_ref: string, _options: { size?: boolean } = {}): Promise<ContainerDetails> {
    throw soon('inspect')
  }

  /** `psArgs` as `ps` would take them; `-ef` unless told. */
  async top(_ref: string, _psArgs?: string): Promise<TopResult> {
    throw soon('top')
  }

  async logs(_ref: string, _options: LogOptions = {}): Promise<ContainerStream<Readable>> {
    throw soon('logs')
  }

  /** Open before start and nothing is lost. The stream ends with the container or by the detach keys. */
  async attach(_ref: string, _options: AttachOptions = {}): Promise<ContainerStream<Duplex>> {
    throw soon('attach')
  }

  async resize(_ref: string, _rows: number, _columns: number): Promise<void> {
    throw soon('resize')
  }

  /** `docker diff`. */
  async changes(_ref: string): Promise<Change[]> {
    throw soon('changes')
  }

  /** The whole file system as a tar. */
  async export(_ref: string): Promise<Readable> {
    throw soon('export')
  }

  async archiveStat(_ref: string, _path: string): Promise<PathStat> {
    throw soon('archiveStat')
  }

  async archiveGet(_ref: string, _path: string): Promise<{ stat: PathStat; stream: Readable }> {
    throw soon('archiveGet')
  }

  /** `tar` may be compressed. */
  async archivePut(
    _ref: string,
    _path: string,
    _tar: Readable,
    _options: { noOverwriteDirNonDir?: boolean; copyUidGid?: boolean } = {},
  ): Promise<void> {
    throw soon('archivePut')
  }

  async update(_ref: string, _options: UpdateOptions): Promise<{ warnings: string[] }> {
    throw soon('update')
  }

  /** One reading a second while `stream`; else one (with `oneShot`: at once, with empty `precpu`). Raises before the first reading for an unknown container. */
  async stats(
    _ref: string,
    _options: { stream?: boolean; oneShot?: boolean; signal?: AbortSignal } = {},
  ): Promise<AsyncIterable<StatsSample>> {
    throw soon('stats')
  }

  /** Filters: `until`, `label`, `label!`. */
  async prune(_filters: Filters = {}): Promise<PruneReport> {
    throw soon('prune')
  }

  /** The new image's id. */
  async commit(_ref: string, _options: CommitOptions = {}): Promise<Digest> {
    throw soon('commit')
  }
}
