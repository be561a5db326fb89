/** Images, as clients of the engine see them. `ref` is a name with tag or digest, an id, or a prefix of one. */
import * as path from 'node:path'
import type { Readable } from 'node:stream'
import { kindOf, messageOf, notFound } from '../errors.ts'
import { importImage } from '../image/archive/import.ts'
import { loadedMessages, loadImages } from '../image/archive/load.ts'
import { saveImages } from '../image/archive/save.ts'
import { putHello } from '../image/hello.ts'
import { historyOf, imageSize, listImages, namesOf } from '../image/image-list.ts'
import type { ImageRecord } from '../image/image-store.ts'
import { formatPlatform, matchesPlatform } from '../image/platform.ts'
import {
  canonicalName,
  familiar,
  familiarName,
  parseImageName,
  parseReference,
  parseTarget,
  withDefaultTag,
} from '../image/reference.ts'
import { type ImageUsers, pruneImages, removeImage } from '../image/removal.ts'
import type { Digest, Platform } from '../image/types.ts'
import { buildFolder } from '../linux/index.ts'
import type { Registries } from '../registry/registries.ts'
import type { RegistryAuth } from '../registry/types.ts'
import { NEVER } from './clock.ts'
import type { EngineContext } from './context.ts'
import { checkFilters } from './filters.ts'
import type {
  Filters,
  ImageDetails,
  ImageHistoryEntry,
  ImageRemoval,
  ImageSummary,
  Progress,
} from './results.ts'

export type { RegistryAuth } from '../registry/types.ts'

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

/** The image that Gantry brings along, so that a first `docker run` needs no registry. */
const BUILT_IN = 'docker.io/gantry/hello'

export class Images {
  readonly #context: EngineContext
  readonly #registries: Registries

  constructor(context: EngineContext, registries: Registries) {
    this.#context = context
    this.#registries = registries
  }

  /** Containers made from an image. */
  readonly #users: ImageUsers = id =>
    this.#context.store
      .all()
      .filter(({ record }) => record.imageId === id)
      .map(container => ({ containerId: container.id, isRunning: container.isAlive }))

  /** Newest first. */
  async list(options: ImageListOptions = {}): Promise<ImageSummary[]> {
    const { images } = this.#context
    return listImages(images, options).map(summary => ({
      ...summary,
      containers: this.#users(summary.id).length,
      descriptor: images.get(summary.id)!.image.descriptor,
    }))
  }

  /** Bytes of all unpacked layers, each counted once. */
  layersSize(): number {
    const { images, snapshots } = this.#context
    const chains = new Set(images.all().flatMap(record => record.image.chains))
    return [...chains].reduce((sum, chain) => sum + snapshots.layerSize(chain), 0)
  }

  async inspect(ref: string, options: { platform?: Platform } = {}): Promise<ImageDetails> {
    const { images, snapshots } = this.#context
    const record = this.#resolve(ref, options.platform)
    const { config } = record.image
    return {
      id: record.id,
      ...namesOf(record),
      parent: record.parent ?? '',
      comment: config.history?.at(-1)?.comment ?? '',
      config,
      size: imageSize(images, record),
      storage: { driver: snapshots.driver, data: snapshots.graphDriverData(record.image.chain) },
      lastTagTime: record.lastTaggedAt ?? NEVER,
      descriptor: record.image.descriptor,
    }
  }

