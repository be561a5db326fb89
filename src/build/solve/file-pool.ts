/** A few threads for work on many files, so that the daemon keeps answering meanwhile. Started when first needed. */
import { type MessagePort, Worker } from 'node:worker_threads'
import { type ErrorKind, GantryError, internal } from '../../errors.ts'
import type { FileJob, FromFileWorker, ToFileWorker, WorkerSettings } from './file-worker.ts'

interface Waiting {
  resolve(value: unknown): void
  reject(error: Error): void
}

interface Lane {
  worker: Worker
  waiting: Map<number, Waiting>
}

export class FilePool {
  readonly #settings: WorkerSettings
  readonly #size: number
  readonly #lanes: Lane[] = []
  #nextId = 0
  #closed = false

  constructor(settings: WorkerSettings, size = 2) {
    this.#settings = settings
    this.#size = size
  }

  /** `lane`: work with the same one goes to the same thread, which remembers what it has summed. */
  async run<T>(work: FileJob, lane?: string): Promise<T> {
    if (this.#closed) throw internal('the builder is closed')
    const { worker, waiting } = this.#pick(lane)
    const id = this.#nextId++
    const done = new Promise<unknown>((resolve, reject) => waiting.set(id, { resolve, reject }))
    worker.ref()
    worker.postMessage({ id, work } satisfies ToFileWorker)
    try {
      return (await done) as T
    } finally {
      waiting.delete(id)
      if (waiting.size === 0) worker.unref()
    }
  }

  #pick(lane: string | undefined): Lane {
    if (lane !== undefined) {
      let sum = 0
      for (const char of lane) sum = (sum * 31 + char.charCodeAt(0)) >>> 0
      const index = sum % this.#size
      return (this.#lanes[index] ??= this.#start(index))
    }
    for (let index = 0; index < this.#size; index++) {
      const known = this.#lanes[index]
      if (!known || known.waiting.size === 0) return (this.#lanes[index] ??= this.#start(index))
    }
    return this.#lanes.reduce((least, other) => (other.waiting.size < least.waiting.size ? other : least))
  }

  #start(index: number): Lane {
    const worker = new Worker(new URL(workerFile, import.meta.url), {
      trackUnmanagedFds: false,
      workerData: this.#settings,
    })
    const lane: Lane = { worker, waiting: new Map() }
    worker.unref()
    worker.on('message', (reply: FromFileWorker) => {
      if ('summer' in reply) return this.#help(index, reply)
      const waiting = lane.waiting.get(reply.id)
      if (!waiting) return
      if ('error' in reply) waiting.reject(revive(reply.error))
      else waiting.resolve(reply.result)
    })
    const fail = (error: Error): void => {
      delete this.#lanes[index]
      for (const waiting of lane.waiting.values()) waiting.reject(error)
    }
    worker.on('error', fail)
    worker.on('exit', () => fail(internal('a file worker ended')))
    return lane
  }

  /** The next thread sums for the one that asks; it is held no longer than the job of that one. */
  #help(index: number, message: ToFileWorker & { summer: MessagePort }): void {
    const next = (index + 1) % this.#size
    const { worker } = (this.#lanes[next] ??= this.#start(next))
    worker.postMessage(message, [message.summer])
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.all(this.#lanes.map(lane => lane?.worker.terminate()))
  }
}

const workerFile = import.meta.url.endsWith('.ts') ? './file-worker.ts' : './file-worker.js'

function revive({ kind, message, code }: { kind: string; message: string; code?: string }): Error {
  const error = new GantryError(kind as ErrorKind, message)
  return code ? Object.assign(error, { code }) : error
}
