/** Images, as clients of the engine see them. `ref` is a name with tag or digest, an id, or a prefix of one. */
import type { Readable } from 'node:stream'
import { notImplemented } from '../errors.ts'
import type { Digest, Platform } from '../image/types.ts'
import type {
  Filters,
  ImageDetails,
  ImageHistoryEntry,
  ImageRemoval,
  ImageSummary,
  Progress,
} from './results.ts'

const soon = (name: string) => notImplemented(`${name} is not implemented`)

/** What `X-Registry-Auth` holds. */
export interface RegistryAuth {
  username?: string
  password?: string
  /** A refresh token, instead of a password. */
  identityToken?: string
  registryToken?: string
  serverAddress?: string
}

export interface TransferOptions {
  platform?: Platform
  auth?: RegistryAuth
  /** Every tag of the repository. */
  all?: boolean
  progress?: Progress
  signal?: AbortSignal
}

export interface ImportOptions {
  repository?: string
  tag?: string
  message?: string
  /** Dockerfile instructions. */
  changes?: string[]
  platform?: Platform
  progress?: Progress
  signal?: AbortSignal
}

export class Images {
  async list(
    _options: { all?: boolean; filters?: Filters; sharedSize?: boolean; digests?: boolean } = {},
  ): Promise<ImageSummary[]> {
    throw soon('images')
  }

  async inspect(_ref: string, _options: { platform?: Platform } = {}): Promise<ImageDetails> {
    throw soon('image inspect')
  }

  async history(_ref: string, _options: { platform?: Platform } = {}): Promise<ImageHistoryEntry[]> {
    throw soon('history')
  }

  async tag(_ref: string, _repository: string, _tag?: string): Promise<void> {
    throw soon('tag')
  }

  async remove(_ref: string, _options: { force?: boolean; noPrune?: boolean } = {}): Promise<ImageRemoval[]> {
    throw soon('rmi')
  }

  /** Filters: `dangling`, `until`, `label`, `label!`. */
  async prune(_filters: Filters = {}): Promise<{ removed: ImageRemoval[]; spaceReclaimed: number }> {
    throw soon('image prune')
  }

  /** Docker or OCI archive, compressed or not. Messages go to `progress` as they come. */
  async load(
    _archive: Readable,
    _options: { quiet?: boolean; platform?: Platform; progress?: Progress; signal?: AbortSignal } = {},
  ): Promise<void> {
    throw soon('load')
  }

  /** Raises for an unknown name before the first byte. */
  async save(_refs: string[], _options: { platform?: Platform } = {}): Promise<Readable> {
    throw soon('save')
  }

  /** The new image's id, which also goes to `progress`. */
  async import(_tar: Readable, _options: ImportOptions = {}): Promise<Digest> {
    throw soon('import')
  }

  async pull(_ref: string, _options: TransferOptions = {}): Promise<void> {
    throw soon('pull')
  }

  async push(_ref: string, _options: TransferOptions = {}): Promise<void> {
    throw soon('push')
  }
}
