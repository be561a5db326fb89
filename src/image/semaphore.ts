/** At most `size` pieces of work at a time; the rest wait in their order. */
export class Semaphore {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(size: number) {
    this.#free = Math.max(1, size)
  }

  /** `onWait` is called where there is no place at once. */
  async run<T>(work: () => Promise<T>, signal?: AbortSignal, onWait?: () => void): Promise<T> {
    if (this.#free > 0) this.#free--
    else {
      onWait?.()
      await this.#turn(signal)
    }
    try {
      signal?.throwIfAborted()
      return await work()
    } finally {
      const next = this.#waiting.shift()
      if (next) next()
      else this.#free++
    }
  }

  #turn(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const go = (): void => {
        signal?.removeEventListener('abort', give)
        resolve()
      }
      const give = (): void => {
        const place = this.#waiting.indexOf(go)
        if (place >= 0) this.#waiting.splice(place, 1)
        reject(signal?.reason)
      }
      this.#waiting.push(go)
      signal?.addEventListener('abort', give, { once: true })
    })
  }
}
