/** Pause between handing one out and making the next: by then whoever took it has got past the part that is waited for. */
const QUIET_MILLISECONDS = 15

/** A few of something that is costly to make, made ahead while nobody waits for one. */
export class Reserve<T> {
  readonly #make: () => T
  readonly #discard: (unused: T) => void
  readonly #size: number
  readonly #ready: T[] = []
  #timer: NodeJS.Timeout | undefined
  #closed = false

  /** Keeps up to `size` ready, once the first was wanted; 0 makes each when it is wanted. */
  constructor(size: number, make: () => T, discard: (unused: T) => void) {
    this.#size = size
    this.#make = make
    this.#discard = discard
  }

  /** One of those, or a new one. Throws what `make` throws. */
  take(): T {
    const one = this.#ready.pop() ?? this.#make()
    this.#refillLater()
    return one
  }

  /** The event loop is given back between one and the next. */
  #refillLater(): void {
    if (this.#closed || this.#timer || this.#ready.length >= this.#size) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      try {
        this.#ready.push(this.#make())
      } catch {
        return // whoever takes one will meet the error and tell it
      }
      this.#refillLater()
    }, QUIET_MILLISECONDS)
    this.#timer.unref()
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    for (const unused of this.#ready.splice(0)) this.#discard(unused)
  }
}
