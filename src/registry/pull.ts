/** An image from a registry into the store. */
import { GantryError, invalid, notFound } from '../errors.ts'
import type { ContentStore, Lease } from '../image/content-store.ts'
import type { ImageRecord, ImageStore } from '../image/image-store.ts'
import { formatPlatform, matchesPlatform } from '../image/platform.ts'
import { canonical, familiar, familiarName, type Reference, withDigest } from '../image/reference.ts'
import type { Semaphore } from '../image/semaphore.ts'
import type { ReadAhead } from '../image/snapshots.ts'
import { StoredImage } from '../image/stored-image.ts'
import type { Descriptor, Digest, Image, ImageConfig, Platform } from '../image/types.ts'
import { download } from './download.ts'
import { RegistryError } from './errors.ts'
import { LayerProgress, say } from './progress.ts'
import { checkKinds, chooseManifest, type Indexes, type RemoteImage, readImage } from './remote-image.ts'
import type { Repository } from './repository.ts'
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
  indexes: Indexes
}

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
  const index = await shared.indexes.at(repository, root, again)
  const repoDigest = withDigest(reference, root.digest)
  const name = nameOf(reference)
  const before = shared.images.named(name)
  let record = shared.images.named(repoDigest)
  const here = record?.names.get(canonical(repoDigest))?.descriptor
  const fetch = async (digest: Digest) => readImage(await retrying(() => repository.manifest(digest), again))
  // What cannot be read is refused at once, what cannot be used after the first line, as in Docker.
  let image = index || here?.digest === root.digest ? undefined : await fetch(root.digest)
  say(onProgress, `Pulling from ${reference.path}`, reference.digest ? familiar(name) : wanted)
  const digest = index ? chooseManifest(index, platform) : root.digest
  if (record && here?.digest === digest) {
    if (before?.names.get(canonical(name))?.descriptor.digest !== digest) {
      const stored = new StoredImage(shared.images.content, here)
      const isOneOfMany = options.allTags ?? false
      record = await shared.images.put(stored, { references: [name], isOneOfMany, ...(signal && { signal }) })
    }
  } else {
    image ??= await fetch(digest)
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

/** Download what is missing, unpack it while it arrives, and put it in the store under `references`. */
async function fetchImage(
  shared: PullShared,
  repository: Repository,
  { descriptor, manifest, bytes }: RemoteImage,
  references: Reference[],
  { signal, allTags = false, onProgress = () => {} }: PullOptions,
): Promise<ImageRecord> {
  const { images, policy } = shared
  const { content } = images
  checkKinds(manifest)
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
      isOneOfMany: allTags,
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
  try {
    await download(content, repository, config, { lease, signal, policy })
  } catch (error) {
    if (!(error instanceof RegistryError) || error.code !== 'BLOB_UNKNOWN') throw error
    throw notFound('error pulling image configuration: unknown blob', error)
  }
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
  if (error.code === 'BLOB_UNKNOWN') return notFound('unknown blob', error)
  if (error.code === 'MANIFEST_UNKNOWN')
    return notFound(`manifest for ${familiar(reference)} not found: ${error.message}`, error)
  if (error.code === 'NAME_UNKNOWN')
    return notFound(`repository ${familiarName(reference)} not found: ${error.message}`, error)
  const kind = error.kind === 'unauthorized' ? 'unauthorized' : 'internal'
  return new GantryError(kind, error.message, { cause: error })
}
