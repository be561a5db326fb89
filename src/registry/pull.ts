/** An image from a registry into the store. */
import { GantryError, invalid, notFound } from '../errors.ts'
import type { ContentStore, Lease } from '../image/content-store.ts'
import type { ImageRecord, ImageStore } from '../image/image-store.ts'
import {
  choosePlatform,
  formatPlatform,
  hostPlatform,
  matchesPlatform,
  normalizePlatform,
} from '../image/platform.ts'
import { canonical, familiar, familiarName, type Reference, withDigest } from '../image/reference.ts'
import type { Semaphore } from '../image/semaphore.ts'
import type { ReadAhead } from '../image/snapshots.ts'
import { StoredImage } from '../image/stored-image.ts'
import {
  type Descriptor,
  type Digest,
  type Image,
  type ImageConfig,
  type Manifest,
  mediaTypes,
  type Platform,
} from '../image/types.ts'
import { download } from './download.ts'
import { RegistryError } from './errors.ts'
import { isIndexType, isManifestType, parseManifest } from './manifests.ts'
import { LayerProgress, say } from './progress.ts'
import type { FetchedManifest, Repository } from './repository.ts'
import { type RetryPolicy, retrying } from './retry.ts'
import type { SharedWork } from './shared-work.ts'
import type { PullOptions, PullResult } from './types.ts'

/** What happens to a blob on its way in, told to everyone who waits for it. */
export type BlobEvent =
  | { kind: 'waiting' }
  | { kind: 'bytes'; current: number; total: number }
  | { kind: 'verifying' }
  | { kind: 'retrying'; delay: number }