  /** Raises notFound where the image is not for that platform. */
  #resolve(ref: string, platform?: Platform): ImageRecord {
    const record = this.#context.images.resolve(ref)
    if (platform && !matchesPlatform(record.image.config, platform)) {
      const name = familiar(withDefaultTag(parseReference(ref)))
      const [wanted, actual] = [formatPlatform(platform), formatPlatform(record.image.config)]
      throw notFound(
        `image with reference ${name} was found but does not provide the specified platform (${wanted}): wanted ${wanted}, actual: ${actual}`,
      )
    }
    return record
  }

  /** Newest first. */
  async history(ref: string, options: { platform?: Platform } = {}): Promise<ImageHistoryEntry[]> {
    return historyOf(this.#context.images, this.#resolve(ref, options.platform))
  }

  async tag(ref: string, repository: string, tag?: string): Promise<void> {
    const { images } = this.#context
    const target = parseTarget(repository, tag)
    try {
      parseImageName(ref)
    } catch (error) {
      // Here alone what cannot be a name is one that is not there.
      throw notFound(messageOf(error), error)
    }
    images.tag(ref, target)
    this.#tell('tag', images.resolve(ref), familiar(target))
  }

  #tell(action: string, record: ImageRecord, name: string): void {
    const labels = record.image.config.config?.Labels ?? {}
    this.#context.events.emit('image', action, record.id, { ...labels, name })
  }

  async remove(ref: string, options: { force?: boolean; noPrune?: boolean } = {}): Promise<ImageRemoval[]> {
    const { images } = this.#context
    const record = images.resolve(ref)
    const removals = removeImage(images, ref, { ...options, users: this.#users })
    this.#tellRemovals(removals, record)
    return removals
  }

  /** Untagging is told of the image that lost its name; deleting of the image that went, not of its layers. */
  #tellRemovals(removals: readonly ImageRemoval[], record: ImageRecord): void {
    for (const removal of removals) {
      if ('untagged' in removal) this.#tell('untag', record, record.id)
      else if (removal.deleted === record.id) this.#tell('delete', record, record.id)
    }
  }

  /** Filters: `dangling`, `until`, `label`, `label!`. */
  async prune(filters: Filters = {}): Promise<{ removed: ImageRemoval[]; spaceReclaimed: number }> {
    checkFilters(filters, ['dangling', 'until', 'label', 'label!'])
    const known = new Map(this.#context.images.all().map(record => [record.id, record]))
    const pruned = pruneImages(this.#context.images, filters, this.#users)
    for (const removal of pruned.removed) {
      const record = 'deleted' in removal ? known.get(removal.deleted) : undefined
      if (record) this.#tellRemovals([removal], record)
    }
    this.#context.events.emit('image', 'prune', '', { reclaimed: String(pruned.spaceReclaimed) })
    return pruned
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
      this.#tell('load', image.record, image.record.id)
      for (const message of loadedMessages(image)) progress?.({ stream: `${message}\n` })
    }
  }

  /** Raises for an unknown name before the first byte. */
  async save(refs: string[], _options: { platform?: Platform } = {}): Promise<Readable> {
    const records = refs.map(ref => {
      try {
        return this.#context.images.resolve(ref)
      } catch (error) {
        // Here alone the name is said as it was given.
        throw kindOf(error) === 'notFound' ? notFound(`No such image: ${ref}`, error) : error
      }
    })
    const stream = saveImages(this.#context.images, refs)
    for (const record of records) this.#tell('save', record, record.id)
    return stream
  }

  /** The new image's id, which also goes to `progress`. */
  async import(tar: Readable, options: ImportOptions = {}): Promise<Digest> {
    const { repository, tag, progress, ...rest } = options
    const reference = repository ? parseTarget(repository, tag) : undefined
    const record = await importImage(this.#context.images, tar, {
      ...rest,
      ...(reference && { reference }),
    })
    this.#tell('import', record, record.id)
    progress?.({ status: record.id })
    return record.id
  }

  async pull(ref: string, options: TransferOptions = {}): Promise<void> {
    const { all, progress, ...rest } = options
    if (canonicalName(parseReference(ref)) === BUILT_IN) {
      await putHello(this.#context.images, path.join(buildFolder, 'hello'), BUILT_IN)
      progress?.({ status: `Status: Image is up to date for ${familiar(parseReference(BUILT_IN))}:latest` })
      return
    }
    const pulled = await this.#registries.pull(ref, {
      ...rest,
      ...(all && { allTags: all }),
      ...(progress && { onProgress: progress }),
    })
    for (const { reference, imageId } of pulled) {
      const record = this.#context.images.get(imageId)
      if (record) {
        const labels = record.image.config.config?.Labels ?? {}
        const name = familiarName(parseReference(reference))
        this.#context.events.emit('image', 'pull', reference, { ...labels, name })
      }
    }
  }

  async push(ref: string, options: TransferOptions = {}): Promise<void> {
    const { all, progress, platform, ...rest } = options
    // An image here is for one platform: asking for another is a mistake.
    if (platform && !all) this.#resolve(ref, platform)
    await this.#registries.push(ref, {
      ...rest,
      ...(all && { allTags: all }),
      ...(progress && { onProgress: progress }),
    })
    this.#context.events.emit('image', 'push', ref, { name: ref.replace(/[:@].*$/, '') })
  }
}
