/** Reads the caches that a build is given: `--cache-from`. */
import { invalid } from '../../errors.ts'
import type { Lease } from '../../image/content-store.ts'
import type { ImageStore } from '../../image/image-store.ts'
import type { StoredImage } from '../../image/stored-image.ts'
import type { Descriptor, Digest, ImageConfig, Index, Manifest } from '../../image/types.ts'
import {
  type CacheConfig,
  CONFIG_TYPE,
  type ConfigLayer,
  INLINE_FIELD,
  parseConfig,
  parseInline,
} from './config.ts'
import type { CacheSource } from './imported.ts'

/** Where a cache with its documents and blobs is. */
export interface CacheStore extends CacheSource {
  /** The manifest or index that the cache is named by, or one that it lists; its digest checked. */
  manifest(digest?: Digest): Promise<Buffer>
  /** A small blob, whole, its digest checked. */
  document(digest: Digest): Promise<Buffer>
  fetch(blob: Descriptor, lease: Lease): Promise<void>
}

/**
 * All caches behind one name: that of a cache manifest, those in the images of an index, or that of one image. None for an image
 * without.
 * @throws GantryError `invalid` for documents that are none of these.
 */
export async function readCache(store: CacheStore, digest?: Digest): Promise<Required<CacheConfig>[]> {
  const manifest = parseDocument(await store.manifest(digest))
  if (Array.isArray(manifest.manifests)) {
    if (digest !== undefined) throw invalid('an index in an index')
    const own = manifest.manifests.find(({ mediaType }) => mediaType === CONFIG_TYPE)
    if (own) return [parseConfig(await store.document(own.digest))]
    const found: Required<CacheConfig>[] = []
    for (const { digest: image, annotations } of manifest.manifests) {
      if (annotations?.['vnd.docker.reference.type']) continue // an attestation
      found.push(...(await readCache(store, image)))
    }
    return found
  }
  if (!manifest.config || !Array.isArray(manifest.layers)) throw invalid('no cache manifest, image or index')
  const bytes = await store.document(manifest.config.digest)
  if (manifest.config.mediaType === CONFIG_TYPE) return [parseConfig(bytes)]
  return inlineCache(manifest as Manifest, parseDocument(bytes) as unknown as ImageConfig)
}

function parseDocument(bytes: Buffer): Partial<Manifest & Index> {
  const document: unknown = JSON.parse(bytes.toString('utf8'))
  if (typeof document !== 'object' || document === null) throw invalid('no JSON object')
  return document as Partial<Manifest & Index>
}

/** What an image's config tells of the image's own layers. */
function inlineCache(manifest: Manifest, config: ImageConfig): Required<CacheConfig>[] {
  const inline = (config as { [INLINE_FIELD]?: unknown })[INLINE_FIELD]
  if (typeof inline !== 'string') return []
  const dates = (config.history ?? []).filter(entry => !entry.empty_layer).map(entry => entry.created ?? '')
  const layers = manifest.layers.map(
    (layer, index): ConfigLayer => ({
      blob: layer.digest,
      parent: index - 1,
      annotations: {
        mediaType: layer.mediaType,
        diffID: config.rootfs.diff_ids[index]!,
        size: layer.size,
        createdAt: dates[index] ?? '',
      },
    }),
  )
  return [parseInline(Buffer.from(inline, 'base64'), layers)]
}

/** The cache in an image of the store: no registry is asked for what is here. `undefined` where there is none of that name, or none in it. */
export function storedCache(
  images: ImageStore,
  ref: string,
): { source: CacheSource; configs: Required<CacheConfig>[] } | undefined {
  let image: StoredImage
  try {
    image = images.resolve(ref).image
  } catch {
    return undefined
  }
  const configs = inlineCache(image.manifest, image.config)
  if (configs.length === 0) return undefined
  const fetch = async ({ digest }: Descriptor, lease: Lease): Promise<void> => {
    lease.add(digest)
    if (!images.content.has(digest)) throw invalid(`${digest} is not there any more`)
  }
  return { source: { name: ref, fetch }, configs }
}
