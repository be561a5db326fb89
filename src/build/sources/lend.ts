/** Images that are in the store, without a name, for as long as a build needs them. */
import type { Lease } from '../../image/content-store.ts'
import type { ImageStore } from '../../image/image-store.ts'
import type { Digest, Image } from '../../image/types.ts'

export interface LentImage {
  id: Digest
  /** The build is done with it. The last one takes it out again, unless it was there before, or has got a name. */
  forget(): void
}

/** Builds that use an image which only they need. */
const users = new WeakMap<ImageStore, Map<Digest, number>>()

export async function lendImage(
  images: ImageStore,
  image: Image,
  options: { lease: Lease; signal?: AbortSignal },
): Promise<LentImage> {
  const counts = users.get(images) ?? new Map<Digest, number>()
  users.set(images, counts)
  const id = image.manifest.config.digest
  const others = counts.get(id)
  if (others === undefined && images.get(id) !== undefined) return { id, forget() {} }
  counts.set(id, (others ?? 0) + 1)
  let isHeld = true
  const forget = (): void => {
    if (!isHeld) return
    isHeld = false
    const left = counts.get(id)! - 1
    if (left > 0) {
      counts.set(id, left)
      return
    }
    counts.delete(id)
    if (images.get(id)?.names.size === 0) images.forget([id])
  }
  try {
    await images.put(image, options)
    return { id, forget }
  } catch (error) {
    forget()
    throw error
  }
}
