/** Docker's progress messages: texts, the drawn bar, and how often they come. */
import { shortId } from '../image/digest.ts'
import type { Digest } from '../image/types.ts'
import type { ProgressEvent, ProgressListener } from './types.ts'

const BAR = 50
/** Milliseconds between two messages about one layer's bytes. */
const INTERVAL = 100

/** `535.6kB`: four significant digits, powers of 1000. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']
  let value = bytes
  let unit = 0
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${Number(value.toPrecision(4))}${units[unit]}`
}

/** The bar that clients print as it is: `[====>     ]  4.2MB/42MB`. */
export function drawBar(current: number, total: number): string {
  if (total <= 0 || current > total) return formatBytes(current).padStart(8)
  const filled = Math.floor((current / total) * BAR)
  return `[${'='.repeat(filled)}>${' '.repeat(BAR - filled)}] ${formatBytes(current).padStart(8)}/${formatBytes(total)}`
}

/** What is told about one layer. The steps of a pull and of a push are {@link step}s, the bytes of one come by {@link bytes}. */
export class LayerProgress {
  readonly #id: string
  readonly #emit: ProgressListener
  #status = ''
  #next = 0

  constructor(digest: Digest, emit: ProgressListener) {
    this.#id = shortId(digest)
    this.#emit = emit
  }

  /** `Pulling fs layer`, `Waiting`, … A step is told once. */
  step(status: string): void {
    if (status === this.#status) return
    this.#status = status
    this.#next = 0
    this.#emit({ status, progressDetail: {}, id: this.#id })
  }

  /** The last bytes are always told, those before at most ten times a second. */
  bytes(status: string, current: number, total: number): void {
    const now = performance.now()
    if (status === this.#status && now < this.#next && current < total) return
    this.#status = status
    this.#next = now + INTERVAL
    this.#emit({
      status,
      progressDetail: { current, total },
      progress: drawBar(current, total),
      id: this.#id,
    })
  }

  /** `Retrying in 5 seconds`, where that is long enough to be read. */
  retrying(delay: number): void {
    const seconds = Math.round(delay / 1000)
    if (seconds > 0) this.step(`Retrying in ${seconds} second${seconds === 1 ? '' : 's'}`)
  }
}

/** A line of its own. */
export function say(emit: ProgressListener, status: string, id?: string): void {
  const event: ProgressEvent = { status, ...(id !== undefined && { id }) }
  emit(event)
}
