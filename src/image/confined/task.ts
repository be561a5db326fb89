/**
 * The inside of a confined job: a worker thread of its own, whose synchronous file calls see one folder and nothing else
 * ({@link linux.confineThread}). A module that is such a job calls {@link confinedTask} once; {@link file://./job.ts} starts it.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { type ErrorKind, kindOf, messageOf } from '../../errors.ts'
import * as linux from '../../linux/index.ts'

export interface JobSetup<Data> {
  /** Folder to be confined to, absolute. */
  root: string
  data: Data
  /** One 32-bit integer: chunks of output that were sent and not yet taken. */
  credit: SharedArrayBuffer
}

/** From the worker to whoever started it. */
export type FromTask<Result> =
  | { type: 'output'; bytes: Uint8Array<ArrayBuffer> }
  | { type: 'progress'; value: number }
  | { type: 'taken' }
  | { type: 'done'; result: Result }
  | { type: 'failed'; message: string; kind: ErrorKind; code: string | undefined }

/** To the worker. */
export type ToTask = { type: 'input'; bytes: Uint8Array } | { type: 'end' }

const CHUNK = 256 * 1024
/** Chunks of output that may be on their way before the worker waits. */
const MAX_IN_FLIGHT = 16

/** What a task can reach besides files. */
export class TaskPort<Result> {
  readonly #credit: Int32Array
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
    const full = this.#buffer
    const bytes = new Uint8Array(full.buffer as ArrayBuffer, 0, this.#used)
    this.#buffer = Buffer.from(new ArrayBuffer(CHUNK))
    this.#used = 0
    const inFlight = Atomics.add(this.#credit, 0, 1) + 1
    this.#send({ type: 'output', bytes }, [bytes.buffer])
    for (let now = inFlight; now >= MAX_IN_FLIGHT; now = Atomics.load(this.#credit, 0)) {
      Atomics.wait(this.#credit, 0, now)
    }
  }

  progress(value: number): void {
    this.#send({ type: 'progress', value })
  }

  /** Chunks that {@link Job.write} sends, until {@link Job.end}. */
  async *input(): AsyncGenerator<Buffer> {
    const queue: (Buffer | undefined)[] = []
    let wake = () => {}
    parentPort!.on('message', (message: ToTask) => {
      queue.push(message.type === 'input' ? asBuffer(message.bytes) : undefined)
      wake()
    })
    for (;;) {
      while (queue.length === 0) await new Promise<void>(resolve => (wake = resolve))
      const chunk = queue.shift()
      if (chunk === undefined) return
      yield chunk
      this.#send({ type: 'taken' })
    }
  }

  #send(message: FromTask<Result>, transfer: ArrayBuffer[] = []): void {
    parentPort!.postMessage(message, transfer)
  }
}

/**
 * Run `work` confined, and report what it returns or throws. `open` runs before the confinement, for files that lie
 * outside; what it returns is handed on.
 */
export async function confinedTask<Data, Result, Opened = undefined>(
  work: (data: Data, port: TaskPort<Result>, opened: Opened) => Result | Promise<Result>,
  open?: (data: Data) => Opened,
): Promise<void> {
  const { root, data, credit } = workerData as JobSetup<Data>
  const port = new TaskPort<Result>(credit)
  const send = (message: FromTask<Result>) => parentPort!.postMessage(message)
  try {
    const opened = open?.(data) as Opened
    linux.confineThread(root)
    const result = await work(data, port, opened)
    port.flush()
    send({ type: 'done', result })
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : undefined
    send({ type: 'failed', message: messageOf(error), kind: kindOf(error), code })
  }
  parentPort!.close()
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
