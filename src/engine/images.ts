/** Images, as clients of the engine see them. `ref` is a name with tag or digest, an id, or a prefix of one. */
import type { Readable } from 'node:stream'
import { invalid, notImplemented } from '../errors.ts'
import { loadedMessages, loadImages } from '../image/archive/load.ts'
import type { ImageRecord } from '../image/image-store.ts'
import { familiar, familiarName, parseReference, withDefaultTag, withTag } from '../image/reference.ts'
import type { Digest, HistoryEntry, Platform } from '../image/types.ts'
import { millisecondsOf, NEVER } from './clock.ts'
import type { EngineContext } from './context.ts'
import { booleanOf, checkFilters, matchesLabels, untilOf, valuesOf } from './filters.ts'
import type {
  Filters,
  ImageDetails,
  ImageHistoryEntry,
  ImageRemoval,
  ImageSummary,
  Progress,
} from './results.ts'

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

export interface ImageListOptions {
  /** Those without a name that others were made on, too. */
  all?: boolean
  filters?: Filters
  /** Fill in {@link ImageSummary.sharedSize}. */
  sharedSize?: boolean
  digests?: boolean
}

export class Images {
  readonly #context: EngineContext

  constructor(context: EngineContext) {
    this.#context = context
  }

  async list(options: ImageListOptions = {}): Promise<ImageSummary[]> {
    const { images } = this.#context
    const matches = this.#matcher(options.filters ?? {})
    const found = images
      .all()
      .filter(record => (options.all || !this.#isIntermediate(record)) && matches(record))
      .map(record => this.#summarize(record, options.sharedSize ?? false))
    return found.sort((a, b) => b.created - a.created)
  }

  #isIntermediate(record: ImageRecord): boolean {
    return record.names.size === 0 && this.#context.images.children(record.id).length > 0
  }

  #matcher(filters: Filters): (record: ImageRecord) => boolean {
    checkFilters(filters, ['before', 'dangling', 'label', 'label!', 'reference', 'since', 'until'])
    const { images } = this.#context
    const dangling = booleanOf(filters, 'dangling')
    const until = untilOf(filters)
    const before = valuesOf(filters, 'before')?.map(ref => createdAt(images.resolve(ref)))
    const since = valuesOf(filters, 'since')?.map(ref => createdAt(images.resolve(ref)))
    const references = valuesOf(filters, 'reference')
    return record => {
      const created = createdAt(record)
      return (
        (dangling === undefined || dangling === isDangling(record)) &&
        (until === undefined || created < until) &&
        (before?.every(time => created < time) ?? true) &&
        (since?.every(time => created > time) ?? true) &&
        (references?.some(pattern => matchesReference(record, pattern)) ?? true) &&
        matchesLabels(filters, record.image.config.config?.Labels)
      )
    }
  }

  #summarize(record: ImageRecord, shared: boolean): ImageSummary {
    const { tags, digests } = namesOf(record)
    return {
      id: record.id,
      parentId: record.parent ?? '',
      repoTags: tags,
      repoDigests: digests,
      created: Math.floor(createdAt(record) / 1000),
      size: this.#size(record),
      sharedSize: shared ? this.#sharedSize(record) : -1,
      labels: record.image.config.config?.Labels ?? null,
      containers: this.#context.store.all().filter(container => container.record.imageId === record.id)
        .length,
      descriptor: record.image.descriptor,
    }
  }

  #size({ image }: ImageRecord): number {
    return image.chains.reduce((sum, chain) => sum + this.#context.snapshots.layerSize(chain), 0)
  }

  /** Bytes in layers that another image has too. */
  #sharedSize({ id, image }: ImageRecord): number {
    const others = new Set(
      this.#context.images
        .all()
        .filter(record => record.id !== id)
        .flatMap(record => record.image.chains),
    )
    return image.chains
      .filter(chain => others.has(chain))
      .reduce((sum, chain) => sum + this.#context.snapshots.layerSize(chain), 0)
  }

