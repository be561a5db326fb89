/** Base images: from the store, or pulled. */
import { messageOf, notFound } from '../../errors.ts'
import { digestOf, isDigest } from '../../image/digest.ts'
import type { ImageStore } from '../../image/image-store.ts'
import {
  canonical,
  familiar,
  parseReference,
  tryParseReference,
  withDefaultTag,
} from '../../image/reference.ts'
import type { StoredImage } from '../../image/stored-image.ts'
import type { ImageConfig, Platform } from '../../image/types.ts'
import type { PullOptions, RegistryAuth } from '../../registry/types.ts'
import type { ResolvedImage } from '../plan/convert.ts'
import { formatPlatform } from '../plan/platform.ts'
import type { ImageBase } from '../solve/root.ts'

/** What of the registries is needed here. */
export interface Puller {
  pull(reference: string, options?: PullOptions): Promise<unknown>
}

export interface ImageRequest {
  ref: string
  platform: Platform
  /** Ask the registry also where the store has it. */
  pull: boolean
  auth: (host: string) => Promise<RegistryAuth | undefined>
  signal: AbortSignal
}

export class ImageSource {
  readonly #store: ImageStore
  readonly #puller: Puller | undefined

  constructor(store: ImageStore, puller: Puller | undefined) {
    this.#store = store
    this.#puller = puller
  }

  async resolve(request: ImageRequest): Promise<ResolvedImage> {
    const image = await this.#find(request)
    const reference = isDigest(request.ref) ? undefined : tryParseReference(request.ref) // or an image's id
    const ref = reference ? canonical(withDefaultTag(reference)) : request.ref
    return { config: image.config, digest: image.digest, ref }
  }

  /** As {@link resolve}, of what is here; otherwise an image of which nothing is known. No registry is asked. */
  async known(ref: string, platform: Platform): Promise<ResolvedImage> {
    const image = this.#stored({ ref, platform })
    if (image) return { config: image.config, digest: image.digest, ref }
    const config: ImageConfig = { ...platform, config: {}, rootfs: { type: 'layers', diff_ids: [] } }
    return { config, digest: digestOf(ref), ref, isUnknown: true }
  }

  async base(request: ImageRequest): Promise<ImageBase> {
    const image = await this.#find({ ...request, pull: false })
    return { blobs: image.blobs, descriptors: image.manifest.layers, chain: image.chain }
  }

  async #find(request: ImageRequest): Promise<StoredImage> {
    const known = request.pull ? undefined : this.#stored(request)
    if (known) return known
    const name = familiar(withDefaultTag(parseReference(request.ref)))
    const { domain } = parseReference(request.ref)
    try {
      const auth = await request.auth(domain)
      if (!this.#puller) throw notFound(`${name}: not found`)
      await this.#puller.pull(name, {
        platform: request.platform,
        signal: request.signal,
        ...(auth && { auth }),
      })
    } catch (error) {
      const stored = request.pull ? this.#stored(request) : undefined
      if (stored) return stored
      throw notFound(
        `${request.ref}: failed to resolve source metadata for ${canonical(withDefaultTag(parseReference(request.ref)))}: ${messageOf(error)}`,
        error,
      )
    }
    const pulled = this.#stored(request)
    if (!pulled)
      throw notFound(
        `${name}: no match for platform ${formatPlatform(request.platform)} in manifest: not found`,
      )
    return pulled
  }

  #stored({ ref, platform }: Pick<ImageRequest, 'ref' | 'platform'>): StoredImage | undefined {
    try {
      const { image } = this.#store.resolve(ref)
      const { architecture, os } = image.config
      return architecture === platform.architecture && os === platform.os ? image : undefined
    } catch {
      return undefined
    }
  }
}
