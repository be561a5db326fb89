/** What the last builds came to: other builds may start from it. */
import { notFound } from '../errors.ts'
import type { ImageStore } from '../image/image-store.ts'
import type { Platform } from '../image/types.ts'
import { type ExportContext, exportImage } from './export/image.ts'
import type { Converted } from './plan/convert.ts'
import { formatPlatform } from './plan/platform.ts'
import type { Root } from './solve/root.ts'
import { type LentImage, lendImage } from './sources/lend.ts'

interface Solved {
  converted: Converted
  root: Root
}

/** Results that are remembered. */
const MAX_RESULTS = 64

export class Results {
  readonly #results = new Map<string, Solved[]>()

  keep(build: string, solved: Solved[]): void {
    this.#results.delete(build)
    this.#results.set(build, solved)
    for (const oldest of this.#results.keys()) {
      if (this.#results.size <= MAX_RESULTS) break
      this.#results.delete(oldest)
    }
  }

  /** The result as an image without a name. */
  async lend(
    build: string,
    platform: Platform,
    images: ImageStore,
    exporting: ExportContext,
    signal: AbortSignal,
  ): Promise<LentImage> {
    const results = this.#results.get(build)
    const wanted = formatPlatform(platform)
    const found = results?.find(({ converted }) => formatPlatform(converted.platform) === wanted)
    if (!found) throw notFound(`no result of build ${build} for ${wanted}`)
    const lease = images.content.lease()
    try {
      const { root, converted } = found
      const image = await exportImage(exporting, { root, config: converted.config, lease, signal })
      return await lendImage(images, image, { lease, signal })
    } finally {
      lease.release()
    }
  }
}
