/** An image that is in the store: an {@link Image} whose bytes are blobs of the {@link ContentStore}. */
import { invalid } from '../errors.ts'
import type { ContentStore } from './content-store.ts'
import { type ChainId, chainIdOf, chainIds } from './digest.ts'
import type { LayerBlob } from './snapshots.ts'
import type { Descriptor, Digest, Image, ImageConfig, Layer, Manifest } from './types.ts'

export class StoredImage implements Image {
  /** Of the manifest. */
  readonly descriptor: Descriptor
  readonly manifest: Manifest
  readonly manifestBytes: Uint8Array
  readonly config: ImageConfig
  readonly configBytes: Uint8Array
  readonly #content: ContentStore

  /**
   * Reads manifest and config.
   * @throws GantryError `notFound` where a blob is missing, `invalid` where they contradict each other.
   */
  constructor(content: ContentStore, descriptor: Descriptor) {
    this.#content = content
    this.descriptor = descriptor
    this.manifestBytes = content.read(descriptor.digest)
    this.manifest = parse<Manifest>(this.manifestBytes, 'manifest')
    this.configBytes = content.read(this.manifest.config.digest)
    this.config = parse<ImageConfig>(this.configBytes, 'image config')
    checkShape(this)
  }

  /** What people know the image by: the digest of its config, as in Docker. */
  get id(): Digest {
    return this.manifest.config.digest
  }

  get digest(): Digest {
    return this.descriptor.digest
  }

  get mediaType(): string {
    return this.descriptor.mediaType
  }

  get layers(): Layer[] {
    return this.blobs.map((blob, index) => ({
      ...blob,
      size: this.manifest.layers[index]!.size,
      open: async () => this.#content.open(blob.digest),
    }))
  }

  /** The layers as {@link Snapshots.unpack} wants them, lowest first. */
  get blobs(): LayerBlob[] {
    return layerBlobs(this)
  }

  /** The topmost chain; `undefined` for an image without layers. */
  get chain(): ChainId | undefined {
    return chainIdOf(this.config.rootfs.diff_ids)
  }

  get chains(): ChainId[] {
    return chainIds(this.config.rootfs.diff_ids)
  }

  /** Every blob that belongs to it. */
  get contents(): Digest[] {
    return [this.digest, this.id, ...this.manifest.layers.map(layer => layer.digest)]
  }
}

/** The layers of any image as {@link Snapshots.unpack} wants them, lowest first. */
export function layerBlobs(image: Pick<Image, 'manifest' | 'config'>): LayerBlob[] {
  return image.manifest.layers.map(({ digest, mediaType }, index) => ({
    digest,
    mediaType,
    diffId: image.config.rootfs.diff_ids[index]!,
  }))
}

/** @throws GantryError `invalid` where manifest and config do not fit together. */
export function checkShape(image: Pick<Image, 'manifest' | 'config'>): void {
  const { manifest, config } = image
  if (!Array.isArray(manifest.layers) || manifest.config?.digest === undefined) {
    throw invalid('invalid manifest: config and layers are required')
  }
  if (config.rootfs === undefined || !Array.isArray(config.rootfs.diff_ids)) {
    throw invalid('invalid image JSON, no RootFS key')
  }
  const [layers, diffIds] = [manifest.layers.length, config.rootfs.diff_ids.length]
  if (layers !== diffIds) throw invalid(`invalid image: ${layers} layers, but ${diffIds} diff IDs`)
}

function parse<T>(bytes: Uint8Array, what: string): T {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'))
    if (typeof value === 'object' && value !== null) return value as T
  } catch {
    // told below
  }
  throw invalid(`invalid ${what}: not a JSON object`)
}
