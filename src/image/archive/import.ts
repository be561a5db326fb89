/** `docker import`: a file system in a tar, in any compression, becomes an image of one layer. */
import type { Readable } from 'node:stream'
import { applyChanges } from '../change.ts'
import { composeImage, storeLayer } from '../compose.ts'
import type { ImageRecord, ImageStore } from '../image-store.ts'
import { hostPlatform } from '../platform.ts'
import type { Reference } from '../reference.ts'
import type { Platform } from '../types.ts'
import { openArchive } from './decompress.ts'

export interface ImportOptions {
  reference?: Reference
  message?: string
  /** Dockerfile lines; see {@link applyChanges}. */
  changes?: string[]
  platform?: Platform
  signal?: AbortSignal
  /** Bytes of the tar taken in. */
  onProgress?: (bytes: number) => void
}

/** @throws GantryError `invalid` for changes or an archive that are none */
export async function importImage(
  store: ImageStore,
  archive: Readable,
  options: ImportOptions = {},
): Promise<ImageRecord> {
  const { reference, message, changes = [], platform = hostPlatform(), signal, onProgress } = options
  const config = applyChanges({}, changes)
  const layer = await storeLayer(store, openArchive(archive), {
    ...(signal && { signal }),
    ...(onProgress && { onProgress }),
  })
  try {
    const created = new Date().toISOString()
    const image = composeImage(
      {
        architecture: platform.architecture,
        ...(platform.variant && { variant: platform.variant }),
        os: platform.os,
        created,
        config,
        rootfs: { type: 'layers', diff_ids: [layer.diffId] },
        history: [{ created, comment: message || 'Imported from -' }],
      },
      [layer.descriptor],
    )
    return await store.put(image, {
      references: reference === undefined ? [] : [reference],
      ...(signal && { signal }),
    })
  } catch (error) {
    layer.release()
    const isUsed = store.all().some(({ image }) => image.contents.includes(layer.diffId))
    if (!isUsed) store.content.delete(layer.diffId)
    throw error
  } finally {
    layer.release()
  }
}
