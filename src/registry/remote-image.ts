/** Which manifest in a registry is meant, and whether it is that of an image. */
import { invalid, notFound } from '../errors.ts'
import { choosePlatform, formatPlatform, hostPlatform, normalizePlatform } from '../image/platform.ts'
import {
  type Descriptor,
  type Digest,
  type Index,
  type Manifest,
  mediaTypes,
  type Platform,
} from '../image/types.ts'
import { isIndexType, isManifestType, parseManifest } from './manifests.ts'
import type { FetchedManifest, Repository } from './repository.ts'
import { type RetryOptions, retrying } from './retry.ts'

/** An image's manifest, with its bytes. */
export interface RemoteImage {
  descriptor: Descriptor
  manifest: Manifest
  bytes: Buffer
}

const CONFIGS: string[] = [mediaTypes.ociConfig, mediaTypes.dockerConfig]
const LAYERS: string[] = [
  mediaTypes.ociLayer,
  mediaTypes.ociLayerGzip,
  mediaTypes.ociLayerZstd,
  mediaTypes.dockerLayer,
  mediaTypes.dockerLayerGzip,
  mediaTypes.dockerLayerZstd,
  mediaTypes.dockerForeignLayer,
  'application/vnd.oci.image.layer.nondistributable.v1.tar',
  'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
  'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd',
]

/** Indexes that were read, the latest of them kept: a pull of what is here already need not read one again. */
export class Indexes {
  /** The latest last. */
  readonly #known = new Map<Digest, Index>()
  readonly #most: number

  constructor(most = 100) {
    this.#most = most
  }

  /** The index that `root` is, or `undefined` where it is an image's manifest. */
  async at(repository: Repository, root: Descriptor, again: RetryOptions): Promise<Index | undefined> {
    if (isManifestType(root.mediaType) && !isIndexType(root.mediaType)) return undefined
    let index = this.#known.get(root.digest)
    if (!index) {
      const { bytes, descriptor } = await retrying(() => repository.manifest(root.digest), again)
      const document = parseManifest(bytes, descriptor.mediaType || root.mediaType)
      if (document.kind !== 'index') return undefined
      ;({ index } = document)
    }
    this.#known.delete(root.digest)
    this.#known.set(root.digest, index)
    if (this.#known.size > this.#most) this.#known.delete(this.#known.keys().next().value!)
    return index
  }
}

/** The manifest of an index that runs on `platform`, the host's unless told. Throws `notFound`. */
export function chooseManifest(index: Index, platform: Platform | undefined): Digest {
  const wanted = platform ?? hostPlatform()
  const images = index.manifests.filter(entry => entry.platform || isManifestType(entry.mediaType))
  const chosen = choosePlatform(images, wanted)
  if (chosen) return chosen.digest
  const text = formatPlatform(platform ? withVariant(wanted) : wanted)
  throw notFound(`no matching manifest for ${text} in the manifest list entries`)
}

function withVariant(platform: Platform): Platform {
  const normal = normalizePlatform(platform)
  return normal.architecture === 'arm64' && !normal.variant ? { ...normal, variant: 'v8' } : normal
}

/** Throws `invalid` for what is no manifest of an image. */
export function readImage({ bytes, descriptor }: FetchedManifest): RemoteImage {
  const document = parseManifest(bytes, descriptor.mediaType)
  if (document.kind === 'index') throw invalid('unsupported manifest: an index within an index')
  const { manifest, mediaType } = document
  return { descriptor: { ...descriptor, mediaType }, manifest, bytes }
}

/** Throws `invalid`, with the name of the kind, for layers and configs that no container can be made of. */
export function checkKinds({ layers, config }: Manifest): void {
  const kinds = [...layers.map(({ mediaType }) => mediaType).filter(kind => !LAYERS.includes(kind))]
  if (!CONFIGS.includes(config.mediaType)) kinds.push(config.mediaType)
  if (kinds.length > 0) throw invalid(`unsupported media type ${kinds[0]}`)
}
