/** Images of several platforms under one name: an index. */
import { invalid } from '../../errors.ts'
import { compressedLayer, withLayers } from '../../image/compressed.ts'
import { digestOf } from '../../image/digest.ts'
import type { Reference } from '../../image/reference.ts'
import {
  type Descriptor,
  type Digest,
  type Image,
  type Index,
  mediaTypes,
  type Platform,
} from '../../image/types.ts'
import type { RegistryAuth } from '../../registry/types.ts'
import { upload } from '../../registry/upload.ts'
import type { OutputContext } from './outputs.ts'

export function imageIndex(images: readonly Image[], platforms: readonly Platform[]): Buffer {
  const index: Index = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: images.map((image, position) => ({
      mediaType: image.mediaType,
      digest: image.digest,
      size: image.manifestBytes.length,
      platform: platforms[position]!,
    })),
  }
  return Buffer.from(JSON.stringify(index))
}

/** Push all of them, compressed, and the index last. Returns its digest. */
export async function pushPlatforms(
  context: OutputContext,
  images: readonly Image[],
  reference: Reference,
  auth: RegistryAuth | undefined,
): Promise<Digest> {
  const { registries, images: store } = context.options
  const { content } = context.exporting
  const { signal } = context
  if (!registries?.withRepository) throw invalid('no registry to push to')
  const lease = content.lease()
  try {
    const options = { signal, ...(auth && { auth }) }
    return await registries.withRepository(reference, 'pull,push', options, async repository => {
      const pushed: Image[] = []
      for (const image of images) {
        const layers: Descriptor[] = []
        for (const layer of image.layers) {
          const blob = await compressedLayer(store, layer, lease, signal)
          await upload(content, repository, blob, { signal })
          layers.push(blob)
        }
        content.put(image.configBytes, lease)
        await upload(content, repository, image.manifest.config, { signal })
        const one = withLayers(image, layers)
        await repository.putManifest(one.digest, one.manifestBytes, one.mediaType)
        pushed.push(one)
      }
      const index = imageIndex(
        pushed,
        context.solved.map(({ converted }) => converted.platform),
      )
      await repository.putManifest(reference.tag ?? 'latest', index, mediaTypes.ociIndex)
      return digestOf(index)
    })
  } finally {
    lease.release()
  }
}
