/** Work that several ask for at once and that is done once. Who stops waiting leaves it to the others; the last one out stops it. */

interface Shared<T, E> {
  promise: Promise<T>
  controller: AbortController
  listeners: Set<(event: E) => void>
  /** What a latecomer is told first. */
  latest: E | undefined
}

export class SharedWork<T, E> {
  readonly #running = new Map<string, Shared<T, E>>()

  /**
   * The result of `work` under `key`, begun here or already under way. `listener` hears its events from now on, the latest first.
   * Throws `signal`'s reason when that aborts, while the work goes on for others.
   */
  async join(
    key: string,
    work: (emit: (event: E) => void, signal: AbortSignal) => Promise<T>,
    listener: (event: E) => void,
    signal?: AbortSignal,
  ): Promise<T> {
    signal?.throwIfAborted()
    const shared = this.#running.get(key) ?? this.#begin(key, work)
    // A listener of one's own, so that one function may join twice.
    const own = (event: E) => listener(event)
    shared.listeners.add(own)
    if (shared.latest !== undefined) own(shared.latest)
    const left = Promise.withResolvers<never>()
    const leave = (): void => left.reject(signal?.reason)
    signal?.addEventListener('abort', leave, { once: true })
    try {
      return await (signal ? Promise.race([shared.promise, left.promise]) : shared.promise)
    } finally {
      signal?.removeEventListener('abort', leave)
      shared.listeners.delete(own)
      if (shared.listeners.size === 0 && this.#running.get(key) === shared) {
        this.#running.delete(key)
        shared.controller.abort(signal?.reason)
      }
    }
  }

  #begin(key: string, work: (emit: (event: E) => void, signal: AbortSignal) => Promise<T>): Shared<T, E> {
    const controller = new AbortController()
    const listeners = new Set<(event: E) => void>()
    const shared: Shared<T, E> = {
      promise: Promise.resolve() as never,
      controller,
      listeners,
      latest: undefined,
    }
    const emit = (event: E): void => {
      shared.latest = event
      for (const listener of listeners) listener(event)
    }
    this.#running.set(key, shared)
    shared.promise = work(emit, controller.signal).finally(() => {
      if (this.#running.get(key) === shared) this.#running.delete(key)
    })
    shared.promise.catch(() => {})
    return shared
  }
}
