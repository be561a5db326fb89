/** The caches that one build reads and writes. */
import { invalid, messageOf } from '../../errors.ts'
import type { Lease } from '../../image/content-store.ts'
import type { BuildParts } from '../one-build.ts'
import type { BuildRequest, CacheOption } from '../request.ts'
import type { Root } from '../solve/root.ts'
import type { Steps } from '../steps.ts'
import { ClientCache } from './client.ts'
import { INLINE_FIELD } from './config.ts'
import { type CacheExportContext, type CacheSink, exportCache, inlineConfig } from './export.ts'
import { readCache, storedCache } from './import.ts'
import { ImportedCache } from './imported.ts'
import { RegistryCache } from './registry.ts'
import type { Trace } from './trace.ts'

export interface CachesOptions {
  parts: BuildParts
  request: BuildRequest
  steps: Steps
  signal: AbortSignal
  epoch: number | undefined
}

export class Caches {
  readonly #options: CachesOptions
  readonly #lease: Lease
  readonly #exports: CacheOption[]

  /** @throws GantryError for kinds of cache that are not known, before anything is built. */
  constructor(options: CachesOptions) {
    const { request, parts } = options
    this.#options = options
    this.#lease = parts.exporting.content.lease()
    this.#exports = [...(request.cacheTo ?? [])]
    const asked = request.buildArgs?.['BUILDKIT_INLINE_CACHE']
    if (asked && /^(1|t|true)$/i.test(asked) && !this.#exports.some(({ type }) => type === 'inline')) {
      this.#exports.push({ type: 'inline', attributes: {} })
    }
    for (const option of this.#exports) if (option.type !== 'inline') this.#sink(option)
  }

  /** What all sources know together. One that cannot be read makes a build slower, not wrong: its step fails, the build goes on. */
  async import(): Promise<ImportedCache | undefined> {
    const { request, steps, parts, signal } = this.#options
    const { content, tars } = parts.exporting
    const imported = new ImportedCache({
      content,
      lease: this.#lease,
      maxBytes: parts.options.snapshots.maxLayerBytes,
      signal,
      onTar: (layer, tar) => tars.set(`${layer} `, tar),
    })
    for (const option of request.cacheFrom ?? []) {
      const name = option.attributes['ref'] ?? option.attributes['src'] ?? option.type
      await steps
        .run(`importing cache manifest from ${name}`, () => this.#read(option, imported))
        .catch(() => signal.throwIfAborted())
    }
    return imported.isEmpty ? undefined : imported
  }

  async #read({ type, attributes }: CacheOption, imported: ImportedCache): Promise<void> {
    const { ref } = attributes
    const stored =
      type === 'registry' && ref ? storedCache(this.#options.parts.options.images, ref) : undefined
    if (stored) {
      for (const config of stored.configs) imported.add(stored.source, config)
      return
    }
    const store = this.#source({ type, attributes })
    for (const config of await readCache(store)) imported.add(store, config)
  }

  #source({ type, attributes }: CacheOption): RegistryCache | ClientCache {
    const { ref, src, digest } = attributes
    if (type === 'registry') return this.#registry(ref, 'importer')
    if (type !== 'local') throw invalid(`unknown cache importer: ${JSON.stringify(type)}`)
    if (!src) throw invalid('local cache importer requires src')
    return this.#client(src, digest)
  }

  #sink({ type, attributes }: CacheOption): RegistryCache | ClientCache {
    if (type === 'registry') return this.#registry(attributes['ref'], 'exporter')
    if (type !== 'local') throw invalid(`unknown cache exporter: ${JSON.stringify(type)}`)
    if (!attributes['dest']) throw invalid('local cache exporter requires dest')
    return this.#client(attributes['dest'])
  }

  #registry(ref: string | undefined, who: string): RegistryCache {
    const { parts, request, signal } = this.#options
    const { registries } = parts.options
    if (!ref) throw invalid(`registry cache ${who} requires ref`)
    if (!registries?.withRepository) throw invalid('no registry to reach')
    return new RegistryCache(ref, {
      registries: { withRepository: registries.withRepository.bind(registries) },
      content: parts.exporting.content,
      auth: request.auth ?? (async () => undefined),
      signal,
    })
  }

  #client(folder: string, digest?: string): ClientCache {
    const { blobs } = this.#options.request
    if (!blobs) throw invalid('local cache exporter/importer requires session')
    return new ClientCache(folder, blobs(`local:${folder}`), this.#options.parts.exporting.content, digest)
  }

  /** Fields of the config of the image that `root` becomes. */
  inline(root: Root, traces: ReadonlyMap<string, Trace>): Record<string, string> {
    if (!this.#exports.some(({ type }) => type === 'inline')) return {}
    return { [INLINE_FIELD]: inlineConfig(root, this.#context([root], traces)) }
  }

  /** Answers what the client has to know of them. */
  async export(roots: readonly Root[], traces: ReadonlyMap<string, Trace>): Promise<Record<string, string>> {
    const { steps, signal } = this.#options
    const metadata: Record<string, string> = {}
    for (const option of this.#exports.filter(({ type }) => type !== 'inline')) {
      const sink: CacheSink = this.#sink(option)
      try {
        const manifest = await steps.run(sink.title, watch =>
          exportCache(sink, option, this.#context(roots, traces), watch),
        )
        // The client names it in its folder.
        if (option.type === 'local') metadata['cache.manifest'] = JSON.stringify(manifest)
      } catch (error) {
        signal.throwIfAborted()
        if (option.attributes['ignore-error'] !== 'true')
          throw invalid(`error writing cache: ${messageOf(error)}`, error)
      }
    }
    return metadata
  }

  #context(roots: readonly Root[], traces: ReadonlyMap<string, Trace>): CacheExportContext {
    const { parts, signal, epoch } = this.#options
    return { exporting: parts.exporting, traces, roots, lease: this.#lease, signal, epoch }
  }

  release(): void {
    this.#lease.release()
  }
}
