/** Garbage collection of a running engine. What a removed image leaves goes at once; this takes what interrupted work left. */
import { messageOf } from '../errors.ts'
import type { Logger } from '../logger.ts'
import type { ImageStore } from './image-store.ts'

const INTERVAL = 60 * 60 * 1000

/** Now, which settles what a killed daemon left, and every hour. Call it when every container's snapshot is held. */
export function collectRegularly(images: ImageStore, logger: Logger, signal: AbortSignal): void {
  const collect = (): void => {
    if (signal.aborted) return
    try {
      const { bytes } = images.collectGarbage()
      if (bytes > 0) logger.info('collected garbage of images', { bytes })
    } catch (error) {
      logger.error('collecting garbage of images failed', { error: messageOf(error) })
    }
  }
  const timer = setInterval(collect, INTERVAL).unref()
  signal.addEventListener('abort', () => clearInterval(timer), { once: true })
  setImmediate(collect)
}
