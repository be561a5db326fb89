/** Holds back a step that prints without end: what is over the limits is counted and dropped, not kept. */

/** Bytes of one step that are shown: BuildKit's limit. */
const MAX_BYTES = 2 * 1024 * 1024

export class OutputLimit {
  readonly #write: (stream: 1 | 2, data: Buffer) => void
  #left = MAX_BYTES
  #clipped = false

  constructor(write: (stream: 1 | 2, data: Buffer) => void) {
    this.#write = write
  }

  write(stream: 1 | 2, data: Buffer): void {
    if (this.#left > 0) {
      const part = data.subarray(0, this.#left)
      this.#left -= part.length
      this.#write(stream, Buffer.from(part))
      if (part.length === data.length) return
    }
    if (this.#clipped) return
    this.#clipped = true
    this.#write(2, Buffer.from('[output clipped, log limit 2MiB reached]\n'))
  }
}
