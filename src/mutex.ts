/** Runs async work on one key at a time, in the order it was asked for; different keys run side by side. */
export class KeyedMutex {
  #tails = new Map<string, Promise<unknown>>()

  async run<T>(key: string, work: () => Promise<T> | T): Promise<T> {
    const previous = this.#tails.get(key) ?? Promise.resolve()
    const current = previous.then(work, work)
    const tail = current.then(
      () => {},
      () => {},
    )
    this.#tails.set(key, tail)
    try {
      return await current
    } finally {
      if (this.#tails.get(key) === tail) this.#tails.delete(key)
    }
  }

  /** Whether work on `key` is under way or waiting. */
  isHeld(key: string): boolean {
    return this.#tails.has(key)
  }
}
