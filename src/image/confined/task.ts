/**
 * The inside of a confined job: a worker thread whose synchronous file calls see one folder and nothing else
 * ({@link linux.confineThread}). {@link file://./worker.ts} runs tasks, {@link file://./job.ts} starts them.
 */
import { parentPort } from 'node:worker_threads'
import type { ErrorKind } from '../../errors.ts'

/** Work on the files of the confined root. */
export type Task<Data, Result> = (data: Data, port: TaskPort) => Result | Promise<Result>

/** To the worker. */
export type ToTask =
  | {
      type: 'job'
      task: string
      /** Folder to be confined to: absolute on the host. */
      root: string
      data: unknown
      /** One 32-bit integer: chunks of output that were sent and not yet taken. */
      credit: SharedArrayBuffer
    }
  | { type: 'input'; bytes: Uint8Array }
  | { type: 'end' }

/** From the worker to whoever started it. */
export type FromTask =
  | { type: 'output'; bytes: Uint8Array<ArrayBuffer> }
  | { type: 'progress'; value: number }
  | { type: 'taken' }
  | { type: 'done'; result: unknown }
  | { type: 'failed'; message: string; kind: ErrorKind; code: string | undefined }

const CHUNK = 256 * 1024
/** Chunks of output that may be on their way before the worker waits. */
const MAX_IN_FLIGHT = 16

/** What a task can reach besides files. */
export class TaskPort {
  readonly #credit: Int32Array
  readonly #input: (Buffer | undefined)[] = []
  #wake = () => {}
  #buffer = Buffer.from(new ArrayBuffer(CHUNK))
  #used = 0

  constructor(credit: SharedArrayBuffer) {
    this.#credit = new Int32Array(credit)
  }

  /** Send bytes to the job's output, copying them; waits (the thread sleeps) while nobody takes them. */
  write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const count = Math.min(bytes.length - at, CHUNK - this.#used)
      this.#buffer.set(bytes.subarray(at, at + count), this.#used)
      this.#used += count
      at += count
      if (this.#used === CHUNK) this.flush()
    }
  }

  flush(): void {
    if (this.#used === 0) return
    const bytes = new Uint8Array(this.#buffer.buffer as ArrayBuffer, 0, this.#used)
    this.#buffer = Buffer.from(new ArrayBuffer(CHUNK))
    this.#used = 0
    const inFlight = Atomics.add(this.#credit, 0, 1) + 1
    this.send({ type: 'output', bytes }, [bytes.buffer])
    for (let now = inFlight; now >= MAX_IN_FLIGHT; now = Atomics.load(this.#credit, 0)) {
      Atomics.wait(this.#credit, 0, now)
    }
  }

  progress(value: number): void {
    this.send({ type: 'progress', value })
  }

  /** Chunks that {@link Job.write} sends, until {@link Job.end}. */
  async *input(): AsyncGenerator<Buffer> {
    for (;;) {
      while (this.#input.length === 0) await new Promise<void>(resolve => (this.#wake = resolve))
      const chunk = this.#input.shift()
      if (chunk === undefined) return
      yield chunk
      this.send({ type: 'taken' })
    }
  }

  /** Called by the worker for each chunk that arrives; `undefined` ends the input. */
  feed(bytes: Uint8Array | undefined): void {
    this.#input.push(bytes && Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
    this.#wake()
  }

  send(message: FromTask, transfer: ArrayBuffer[] = []): void {
    parentPort!.postMessage(message, transfer)
  }
}
