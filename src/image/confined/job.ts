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
  const worker = new Worker(new URL(name + extension, base), { workerData: setup })
  const { promise: result, resolve, reject } = Promise.withResolvers<Result>()
  result.catch(() => {}) // whoever only reads the output sees the error there
  const ended = Promise.withResolvers<void>()

  const taken = new Int32Array(credit)
  const output = new Readable({
    highWaterMark: 1 << 20,
    read() {},
    destroy(error, callback) {
      cancel(error ?? internal('nobody takes the output'))
      callback(error)
    },
  })
  const give = (bytes: Buffer) => {
    output.push(bytes)
    const release = () => {
      Atomics.sub(taken, 0, 1)
      Atomics.notify(taken, 0)
    }
    if (output.readableLength < 1 << 20) release()
    else held.push(release)
  }
  const held: (() => void)[] = []
  output._read = () => {
    for (const release of held.splice(0)) release()
  }

  let waiting = 0
  const wake: (() => void)[] = []
  const wakeAll = () => {
    for (const go of wake.splice(0)) go()
  }

  worker.on('message', (message: FromTask<Result>) => {
    if (message.type === 'output') give(Buffer.from(message.bytes.buffer, 0, message.bytes.length))
    else if (message.type === 'progress') onProgress?.(message.value)
    else if (message.type === 'taken') {
      waiting--
      wakeAll()
    } else if (message.type === 'done') {
      resolve(message.result)
      output.push(null)
    } else {
      fail(Object.assign(new GantryError(message.kind, message.message), codeOf(message.code)))
    }
  })
  worker.on('error', error => fail(error))
  worker.on('exit', () => {
    fail(internal('worker thread ended early'))
    wakeAll()
    ended.resolve()
  })
  let failed: unknown
  function fail(error: unknown): void {
    failed ??= error
    reject(error)
    if (!output.readableEnded && !output.destroyed && output.listenerCount('error') > 0) {
      output.destroy(error as Error)
    }
    wakeAll()
  }
  function cancel(reason?: unknown): void {
    reject(reason ?? signal?.reason ?? internal('cancelled'))
    void worker.terminate()
  }
  const onAbort = () => {
    fail(signal?.reason)
    void worker.terminate()
  }
  if (signal?.aborted) onAbort()
  signal?.addEventListener('abort', onAbort, { once: true })
  void ended.promise.then(() => signal?.removeEventListener('abort', onAbort))

  return {
    result,
    output,
    ended: ended.promise,
    async write(chunk) {
      while (waiting >= MAX_INPUT && failed === undefined) await new Promise<void>(go => wake.push(go))
      if (failed !== undefined) throw failed
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
