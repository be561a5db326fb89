/** Starts work in a confined worker thread and talks with it. The inside is {@link file://./task.ts}. */
import { Readable } from 'node:stream'
import { Worker } from 'node:worker_threads'
import { GantryError, internal } from '../../errors.ts'
import type { FromTask, JobSetup, ToTask } from './task.ts'

export interface JobOptions {
  signal?: AbortSignal | undefined
  onProgress?: (value: number) => void
}

export interface Job<Result> {
  /** What the work came to. Rejects with what it threw, or the signal's reason. */
  readonly result: Promise<Result>
  /** What the work wrote; ends with it, fails with it. Take it, or do not start work that writes. */
  readonly output: Readable
  /** Settled, never rejected, when the thread is gone: only then may its files be removed. */
  readonly ended: Promise<void>
  /** Send input; wait for it before sending more. */
  write(chunk: Uint8Array): Promise<void>
  end(): void
  /** Stop the thread where it is. */
  cancel(reason?: unknown): void
}

/** Chunks of input that may wait in the worker. */
const MAX_INPUT = 8
/** Bytes of output that may wait here. */
const HIGH_WATER = 1 << 20

/**
 * @param name the task's module beside its caller, without extension: `./apply-task`
 * @param base `import.meta.url` of the caller
 * @param root folder that the worker is confined to; may be `/proc/self/fd/N` of a folder that is open
 */
export function startJob<Data, Result>(
  name: string,
  base: string,
  root: string,
  data: Data,
  options: JobOptions = {},
): Job<Result> {
  const { signal, onProgress } = options
  const extension = base.endsWith('.ts') ? '.ts' : '.js'
  const credit = new SharedArrayBuffer(4)
  const setup: JobSetup<Data> = { root, data, credit }
  const worker = new Worker(new URL(name + extension, base), { workerData: setup, trackUnmanagedFds: false })
  const { promise: result, resolve, reject } = Promise.withResolvers<Result>()
  result.catch(() => {}) // whoever only reads the output is told there
  const ended = Promise.withResolvers<void>()

  const output = new Readable({ highWaterMark: HIGH_WATER, read: release, destroy: onDestroy })
  output.on('error', () => {}) // told by `result` as well; whoever reads it is told in any case
  const inFlight = new Int32Array(credit)
  let held = 0
  let isSettled = false
  let failure: unknown
  let waiting = 0
  const wake: (() => void)[] = []

  /** Let the worker send as many chunks as were taken. */
  function release(): void {
    Atomics.sub(inFlight, 0, held)
    Atomics.notify(inFlight, 0)
    held = 0
  }
  function onDestroy(error: Error | null, callback: (error: Error | null) => void): void {
    if (!isSettled) cancel(error ?? internal('nobody takes the output'))
    callback(error)
  }
  function take(bytes: Uint8Array<ArrayBuffer>): void {
    held++
    if (output.push(Buffer.from(bytes.buffer, 0, bytes.length))) release()
  }
  function fail(error: unknown): void {
    if (isSettled) return
    isSettled = true
    failure = error
    reject(error)
    output.destroy(error as Error)
    wakeAll()
  }
  function wakeAll(): void {
    for (const go of wake.splice(0)) go()
  }
  function cancel(reason?: unknown): void {
    fail(reason ?? internal('cancelled'))
    void worker.terminate()
  }

  worker.on('message', (message: FromTask<Result>) => {
    switch (message.type) {
      case 'output':
        take(message.bytes)
        break
      case 'progress':
        onProgress?.(message.value)
        break
      case 'taken':
        waiting--
        wakeAll()
        break
      case 'done':
        isSettled = true
        resolve(message.result)
        output.push(null)
        break
      case 'failed':
        fail(Object.assign(new GantryError(message.kind, message.message), codeOf(message.code)))
    }
  })
  worker.on('error', fail)
  worker.on('exit', () => {
    fail(internal('worker thread ended early'))
    ended.resolve()
  })
  const onAbort = () => cancel(signal?.reason)
  if (signal?.aborted) onAbort()
  signal?.addEventListener('abort', onAbort, { once: true })
  void ended.promise.then(() => signal?.removeEventListener('abort', onAbort))

  return {
    result,
    output,
    ended: ended.promise,
    async write(chunk) {
      while (waiting >= MAX_INPUT && failure === undefined) await new Promise<void>(go => wake.push(go))
      if (failure !== undefined) throw failure
      waiting++
      const bytes = Uint8Array.from(chunk)
      worker.postMessage({ type: 'input', bytes } satisfies ToTask, [bytes.buffer])
    },
    end: () => worker.postMessage({ type: 'end' } satisfies ToTask),
    cancel,
  }
}

function codeOf(code: string | undefined): { code?: string } {
  return code === undefined ? {} : { code }
}
