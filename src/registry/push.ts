/** An image of the store to a registry. */

import { compressedLayer, withLayers } from '../image/compressed.ts'
import type { Lease } from '../image/content-store.ts'
import type { ImageStore } from '../image/image-store.ts'
import { canonical, canonicalName, type Reference, withDigest } from '../image/reference.ts'
import type { Semaphore } from '../image/semaphore.ts'
import { StoredImage } from '../image/stored-image.ts'
import type { Descriptor, Digest, Image, Layer } from '../image/types.ts'
import { LayerProgress, say } from './progress.ts'
import type { Repository } from './repository.ts'
import { type RetryPolicy, retrying } from './retry.ts'
import type { SharedWork } from './shared-work.ts'
import type { PushOptions, PushResult } from './types.ts'
import { type EarlyUpload, sendEarly, type Uploaded, upload } from './upload.ts'

export type UploadEvent =
  | { kind: 'waiting' }
  | { kind: 'sent'; bytes: number; total: number }
  | { kind: 'retrying'; delay: number }

/** A layer as it is in the registry: compressed, even where it is a plain tar here. */
interface PushedLayer {
  uploaded: Uploaded
  descriptor: Descriptor
}

/** What all pushes of a daemon share. */
export interface PushShared {
  images: ImageStore
  uploads: SharedWork<PushedLayer, UploadEvent>
  slots: Semaphore
  policy: RetryPolicy
}

/** One push of one or many tags to one repository. */
export interface Push extends PushShared {
  /** Blobs of ours that are there, by their digests here, and as what: the next tag need not ask again. */
  sent: Map<Digest, Descriptor>
}

/**
 * Push the manifest that `reference` (with a tag) stands for; one whose layers are plain tars goes with compressed ones. Layers
 * first, the manifest last: nobody sees a part of an image.
 */
export async function pushReference(
  shared: Push,
  repository: Repository,
  reference: Reference,
  descriptor: Descriptor,
  options: PushOptions,
): Promise<PushResult> {
  const { signal, onProgress = () => {} } = options
  const { images, policy } = shared
  const image = new StoredImage(images.content, descriptor)
  const lease = images.content.lease()
  try {
    for (const digest of image.contents) lease.add(digest)
    const layers = await pushLayers(shared, repository, reference, image, lease, options)
    const pushed = withLayers(image, layers)
    const { config } = image.manifest
    if (!shared.sent.has(config.digest)) await upload(images.content, repository, config, { signal, policy })
    shared.sent.set(config.digest, config)
    await retrying(() => repository.putManifest(reference.tag!, pushed.manifestBytes, descriptor.mediaType), {
      signal,
      policy,
    })
    // What is in a registry is known by its digest from then on, and other repositories there can mount its layers.
    const repoDigest = withDigest(reference, pushed.digest)
    const isOneOfMany = options.allTags ?? false
    if (!images.named(repoDigest)) await images.put(pushed, { references: [repoDigest], isOneOfMany })
    const result: PushResult = {
      tag: reference.tag!,
      digest: pushed.digest,
      size: pushed.manifestBytes.length,
    }
    say(onProgress, `${result.tag}: digest: ${result.digest} size: ${result.size}`)
    onProgress({ progressDetail: {}, aux: { Tag: result.tag, Digest: result.digest, Size: result.size } })
    return result
  } finally {
    lease.release()
  }
}

/** All layers of `image`, as they are in the repository afterwards, lowest first. */
async function pushLayers(
  shared: Push,
  repository: Repository,
  reference: Reference,
  image: Image,
  lease: Lease,
  { signal, onProgress = () => {} }: PushOptions,
): Promise<Descriptor[]> {
  const failed = new AbortController()
  const stop = signal ? AbortSignal.any([signal, failed.signal]) : failed.signal
  // The topmost layer is told, and sent, first. A layer that comes twice is sent once.
  const layers = new Map(image.layers.toReversed().map(layer => [layer.digest, layer]))
  const progress = [...layers.values()].map(layer => new LayerProgress(layer.diffId, onProgress))
  for (const layer of progress) layer.step('Preparing')
  const work = [...layers.values()].map((layer, index) =>
    pushLayer(shared, repository, reference, layer, progress[index]!, lease, stop),
  )
  try {
    const pushed = await Promise.all(work)
    const byDigest = new Map([...layers.keys()].map((digest, index) => [digest, pushed[index]!]))
    return image.layers.map(({ digest }) => byDigest.get(digest)!)
  } catch (error) {
    failed.abort(error)
    await Promise.allSettled(work)
    throw error
  }
}