/** What all pulls of a daemon share. */
export interface PullShared {
  images: ImageStore
  downloads: SharedWork<void, BlobEvent>
  slots: Semaphore
  policy: RetryPolicy
  /** Layers that are, or were, unpacked while they came, for an image that is not there yet. */
  ahead: Map<Digest, ReadAhead>
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
/** Bytes of an image config. */
const MAX_CONFIG = 8 << 20

/** Pull what `reference` (with tag or digest) names. `repository` is its registry's. */
export async function pullReference(
  shared: PullShared,
  repository: Repository,
  reference: Reference,
  options: PullOptions,
): Promise<PullResult> {
  const { signal, platform, onProgress = () => {} } = options
  const again = { signal, policy: shared.policy }
  const wanted = reference.digest ?? reference.tag!
  const root = await retrying(() => repository.resolve(wanted), again)
  const repoDigest = withDigest(reference, root.digest)
  const name = nameOf(reference)
  const before = shared.images.named(name)
  let record = shared.images.named(repoDigest)
  if (record && (fits(record, platform) || !isIndexType(root.mediaType))) {
    say(onProgress, `Pulling from ${reference.path}`, reference.digest ? familiar(name) : wanted)
    const descriptor = record.names.get(canonical(repoDigest))!.descriptor
    if (before?.names.get(canonical(name))?.descriptor.digest !== descriptor.digest) {
      const image = new StoredImage(shared.images.content, descriptor)
      record = await shared.images.put(image, { references: [name], ...(signal && { signal }) })
    }
  } else {
    const fetched = await retrying(() => repository.manifest(root.digest), again)
    const image = await chooseImage(repository, fetched, root, platform, again)
    say(onProgress, `Pulling from ${reference.path}`, reference.digest ? familiar(name) : wanted)
    record = await fetchImage(shared, repository, image, [name, repoDigest], options)
  }
  say(onProgress, `Digest: ${root.digest}`)
  const warning =
    platform && !fits(record, platform) ? mismatchWarning(reference, record, platform) : undefined
  return {
    reference: familiar(name),
    digest: root.digest,
    imageId: record.id,
    updated: before?.id !== record.id,
    ...(warning && { warning }),
  }
}

function fits({ image }: ImageRecord, platform: Platform | undefined): boolean {
  return platform === undefined || matchesPlatform(image.config, platform)
}

function mismatchWarning(reference: Reference, { image }: ImageRecord, platform: Platform): string {
  return (
    `WARNING: image with reference ${familiar(reference)} was found but its platform ` +
    `(${formatPlatform(image.config)}) does not match the specified platform (${formatPlatform(platform)})`
  )
}

/** The name that a pull gives: pulled by digest, a tag beside it names nothing. */
function nameOf(reference: Reference): Reference {
  return reference.digest === undefined ? reference : withDigest(reference, reference.digest)
}

/** The manifest of one image: the fetched one, or the one of its index that runs on `platform`. */
async function chooseImage(
  repository: Repository,
  fetched: FetchedManifest,
  root: Descriptor,
  platform: Platform | undefined,
  again: { signal: AbortSignal | undefined; policy: RetryPolicy },
): Promise<{ descriptor: Descriptor; manifest: Manifest; bytes: Buffer }> {
  let { bytes, descriptor } = fetched
  let document = parseManifest(bytes, descriptor.mediaType || root.mediaType)
  if (document.kind === 'index') {
    const wanted = platform ?? hostPlatform()
    const images = document.index.manifests.filter(entry => entry.platform || isManifestType(entry.mediaType))
    const chosen = choosePlatform(images, wanted)
    if (!chosen) {
      const text = formatPlatform(platform ? withVariant(wanted) : wanted)
      throw notFound(`no matching manifest for ${text} in the manifest list entries`)
    }
    ;({ bytes, descriptor } = await retrying(() => repository.manifest(chosen.digest), again))
    document = parseManifest(bytes, descriptor.mediaType || chosen.mediaType)
    if (document.kind === 'index') throw invalid('unsupported manifest: an index within an index')
  }
  const { manifest, mediaType } = document
  for (const { mediaType: kind } of manifest.layers) {
    if (!LAYERS.includes(kind)) throw invalid(`unsupported layer media type: ${kind}`)
  }
  if (!CONFIGS.includes(manifest.config.mediaType)) {
    throw invalid(
      `unsupported config media type: ${manifest.config.mediaType}: this is not a container image`,
    )
  }
  return { descriptor: { ...descriptor, mediaType }, manifest, bytes }
}

function withVariant(platform: Platform): Platform {
  const normal = normalizePlatform(platform)
  return normal.architecture === 'arm64' && !normal.variant ? { ...normal, variant: 'v8' } : normal
}

/** Download what is missing, unpack it while it arrives, and put it in the store under `references`. */
async function fetchImage(
  shared: PullShared,
  repository: Repository,
  { descriptor, manifest, bytes }: { descriptor: Descriptor; manifest: Manifest; bytes: Buffer },
  references: Reference[],
  { signal, onProgress = () => {} }: PullOptions,
): Promise<ImageRecord> {
  const { images, policy } = shared
  const { content } = images
  const lease = content.lease()
  const failed = new AbortController()
  const stop = signal ? AbortSignal.any([signal, failed.signal]) : failed.signal
  try {
    const layers = new Map(
      manifest.layers.map(layer => [layer.digest, new LayerProgress(layer.digest, onProgress)]),
    )
    const missing: Descriptor[] = []
    // moby: of an image that is here under another name, no layer is spoken of.
    const known = images.get(manifest.config.digest) !== undefined
    for (const [digest, progress] of layers) {
      lease.add(digest)
      const here = content.has(digest)
      if (!here || !known) progress.step(here ? 'Already exists' : 'Pulling fs layer')
      if (!here) missing.push(manifest.layers.find(layer => layer.digest === digest)!)
    }
    const work = [
      fetchConfig(content, repository, manifest.config, lease, stop, policy),
      ...missing.map(layer => fetchLayer(shared, repository, layer, layers.get(layer.digest)!, lease, stop)),
    ]
    try {
      await Promise.all(work)
    } catch (error) {
      failed.abort(error)
      await Promise.allSettled(work)
      throw error
    }
    const configBytes = content.read(manifest.config.digest)
    const config = parseConfig(configBytes)
    const image: Image = {
      digest: descriptor.digest,
      mediaType: descriptor.mediaType,
      manifest,
      manifestBytes: bytes,
      config,
      configBytes,
      layers: manifest.layers.map((layer, i) => ({
        digest: layer.digest,
        diffId: config.rootfs.diff_ids[i]!,
        size: layer.size,
        mediaType: layer.mediaType,
        open: async () => content.open(layer.digest),
      })),
    }
    const fresh = new Set(missing.map(layer => layer.digest))
    const sizes = new Map(manifest.layers.map(layer => [layer.digest, layer.size]))
    return await images.put(image, {
      references,
      lease,
      signal: stop,
      onProgress: ({ digest }, done) => {
        if (fresh.has(digest)) layers.get(digest)!.bytes('Extracting', done, sizes.get(digest)!)
      },
      onUnpacked: ({ digest }) => {
        if (fresh.has(digest)) layers.get(digest)!.step('Pull complete')
      },
    })
  } finally {
    // The image has taken what it wanted; a pull that failed leaves nothing unpacked behind.
    for (const { digest } of manifest.layers) {
      shared.ahead.get(digest)?.drop()
      shared.ahead.delete(digest)
    }
    lease.release()
  }
}

async function fetchConfig(
  content: ContentStore,
  repository: Repository,
  config: Descriptor,
  lease: Lease,
  signal: AbortSignal,
  policy: RetryPolicy,
): Promise<void> {
  if (config.size > MAX_CONFIG) throw invalid(`image config of ${config.size} bytes is too large`)
  await download(content, repository, config, { lease, signal, policy })
}

async function fetchLayer(
  shared: PullShared,
  repository: Repository,
  layer: Descriptor,
  progress: LayerProgress,
  lease: Lease,
  signal: AbortSignal,
): Promise<void> {
  const { images, downloads, slots, policy, ahead } = shared
  const work = (emit: (event: BlobEvent) => void, stop: AbortSignal): Promise<void> =>
    slots.run(
      async () => {
        const drop = (): void => {
          ahead.get(layer.digest)?.drop()
          ahead.delete(layer.digest)
        }
        try {
          await download(images.content, repository, layer, {
            lease,
            signal: stop,
            policy,
            onBytes: current => emit({ kind: 'bytes', current, total: layer.size }),
            onVerify: () => emit({ kind: 'verifying' }),
            onRetry: (_, delay) => emit({ kind: 'retrying', delay }),
            onWriter: ({ growing }) => {
              drop()
              ahead.set(layer.digest, images.snapshots.readAhead(layer.digest, growing))
            },
          })
        } catch (error) {
          drop()
          throw error
        }
      },
      stop,
      () => emit({ kind: 'waiting' }),
    )
  await downloads.join(layer.digest, work, event => tell(progress, event), signal)
  lease.add(layer.digest)
  progress.step('Download complete')
}

function tell(progress: LayerProgress, event: BlobEvent): void {
  if (event.kind === 'waiting') progress.step('Waiting')
  else if (event.kind === 'bytes') progress.bytes('Downloading', event.current, event.total)
  else if (event.kind === 'verifying') progress.step('Verifying Checksum')
  else progress.retrying(event.delay)
}

function parseConfig(bytes: Uint8Array): ImageConfig {
  let config: ImageConfig
  try {
    config = JSON.parse(Buffer.from(bytes).toString('utf8')) as ImageConfig
  } catch (error) {
    throw invalid('invalid image config: not JSON', error)
  }
  if (!Array.isArray(config?.rootfs?.diff_ids)) throw invalid('invalid image JSON, no RootFS key')
  return config
}

/** A registry's refusal of a pull, as Docker puts it. */
export function pullError(error: unknown, reference: Reference): unknown {
  if (!(error instanceof RegistryError)) return error
  if (error.code === 'DENIED') {
    return notFound(
      `pull access denied for ${familiarName(reference)}, repository does not exist or may require 'docker login': ${error.message}`,
      error,
    )
  }
  if (error.code === 'MANIFEST_UNKNOWN')
    return notFound(`manifest for ${familiar(reference)} not found: ${error.message}`, error)
  if (error.code === 'NAME_UNKNOWN')
    return notFound(`repository ${familiarName(reference)} not found: ${error.message}`, error)
  const kind = error.kind === 'unauthorized' ? 'unauthorized' : 'internal'
  return new GantryError(kind, error.message, { cause: error })
}
