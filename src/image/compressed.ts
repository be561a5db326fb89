/**
 * What others get of an image that was made here. Layers of a build, a commit, an import or an older archive are kept as plain
 * tars; a registry is sent gzip. The compressed layer stays in the store as long as a manifest there has it, so it is
 * made once.
 */
import type { Lease } from './content-store.ts'
import { digestOf } from './digest.ts'
import type { ImageStore } from './image-store.ts'
import { gzip } from './layer/gzip.ts'
import { lent } from './lent.ts'
import { type Descriptor, type Digest, type Image, type Layer, type Manifest, mediaTypes } from './types.ts'

const GZIPPED: Record<string, string> = {
  [mediaTypes.ociLayer]: mediaTypes.ociLayerGzip,
  [mediaTypes.dockerLayer]: mediaTypes.dockerLayerGzip,
}

/** A blob with the files of `layer` that is compressed: the layer's own where it is. The lease holds it. */
export async function compressedLayer(
  store: ImageStore,
  layer: Layer,
  lease: Lease,
  signal?: AbortSignal,
): Promise<Descriptor> {
  const mediaType = GZIPPED[layer.mediaType]
  if (mediaType === undefined) return { mediaType: layer.mediaType, digest: layer.digest, size: layer.size }
  const known = findCompressed(store, layer.diffId)
  if (known !== undefined) {
    lease.add(known.digest)
    if (store.content.has(known.digest)) return { mediaType, digest: known.digest, size: known.size }
  }
  const writer = await store.content.ingest({ lease })
  try {
    for await (const chunk of gzip(lent(await layer.open(signal)))) {
      signal?.throwIfAborted()
      const full = writer.write(chunk)
      if (full !== undefined) await full
    }
    return { mediaType, ...(await writer.commit()) }
  } catch (error) {
    await writer.abort()
    throw error
  }
}

/** The same layer as it came with, or was pushed as part of, some image. */
function findCompressed(store: ImageStore, diffId: Digest): Descriptor | undefined {
  const gzipped = Object.values(GZIPPED)
  for (const { image, names } of store.all()) {
    const index = image.config.rootfs.diff_ids.indexOf(diffId)
    if (index < 0) continue
    const others = [...names.values()].filter(({ descriptor }) => descriptor.digest !== image.digest)
    const manifests = [
      image.manifest,
      ...others.map(({ descriptor }) => store.content.readJson<Manifest>(descriptor.digest)),
    ]
    const layer = manifests.map(({ layers }) => layers[index]!).find(each => gzipped.includes(each.mediaType))
    if (layer !== undefined) return layer
  }
  return undefined
}

/** `image` with other blobs of the same layers, in their order; itself where they are its own. */
export function withLayers<T extends Image>(image: T, layers: readonly Descriptor[]): Image {
  const own = image.manifest.layers
  if (own.every((layer, index) => layer.digest === layers[index]!.digest)) return image
  const manifest: Manifest = {
    ...image.manifest,
    layers: own.map(({ annotations }, index) => ({ ...layers[index]!, ...(annotations && { annotations }) })),
  }
  const manifestBytes = Buffer.from(JSON.stringify(manifest))
  const { mediaType, config, configBytes } = image
  return {
    digest: digestOf(manifestBytes),
    mediaType,
    manifest,
    manifestBytes,
    config,
    configBytes,
    layers: image.layers.map((layer, index) => ({ ...layer, ...layers[index]! })),
  }
}