async function pushLayer(
  shared: Push,
  repository: Repository,
  reference: Reference,
  layer: Layer,
  progress: LayerProgress,
  lease: Lease,
  signal: AbortSignal,
): Promise<Descriptor> {
  const { images, uploads, slots, policy, sent } = shared
  const before = sent.get(layer.digest)
  if (before !== undefined) {
    lease.add(before.digest)
    progress.step('Layer already exists')
    return before
  }
  const work = (emit: (event: UploadEvent) => void, stop: AbortSignal): Promise<PushedLayer> =>
    slots.run(
      async () => {
        // Of the work itself: whoever began it may leave it to others.
        const working = images.content.lease()
        try {
          let early: Promise<EarlyUpload | undefined> | undefined
          const descriptor = await compressedLayer(images, layer, working, stop, growing => {
            const onBytes = (bytes: number) => emit({ kind: 'sent', bytes, total: layer.size })
            early = sendEarly(images.content, repository, layer, growing, onBytes, stop)
          })
          const uploaded = await upload(images.content, repository, descriptor, {
            signal: stop,
            policy,
            sources: () => sourcesOf(images, reference, descriptor),
            early: await early,
            onBytes: bytes => emit({ kind: 'sent', bytes, total: descriptor.size }),
            onRetry: (_, delay) => emit({ kind: 'retrying', delay }),
          })
          return { uploaded, descriptor }
        } finally {
          // After all who wait for it have taken leases of their own.
          setImmediate(() => working.release())
        }
      },
      stop,
      () => emit({ kind: 'waiting' }),
    )
  const tell = (event: UploadEvent): void => {
    if (event.kind === 'waiting') progress.step('Waiting')
    else if (event.kind === 'sent') progress.bytes('Pushing', event.bytes, event.total)
    else progress.retrying(event.delay)
  }
  const key = `${canonicalName(reference)} ${layer.digest}`
  const { uploaded, descriptor } = await uploads.join(key, work, tell, signal)
  lease.add(descriptor.digest)
  if (uploaded.how === 'existed') progress.step('Layer already exists')
  else if (uploaded.how === 'mounted') progress.step(`Mounted from ${uploaded.from}`)
  else progress.step('Pushed')
  sent.set(layer.digest, descriptor)
  return descriptor
}

/** Other repositories of the same registry that an image with this layer was pulled from or named for. */
function sourcesOf(images: ImageStore, { domain, path }: Reference, layer: Descriptor): string[] {
  const sources = new Set<string>()
  for (const { image, names } of images.all()) {
    if (!image.manifest.layers.some(({ digest }) => digest === layer.digest)) continue
    for (const { reference } of names.values()) {
      // A digest is only known of what was in the registry.
      if (reference.domain === domain && reference.path !== path && reference.digest)
        sources.add(reference.path)
    }
  }
  return [...sources]
}

/** Every local name of the repository that has a tag, or the one that `reference` is. */
export function localTags(
  images: ImageStore,
  reference: Reference,
): { reference: Reference; descriptor: Descriptor }[] {
  if (reference.tag !== undefined) {
    const found = images.named(reference)?.names.get(canonical(reference))
    return found ? [found] : []
  }
  const name = canonicalName(reference)
  return images
    .all()
    .flatMap(({ names }) => [...names.values()])
    .filter(entry => entry.reference.tag !== undefined && canonicalName(entry.reference) === name)
    .sort((a, b) => (a.reference.tag! < b.reference.tag! ? -1 : 1))
}
