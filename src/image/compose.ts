/** Images that are made here: from layers and a config, and from another image with something changed. */

import type { Readable } from 'node:stream'
import { invalid } from '../errors.ts'
import { digestOf } from './digest.ts'
import type { ImageStore } from './image-store.ts'
import { layerTooLarge } from './layer/apply.ts'
import { TarParser } from './tar/parser.ts'
import {
  type Descriptor,
  type Digest,
  type HistoryEntry,
  type Image,
  type ImageConfig,
  type ImageRuntimeConfig,
  mediaTypes,
} from './types.ts'

/** An image whose layers are blobs of the store already ({@link storeLayer}). */
export function composeImage(config: ImageConfig, layers: readonly Descriptor[]): Image {
  const configBytes = Buffer.from(JSON.stringify(config))
  return composeWith(config, configBytes, layers)
}

/** {@link composeImage} of a config whose bytes must stay. */
export function composeWith(
  config: ImageConfig,
  configBytes: Uint8Array,
  layers: readonly Descriptor[],
): Image {
  const manifest = {
    schemaVersion: 2 as const,
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: mediaTypes.ociConfig, digest: digestOf(configBytes), size: configBytes.length },
    layers: [...layers],
  }
  const manifestBytes = Buffer.from(JSON.stringify(manifest))
  const digest = digestOf(manifestBytes)
  return { digest, mediaType: manifest.mediaType, manifest, manifestBytes, config, configBytes, layers: [] }
}

/** A layer that was taken into the store: uncompressed, so its digest is its diff ID. */
export interface NewLayer {
  descriptor: Descriptor
  diffId: Digest
}

export interface StoreLayerOptions {
  signal?: AbortSignal
  onProgress?: (bytes: number) => void
}

/**
 * Take a tar of changes into the store, and begin to unpack it as it comes.
 * @throws GantryError `invalid` for what is no tar archive
 */
export async function storeLayer(
  store: ImageStore,
  tar: AsyncIterable<Uint8Array>,
  options: StoreLayerOptions = {},
): Promise<NewLayer & { release(): void }> {
  const lease = store.content.lease()
  const writer = await store.content.ingest({ lease })
  const limit = store.snapshots.maxLayerBytes
  // An archive that announces too much is refused before its bytes are there.
  const check = new TarParser({
    entry({ size, extents }) {
      if (extents === undefined && writer.offset + size > limit) throw layerTooLarge(limit)
    },
    data() {},
    end() {},
  })
  try {
    for await (const chunk of tar) {
      options.signal?.throwIfAborted()
      if (writer.offset + chunk.length > limit) throw layerTooLarge(limit)
      check.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength))
      const full = writer.write(chunk)
      if (full !== undefined) await full
      options.onProgress?.(writer.offset)
    }
    check.end()
    if (writer.offset === 0) throw invalid('unexpected EOF')
    const { digest, size } = await writer.commit()
    const descriptor = { mediaType: mediaTypes.ociLayer, digest, size }
    return { descriptor, diffId: digest, release: () => lease.release() }
  } catch (error) {
    await writer.abort()
    lease.release()
    throw error
  }
}

export interface CommitChanges {
  /** What the writable layer holds, as {@link Snapshots.diff} gives it; absent for none (only the config changes). */
  layer?: Readable
  config: ImageRuntimeConfig
  author?: string
  comment?: string
  createdBy?: string
  /** RFC 3339; now unless told. */
  created?: string
}

/** `docker commit`: a new image on top of `base` (or of nothing). Names are given by {@link ImageStore.put}. */
export async function commitImage(
  store: ImageStore,
  base: Image | undefined,
  platform: Pick<ImageConfig, 'os' | 'architecture' | 'variant'>,
  changes: CommitChanges,
): Promise<{ image: Image; release(): void }> {
  const { config, author, comment, createdBy, created = new Date().toISOString() } = changes
  const layer = changes.layer === undefined ? undefined : await storeLayer(store, changes.layer)
  const entry: HistoryEntry = {
    created,
    ...(author && { author }),
    ...(createdBy && { created_by: createdBy }),
    ...(comment && { comment }),
    ...(layer === undefined && { empty_layer: true }),
  }
  const { os, architecture, variant } = platform
  const image = composeImage(
    {
      architecture,
      ...(variant && { variant }),
      os,
      created,
      ...(author && { author }),
      config,
      rootfs: {
        type: 'layers',
        diff_ids: [...(base?.config.rootfs.diff_ids ?? []), ...(layer === undefined ? [] : [layer.diffId])],
      },
      history: [...(base?.config.history ?? []), entry],
    },
    [...(base?.manifest.layers ?? []), ...(layer === undefined ? [] : [layer.descriptor])],
  )
  return { image, release: () => layer?.release() }
}