  /** Bytes of all unpacked layers, each counted once. */
  layersSize(): number {
    const chains = new Set(this.#context.images.all().flatMap(record => record.image.chains))
    return [...chains].reduce((sum, chain) => sum + this.#context.snapshots.layerSize(chain), 0)
  }

  async inspect(ref: string, options: { platform?: Platform } = {}): Promise<ImageDetails> {
    const record = this.#resolve(ref, options.platform)
    const { config } = record.image
    const { tags, digests } = namesOf(record)
    return {
      id: record.id,
      repoTags: tags,
      repoDigests: digests,
      parent: record.parent ?? '',
      comment: config.history?.at(-1)?.comment ?? '',
      config,
      size: this.#size(record),
      storage: {
        driver: this.#context.snapshots.driver,
        data: this.#context.snapshots.graphDriverData(record.image.chain),
      },
      lastTagTime: record.lastTaggedAt ?? NEVER,
      descriptor: record.image.descriptor,
    }
  }

  #resolve(ref: string, _platform?: Platform): ImageRecord {
    return this.#context.images.resolve(ref)
  }

  /** Newest first. */
  async history(ref: string, options: { platform?: Platform } = {}): Promise<ImageHistoryEntry[]> {
    const record = this.#resolve(ref, options.platform)
    const { config, chains } = record.image
    const steps = stepsOf(config.history ?? [], chains.length)
    let layer = 0
    const entries = steps.map((step, index): ImageHistoryEntry => {
      const size = step.empty_layer ? 0 : this.#context.snapshots.layerSize(chains[layer++]!)
      const isLast = index === steps.length - 1
      const { tags } = namesOf(record)
      return {
        ...step,
        id: isLast ? record.id : '<missing>',
        size,
        tags: isLast && tags.length > 0 ? tags : null,
      }
    })
    return entries.reverse()
  }

  async tag(ref: string, repository: string, tag?: string): Promise<void> {
    const { images, events } = this.#context
    const record = images.resolve(ref)
    const parsed = parseReference(repository)
    if (parsed.digest !== undefined) throw invalid('refusing to create a tag with a digest reference')
    const target = images.tag(ref, tag ? withTag(parsed, tag) : parsed)
    events.emit('image', 'tag', record.id, { ...labelsOf(record), name: familiar(target) })
  }

  async remove(_ref: string, _options: { force?: boolean; noPrune?: boolean } = {}): Promise<ImageRemoval[]> {
    throw notImplemented('image removal is not implemented')
  }

  /** Filters: `dangling`, `until`, `label`, `label!`. */
  async prune(_filters: Filters = {}): Promise<{ removed: ImageRemoval[]; spaceReclaimed: number }> {
    throw notImplemented('image prune is not implemented')
  }

  /** Docker or OCI archive, compressed or not. Messages go to `progress` as they come. */
  async load(
    archive: Readable,
    options: { quiet?: boolean; platform?: Platform; progress?: Progress; signal?: AbortSignal } = {},
  ): Promise<void> {
    const { progress, platform, signal, quiet } = options
    const loaded = await loadImages(this.#context.images, archive, {
      ...(platform && { platform }),
      ...(signal && { signal }),
      ...(!quiet && {
        onLayer: (id: string, current: number, total: number) =>
          progress?.({ status: 'Loading layer', id, progressDetail: { current, total } }),
      }),
    })
    for (const image of loaded) {
      this.#context.events.emit('image', 'load', image.record.id, {
        ...labelsOf(image.record),
        name: image.record.id,
      })
      for (const message of loadedMessages(image)) progress?.({ stream: `${message}\n` })
    }
  }

  /** Raises for an unknown name before the first byte. */
  async save(_refs: string[], _options: { platform?: Platform } = {}): Promise<Readable> {
    throw notImplemented('save is not implemented')
  }

  /** The new image's id, which also goes to `progress`. */
  async import(_tar: Readable, _options: ImportOptions = {}): Promise<Digest> {
    throw notImplemented('import is not implemented')
  }

  async pull(_ref: string, _options: TransferOptions = {}): Promise<void> {
    throw notImplemented('pull is not implemented')
  }

  async push(_ref: string, _options: TransferOptions = {}): Promise<void> {
    throw notImplemented('push is not implemented')
  }
}

const createdAt = ({ image }: ImageRecord): number => millisecondsOf(image.config.created ?? NEVER)

/** No tag; a digest alone is not a name that a person gave. */
const isDangling = (record: ImageRecord): boolean => namesOf(record).tags.length === 0

export function labelsOf({ image }: ImageRecord): Record<string, string> {
  return image.config.config?.Labels ?? {}
}

/** `busybox:latest` and `busybox@sha256:…`, sorted. */
export function namesOf({ names }: ImageRecord): { tags: string[]; digests: string[] } {
  const all = [...names.values()]
  const tags = all.filter(({ reference }) => reference.tag !== undefined)
  const digests = all.filter(({ reference }) => reference.digest !== undefined)
  return {
    tags: tags.map(({ reference: { digest: _, ...tagged } }) => familiar(tagged)).sort(),
    digests: digests.map(({ reference: { tag: _, ...digested } }) => familiar(digested)).sort(),
  }
}

/** `busy*`, `*:latest`, `localhost:5000/x:1`. */
function matchesReference({ names }: ImageRecord, pattern: string): boolean {
  return [...names.values()].some(({ reference }) => {
    const full = familiar(withDefaultTag(reference))
    const name = familiarName(reference)
    return globMatch(pattern, full) || globMatch(pattern, name)
  })
}

/** Go's path.Match: `*` and `?` stop at a slash. */
function globMatch(pattern: string, text: string): boolean {
  const source = pattern
    .replace(/[.+^${}()|\\]/g, '\\$&')
    .replaceAll('*', '[^/]*')
    .replaceAll('?', '[^/]')
  try {
    return new RegExp(`^${source}$`).test(text)
  } catch {
    throw invalid(`syntax error in pattern`)
  }
}

/** One for each layer at least: an image may have no history, or less than it has layers. */
function stepsOf(history: HistoryEntry[], layers: number): HistoryEntry[] {
  const told = history.filter(step => !step.empty_layer).length
  const missing = Math.max(0, layers - told)
  return [...Array.from({ length: missing }, (): HistoryEntry => ({})), ...history]
}
