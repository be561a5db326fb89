/** Starts work in a confined worker thread and talks with it. The inside is {@link file://./task.ts}. */
import { Readable } from 'node:stream'
import { Worker } from 'node:worker_threads'
import { GantryError, internal } from '../../errors.ts'
import type { FromTask, ToTask } from './task.ts'
import type { Tasks } from './worker.ts'

export interface JobOptions {
  signal?: AbortSignal | undefined
  onProgress?: (value: number) => void
}

export interface Job<Result> {
  /** What the work came to. Rejects with what it threw, or the signal's reason. */
  readonly result: Promise<Result>
  /** What the work wrote; ends with it, fails with it. Take it, or do not start work that writes. */
  readonly output: Readable
  /** Settled, never rejected, when nothing works on the root any more: only then may its files be removed. */
  readonly ended: Promise<void>
  /** Send input; wait for it before sending more. */
  write(chunk: Uint8Array): Promise<void>
  end(): void
  /** Stop the work where it is. */
  cancel(reason?: unknown): void
}

/** Chunks of input that may wait in the worker. */
const MAX_INPUT = 8
/** Bytes of output that may wait here. */
const HIGH_WATER = 1 << 20

type DataOf<Name extends keyof Tasks> = Parameters<Tasks[Name]>[0]
type ResultOf<Name extends keyof Tasks> = Awaited<ReturnType<Tasks[Name]>>

/** @param root folder that the work is confined to; may be `/proc/self/fd/N` of a folder that stays open until it has ended */
export function startJob<Name extends keyof Tasks>(
  task: Name,
  root: string,
  data: DataOf<Name>,
  options: JobOptions = {},
): Job<ResultOf<Name>> {
  const { signal, onProgress } = options
  const credit = new SharedArrayBuffer(4)
  const inFlight = new Int32Array(credit)
  const worker = takeWorker()
  const { promise: result, resolve, reject } = Promise.withResolvers<ResultOf<Name>>()
  result.catch(() => {}) // whoever only reads the output is told there
  const ended = Promise.withResolvers<void>()
  const output = new Readable({ highWaterMark: HIGH_WATER, read: release, destroy: onDestroy })
  output.on('error', () => {}) // told by `result` as well; whoever reads it is told in any case
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
    for (const go of wake.splice(0)) go()
  }
  function cancel(reason?: unknown): void {
    if (isSettled) return
    fail(reason ?? internal('cancelled'))
    void worker.terminate()
  }
  function finish(): void {
    worker.off('message', onMessage)
    worker.off('error', fail)
    worker.off('exit', onExit)
    signal?.removeEventListener('abort', onAbort)
    ended.resolve()
  }
  function onMessage(message: FromTask): void {
    switch (message.type) {
      case 'output':
        take(message.bytes)
        break
      case 'progress':
        onProgress?.(message.value)
        break
      case 'taken':
        waiting--
        for (const go of wake.splice(0)) go()
        break
      case 'done':
        if (!isSettled) {
          isSettled = true
          resolve(message.result as ResultOf<Name>)
          output.push(null)
        }
        giveBack(worker)
        finish()
        break
      case 'failed':
        fail(Object.assign(new GantryError(message.kind, message.message), codeOf(message.code)))
        giveBack(worker)
        finish()
    }
  }
  function onExit(): void {
    fail(internal('worker thread ended early'))
    finish()
  }
  function onAbort(): void {
    cancel(signal?.reason)
  }

  worker.on('message', onMessage)
  worker.on('error', fail)
  worker.on('exit', onExit)
  const send = (message: ToTask, transfer: ArrayBuffer[] = []) => worker.postMessage(message, transfer)
  send({ type: 'job', task, root, data, credit })
  if (signal?.aborted) onAbort()
  signal?.addEventListener('abort', onAbort, { once: true })

  return {
    result,
    output,
    ended: ended.promise,
    async write(chunk) {
      while (waiting >= MAX_INPUT && failure === undefined) await new Promise<void>(go => wake.push(go))
      if (failure !== undefined) throw failure
      waiting++
      const bytes = Uint8Array.from(chunk)
      send({ type: 'input', bytes }, [bytes.buffer])
    },
    end: () => send({ type: 'end' }),
    cancel,
  }
}

function codeOf(code: string | undefined): { code?: string } {
  return code === undefined ? {} : { code }
}

/** Workers that wait for work keep about 8 MB each; so only a few wait, and not for long. */
const MAX_IDLE = 3
const IDLE_MS = 20_000

const idle: { worker: Worker; take: () => void }[] = []

function takeWorker(): Worker {
  const waiting = idle.pop()
  if (waiting !== undefined) {
    waiting.take()
    waiting.worker.ref()
    return waiting.worker
  }
  const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js'
  return new Worker(new URL(`./worker${extension}`, import.meta.url), { trackUnmanagedFds: false })
}

function giveBack(worker: Worker): void {
  if (idle.length >= MAX_IDLE) {
    void worker.terminate()
    return
  }
  const drop = () => {
    const at = idle.findIndex(each => each.worker === worker)
    if (at >= 0) idle.splice(at, 1)
  }
  const timer = setTimeout(() => {
    drop()
    void worker.terminate()
  }, IDLE_MS)
  timer.unref()
  worker.unref()
  worker.on('exit', drop)
  worker.on('error', drop)
  const take = () => {
    clearTimeout(timer)
    worker.off('exit', drop)
    worker.off('error', drop)
  }
  idle.push({ worker, take })
}
