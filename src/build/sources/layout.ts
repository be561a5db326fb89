/** An image in an OCI layout of the client's: `--build-context name=oci-layout://…`. */
import { invalid, notFound } from '../../errors.ts'
import { digestOf } from '../../image/digest.ts'
import type { ImageStore } from '../../image/image-store.ts'
import {
  type Digest,
  type Image,
  type ImageConfig,
  type Index,
  type Manifest,
  mediaTypes,
  type Platform,
} from '../../image/types.ts'
import { ClientCache } from '../cache/client.ts'
import { formatPlatform } from '../plan/platform.ts'
import type { ClientBlobs } from '../solve/session.ts'
import { type LentImage, lendImage } from './lend.ts'

/**
 * Take the image into the store, without a name.
 * @param digest of its manifest, or of an index that has one for `platform`
 */
export async function importLayout(
  images: ImageStore,
  blobs: ClientBlobs,
  digest: Digest,
  platform: Platform,
): Promise<LentImage> {
  const client = new ClientCache('the OCI layout', blobs, images.content)
  const lease = images.content.lease()
  try {
    const { manifest, bytes } = await findManifest(client, digest, platform)
    const configBytes = await client.document(manifest.config.digest)
    const config = JSON.parse(configBytes.toString('utf8')) as ImageConfig
    for (const layer of manifest.layers) await client.fetch(layer, lease)
    const image: Image = {
      digest: digestOf(bytes),
      mediaType: manifest.mediaType ?? mediaTypes.ociManifest,
      manifest,
      manifestBytes: bytes,
      config,
      configBytes,
      layers: manifest.layers.map((layer, index) => ({
        ...layer,
        diffId: config.rootfs.diff_ids[index]!,
        open: async () => images.content.open(layer.digest),
      })),
    }
    return await lendImage(images, image, { lease })
  } finally {
    lease.release()
  }
}

async function findManifest(
  client: ClientCache,
  digest: Digest,
  platform: Platform,
  depth = 0,
): Promise<{ manifest: Manifest; bytes: Buffer }> {
  const bytes = await client.manifest(digest)
  const document = JSON.parse(bytes.toString('utf8')) as Partial<Manifest & Index>
  if (Array.isArray(document.manifests) && depth === 0) {
    const own = document.manifests.find(
      ({ platform: of }) => of?.os === platform.os && of.architecture === platform.architecture,
    )
    if (own) return findManifest(client, own.digest, platform, 1)
    throw notFound(`no match for platform ${formatPlatform(platform)} in manifest: not found`)
  }
  if (!document.config || !Array.isArray(document.layers)) throw invalid(`${digest} is no image`)
  return { manifest: document as Manifest, bytes }
}
