/** What a build does besides solving vertices, told as if it were vertices: loading, resolving, exporting. */

import { messageOf } from '../errors.ts'
import { digestOf } from '../image/digest.ts'
import type { Digest } from '../image/types.ts'
import type { OnProgress } from './solve/progress.ts'

export interface StepWatch {
  readonly digest: Digest
  /** `transferring context: 2B` */
  transferred(label: string, bytes: number): void
  /** `exporting layers done` */
  part<T>(label: string, work: () => Promise<T>): Promise<T>
}

export class Steps {
  readonly #onProgress: OnProgress
  readonly #salt: string

  /** `salt` makes the digests of two builds' steps different. */
  constructor(onProgress: OnProgress, salt: string) {
    this.#onProgress = onProgress
    this.#salt = salt
  }

  async run<T>(name: string, work: (watch: StepWatch) => Promise<T>): Promise<T> {
    const digest = digestOf(`${this.#salt} ${name}`)
    const vertex = { type: 'vertex' as const, digest, inputs: [], name, started: Date.now() }
    this.#onProgress(vertex)
    try {
      const result = await work(this.#watch(digest))
      this.#onProgress({ ...vertex, completed: Date.now() })
      return result
    } catch (error) {
      this.#onProgress({ ...vertex, completed: Date.now(), error: messageOf(error) })
      throw error
    }
  }

  #watch(vertex: Digest): StepWatch {
    const tell = (id: string, started: number, current: number, completed?: number) =>
      this.#onProgress({
        type: 'status',
        vertex,
        id,
        current,
        total: 0,
        timestamp: Date.now(),
        started,
        ...(completed !== undefined && { completed }),
      })
    return {
      digest: vertex,
      transferred: (label, bytes) => tell(label, Date.now(), bytes, Date.now()),
      part: async (label, work) => {
        const started = Date.now()
        tell(label, started, 0)
        const result = await work()
        tell(label, started, 0, Date.now())
        return result
      },
    }
  }
}
