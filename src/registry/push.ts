/** An image of the store to a registry. */

import type { ImageStore } from '../image/image-store.ts'
import { canonical, canonicalName, type Reference, withDigest } from '../image/reference.ts'
import { StoredImage } from '../image/stored-image.ts'
import type { Descriptor } from '../image/types.ts'
import { LayerProgress, say } from './progress.ts'
import type { Repository } from './repository.ts'
import { type RetryPolicy, retrying } from './retry.ts'
import type { Semaphore, SharedWork } from './shared-work.ts'
import type { PushOptions, PushResult } from './types.ts'
import { type Uploaded, upload } from './upload.ts'

export type UploadEvent =
  | { kind: 'waiting' }
  | { kind: 'sent'; bytes: number }
  | { kind: 'retrying'; delay: number }

/** What all pushes of a daemon share. */
export interface PushShared {
  images: ImageStore
  uploads: SharedWork<Uploaded, UploadEvent>
  slots: Semaphore
  policy: RetryPolicy
}

/** Push the manifest that `reference` (with a tag) stands for. Layers first, the manifest last: nobody sees a part of an image. */
export async function pushReference(
  shared: PushShared,
  repository: Repository,
  reference: Reference,
  descriptor: Descriptor,
  options: PushOptions,
): Promise<PushResult> {
  const { signal, onProgress = () => {} } = options
  const { images, policy } = shared
  const image = new StoredImage(images.content, descriptor)
  const lease = images.content.lease()
  const failed = new AbortController()
  const stop = signal ? AbortSignal.any([signal, failed.signal]) : failed.signal
  try {
    for (const digest of image.contents) lease.add(digest)
    // The topmost layer is told, and sent, first. A layer that comes twice is sent once.
    const layers = new Map(image.layers.toReversed().map(layer => [layer.digest, layer]))
    const progress = new Map(
      [...layers.values()].map(layer => [layer.digest, new LayerProgress(layer.diffId, onProgress)]),
    )
    for (const layer of progress.values()) layer.step('Preparing')
    const work = [...layers.values()].map(layer =>
      pushLayer(shared, repository, reference, layer, progress.get(layer.digest)!, stop),
    )
    try {
      await Promise.all(work)
    } catch (error) {
      failed.abort(error)
      await Promise.allSettled(work)
      throw error
    }
    await upload(images.content, repository, image.manifest.config, { signal, policy })
    await retrying(() => repository.putManifest(reference.tag!, image.manifestBytes, descriptor.mediaType), {
      signal,
      policy,
    })
  } finally {
    lease.release()
  }
  // What is in a registry is known by its digest from then on, and other repositories there can mount its layers.
  const repoDigest = withDigest(reference, descriptor.digest)
  if (!images.named(repoDigest)) await images.put(image, { references: [repoDigest] })
  const result: PushResult = {
    tag: reference.tag!,
    digest: descriptor.digest,
    size: image.manifestBytes.length,
  }
  say(onProgress, `${result.tag}: digest: ${result.digest} size: ${result.size}`)
  onProgress({ progressDetail: {}, aux: { Tag: result.tag, Digest: result.digest, Size: result.size } })
  return result
}

async function pushLayer(
  shared: PushShared,
  repository: Repository,
  reference: Reference,
  layer: Descriptor,
  progress: LayerProgress,
  signal: AbortSignal,
): Promise<void> {
  const { images, uploads, slots, policy } = shared
  const work = (emit: (event: UploadEvent) => void, stop: AbortSignal): Promise<Uploaded> =>
    slots.run(
      () =>
        upload(images.content, repository, layer, {
          signal: stop,
          policy,
          sources: sourcesOf(images, reference, layer),
          onBytes: bytes => emit({ kind: 'sent', bytes }),
          onRetry: (_, delay) => emit({ kind: 'retrying', delay }),
        }),
      stop,
      () => emit({ kind: 'waiting' }),
    )
  const tell = (event: UploadEvent): void => {
    if (event.kind === 'waiting') progress.step('Waiting')
    else if (event.kind === 'sent') progress.bytes('Pushing', event.bytes, layer.size)
    else progress.retrying(event.delay)
  }
  const uploaded = await uploads.join(`${canonicalName(reference)} ${layer.digest}`, work, tell, signal)
  if (uploaded.how === 'existed') progress.step('Layer already exists')
  else if (uploaded.how === 'mounted') progress.step(`Mounted from ${uploaded.from}`)
  else progress.step('Pushed')
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
