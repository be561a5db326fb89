/**
 * What others get of an image that was made here. Layers of a build, a commit, an import or an older archive are kept as plain
 * tars; a registry is sent gzip, unless that would not make them smaller. The compressed layer stays in the store as long as a manifest
 * there has it, so it is made once.
 */
import * as fs from 'node:fs/promises'
import type { Growing, Lease } from './content-store.ts'
import { digestOf } from './digest.ts'
import type { ImageStore } from './image-store.ts'
import { canShrink, gzip } from './layer/gzip.ts'
import { chunksOf, lent } from './lent.ts'
import { type Descriptor, type Digest, type Image, type Layer, type Manifest, mediaTypes } from './types.ts'

const GZIPPED: Record<string, string> = {
  [mediaTypes.ociLayer]: mediaTypes.ociLayerGzip,
  [mediaTypes.dockerLayer]: mediaTypes.dockerLayerGzip,
}

/** Pieces of a tar that are tried, and bytes in each. */
const SAMPLES = 64
const SAMPLE = 1 << 10

/**
 * A blob with the files of `layer`, as it is sent: the layer's own where that is compressed, or cannot be. The lease holds it. `onBegin` is called where
 * it is compressed now.
 */
export async function compressedLayer(
  store: ImageStore,
  layer: Layer,
  lease: Lease,
  signal?: AbortSignal,
  onBegin?: (growing: Growing) => void,
): Promise<Descriptor> {
  const mediaType = GZIPPED[layer.mediaType]
  const own = { mediaType: layer.mediaType, digest: layer.digest, size: layer.size }
  if (mediaType === undefined) return own
  const known = findCompressed(store, layer.diffId)
  if (known !== undefined) {
    lease.add(known.digest)
    if (store.content.has(known.digest)) return { mediaType, digest: known.digest, size: known.size }
  }
  // Docker's own kind of manifest has no plain layers that others would take.
  const mayBePlain = layer.mediaType === mediaTypes.ociLayer && store.content.has(layer.digest)
  if (mayBePlain && !canShrink(await sampleOf(store.content.path(layer.digest), layer.size))) return own
  const writer = await store.content.ingest({ lease })
  onBegin?.(writer.growing)
  try {
    const isHere = store.content.has(layer.digest)
    const plain = isHere ? chunksOf(store.content.path(layer.digest)) : lent(await layer.open(signal))
    for await (const chunk of gzip(plain)) {
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

async function sampleOf(path: string, size: number): Promise<Buffer> {
  const file = await fs.open(path)
  try {
    const pieces = Array.from({ length: SAMPLES }, async (_, i) => {
      const position = Math.floor((i * size) / SAMPLES)
      const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(SAMPLE), 0, SAMPLE, position)
      return buffer.subarray(0, bytesRead)
    })
    return Buffer.concat(await Promise.all(pieces))
  } finally {
    await file.close()
  }
}

/** The same layer as it came with, or was pushed as part of, some image. */
function findCompressed(store: ImageStore, diffId: Digest): Descriptor | undefined {
  const gzipped = Object.values(GZIPPED)
  for (const { image, names } of store.all()) {
    const index = image.config.rootfs.diff_ids.indexOf(diffId)
    if (index < 0) continue
    const others = new Set([...names.values()].map(({ descriptor }) => descriptor.digest))
    others.delete(image.digest)
    const manifests = [image.manifest, ...[...others].map(digest => store.content.readJson<Manifest>(digest))]
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
