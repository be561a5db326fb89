/**
 * What of a folder would survive a power cut. Syncing each of the thousands of files of a layer would cost more than unpacking it,
 * so all are synced at once when it is quiet, and a mark says how far: what came after it, in an earlier boot, is doubtful.
 */
import * as path from 'node:path'
import { bootId, readJson, writeJsonDurable } from '../durable.ts'
import { syncFileSystem } from '../linux/index.ts'

/** What is remembered with each thing that was completed: in which boot, and as the how many-th. */
export interface Stamp {
  boot: string
  number: number
}

/** Milliseconds without anything new after which all is synced. */
const QUIET = 2000

export class SyncMark {
  readonly #file: string
  readonly #boot = bootId()
  /** All up to this one are on the disk. */
  #synced: number
  #last: number
  #timer: NodeJS.Timeout | undefined

  /** The mark is kept in `file`; the file system that it is on is synced. */
  constructor(file: string) {
    this.#file = file
    this.#synced = readJson<{ number: number }>(this.#file)?.number ?? 0
    this.#last = this.#synced
  }

  /** Whether a power cut may have taken what has this stamp. To be asked of all that there is before the first new {@link stamp}. */
  isDoubtful({ boot, number }: Stamp): boolean {
    this.#last = Math.max(this.#last, number)
    return boot !== this.#boot && number > this.#synced
  }

  /** For something that is complete now, and synced soon. */
  stamp(): Stamp {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#sync(), QUIET).unref()
    return { boot: this.#boot, number: ++this.#last }
  }

  async #sync(): Promise<void> {
    const number = this.#last
    try {
      await syncFileSystem(path.dirname(this.#file))
      writeJsonDurable(this.#file, { number })
      this.#synced = number
    } catch {
      // The disk is full, or the folder gone: what came stays doubtful until a later sync.
    }
  }
}
