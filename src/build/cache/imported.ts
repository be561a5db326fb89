/** What the caches that a build was given know. Nothing is fetched before its files are needed. */
import * as fs from 'node:fs'
import { GantryError, invalid, messageOf } from '../../errors.ts'
import { startJob } from '../../image/confined/job.ts'
import type { ContentStore, Lease } from '../../image/content-store.ts'
import { digestOf, isDigest } from '../../image/digest.ts'
import type { Descriptor, Digest } from '../../image/types.ts'
import { type CacheConfig, type ConfigLayer, layerDescriptor } from './config.ts'

/** Where the blobs of a cache come from. */
export interface CacheSource {
  /** What people call it. */
  readonly name: string
  /** Bring a blob into the content store, its digest checked. */
  fetch(blob: Descriptor, lease: Lease): Promise<void>
}

export interface ImportedLayer {
  source: CacheSource
  config: ConfigLayer
}

/** A step that is known; its layer is there unless the cache only tells of the step. */
export interface ImportedStep {
  layer?: ImportedLayer
  /** Milliseconds since 1970. */
  createdAt?: number
}

/** Keys that are no digests are written as the digests of themselves. */
export const keyDigest = (key: string): Digest => (isDigest(key) ? key : digestOf(key))

export interface ImportOptions {
  content: ContentStore
  /** Holds what was fetched. */
  lease: Lease
  /** Bytes in the files of one layer, at most. */
  maxBytes: number
  signal: AbortSignal
  /** A layer that is a plain tar was unpacked: whoever needs its tar again finds it in the content store. */
  onTar?: (layer: string, tar: { digest: Digest; size: number; content: number }) => void
}

export class ImportedCache {
  readonly #options: ImportOptions
  readonly #steps = new Map<Digest, ImportedStep>()
  readonly #selections = new Map<string, string>()

  constructor(options: ImportOptions) {
    this.#options = options
  }

  add(source: CacheSource, config: Required<CacheConfig>): void {
    for (const { digest, inputs = [], layers: results = [] } of config.records) {
      const result = results.at(-1)
      const layer = result && config.layers[result.layer]
      const createdAt = Date.parse(result?.createdAt || layer?.annotations.createdAt || '')
      const known = this.#steps.get(digest)
      if (!known?.layer) {
        this.#steps.set(digest, {
          ...(layer && { layer: { source, config: layer } }),
          ...(Number.isFinite(createdAt) && { createdAt }),
        })
      }
      for (const ways of inputs) {
        const found = ways.find(way => way.selector === undefined)
        const selected = ways.find(way => way.selector !== undefined)
        if (!found || !selected) continue
        const place = `${config.records[selected.link]!.digest} ${selected.selector}`
        this.#selections.set(place, config.records[found.link]!.digest)
      }
    }
  }

  get isEmpty(): boolean {
    return this.#steps.size === 0
  }

  find(key: string): ImportedStep | undefined {
    return this.#steps.get(keyDigest(key))
  }

  /** Digest of what `selector` found in the root `key`, as the cache says; only good for asking the cache further. */
  selection(key: string, selector: string): string | undefined {
    return this.#selections.get(`${keyDigest(key)} ${selector}`)?.replace(/^sha256:/, '')
  }

  /**
   * Fill `folder`, the files of the layer `id`, in overlayfs's form.
   * @throws CacheImportError for anything but what was promised, and where it cannot be had.
   */
  async unpack({ source, config }: ImportedLayer, id: string, folder: string): Promise<void> {
    const { content, lease, maxBytes, signal, onTar } = this.#options
    const { blob, annotations } = config
    try {
      await source.fetch(layerDescriptor(config), lease)
      const fd = fs.openSync(content.path(blob), 'r')
      const request = { fd, whiteouts: 'overlay' as const, umask: process.umask(), maxBytes }
      const job = startJob('apply', folder, request, { signal })
      void job.ended.then(() => fs.closeSync(fd))
      const { diffId = blob, size } = await job.result.finally(() => job.ended)
      if (diffId !== annotations.diffID) {
        throw invalid(`layer ${blob} holds ${diffId} instead of ${annotations.diffID}`)
      }
      if (diffId === blob) onTar?.(id, { digest: blob, size: annotations.size, content: size })
    } catch (error) {
      signal.throwIfAborted()
      throw new CacheImportError(source.name, error)
    }
  }
}

/** A cache did not hold what it had promised: the build has to do without it. */
export class CacheImportError extends GantryError {
  constructor(name: string, cause: unknown) {
    super('invalid', `the cache of ${name} is not used: ${messageOf(cause)}`, { cause })
    this.name = 'CacheImportError'
  }
}
