/** One blob on its way into the {@link ContentStore}. */
import * as fs from 'node:fs'
import { GantryError, invalid } from '../errors.ts'
import type { ContentStore, Lease } from './content-store.ts'
import { algorithmOf, Digester } from './digest.ts'
import type { Digest } from './types.ts'

export interface IngestOptions {
  /**
   * Names this blob over interruptions: what was written under a key is there again the next time, also after a crash. One
   * writer a key at a time; the next waits for it. Without a key what is not committed is lost.
   */
  key?: string
  /** What the bytes must add up to. Checked before anything becomes visible. */
  digest?: Digest
  /** Bytes. More are refused as they come, fewer at the end. */
  size?: number
  /** Holds the blob once it is there. */
  lease?: Lease
}

/** A file that grows, and how far it has: what lets another thread unpack a layer while it arrives. */
export interface Growing {
  path: string
  /** Two 64-bit integers: bytes written, and 0 while it grows, 1 when it is whole, 2 when it will never be. */
  progress: SharedArrayBuffer
}

export const GROWING = 0n
export const WHOLE = 1n
export const BROKEN = 2n

/**
 * Life of a writer: `write` from {@link ContentWriter.offset} on, then exactly one of `commit`, `suspend` (keep what there is
 * for later) and `abort` (forget it).
 */
export interface ContentWriter {
  /** Bytes that are there: 0 at first, more where a key's earlier bytes were found, growing with each write. */
  readonly offset: number
  /** For a thread that wants to read along. */
  readonly growing: Growing
  /** `undefined` where the chunk was taken and the next may follow; otherwise wait before another, and before changing this one. */
  write(chunk: Uint8Array): Promise<void> | undefined
  /** @throws GantryError `invalid` if size or digest are not as promised; the bytes are gone then. */
  commit(): Promise<{ digest: Digest; size: number }>
  suspend(): Promise<void>
  abort(): Promise<void>
}

/** Bytes that are gathered before a write; as many again may be on their way to the file. */
const BATCH = 1 << 20

/** Keys being written, and when each is free again. */
const busy = new Map<string, Promise<void>>()

export function isBeingWritten(file: string): boolean {
  return busy.has(file)
}

/** See {@link ContentStore.ingest}. */
export async function openWriter(store: ContentStore, options: IngestOptions): Promise<ContentWriter> {
  const file = store.ingestPath(options.key)
  while (busy.has(file)) await busy.get(file)
  let free = () => {}
  busy.set(
    file,
    new Promise<void>(resolve => {
      free = () => {
        busy.delete(file)
        resolve()
      }
    }),
  )
  try {
    const writer = new FileWriter(store, options, file, free)
    await writer.resume()
    return writer
  } catch (error) {
    free()
    throw error
  }
}

class FileWriter implements ContentWriter {
  readonly growing: Growing
  readonly #store: ContentStore
  readonly #options: IngestOptions
  readonly #fd: number
  readonly #free: () => void
  readonly #digester: Digester
  readonly #progress: BigInt64Array
  #offset = 0
  #written = 0
  /** Chunks are gathered in the first while the second is written. */
  #batch: Buffer<ArrayBuffer>
  #other: Buffer<ArrayBuffer> | undefined
  #filled = 0
  #flushing: Promise<void> | undefined
  #failure: unknown
  #open = true

  constructor(store: ContentStore, options: IngestOptions, file: string, free: () => void) {
    this.#store = store
    this.#options = options
    this.#free = free
    this.#digester = new Digester(options.digest === undefined ? 'sha256' : algorithmOf(options.digest))
    this.#fd = fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600)
    this.growing = { path: file, progress: new SharedArrayBuffer(16) }
    this.#progress = new BigInt64Array(this.growing.progress)
    this.#batch = Buffer.allocUnsafeSlow(Math.max(1, Math.min(BATCH, options.size ?? BATCH)))
  }

  get offset(): number {
    return this.#offset
  }

  /** Take up what an earlier writer of the same key left: it has to go through the digest again. */
  async resume(): Promise<void> {
    const { size } = fs.fstatSync(this.#fd)
    if (size === 0) return
    if (size > (this.#options.size ?? Number.MAX_SAFE_INTEGER)) {
      fs.ftruncateSync(this.#fd)
      return
    }
    const stream = fs.createReadStream('', { fd: this.#fd, autoClose: false, start: 0, highWaterMark: BATCH })
    for await (const chunk of stream) this.#digester.update(chunk as Buffer)
    this.#offset = this.#written = size
    this.#publish()
  }

  write(chunk: Uint8Array): Promise<void> | undefined {
    if (this.#failure !== undefined) throw this.#failure
    const { size } = this.#options
    if (size !== undefined && this.#offset + chunk.length > size) {
      throw invalid(`more bytes than the ${size} that were announced`)
    }
    this.#offset += chunk.length
    this.#digester.update(chunk)
    return this.#gather(chunk)
  }

  #gather(chunk: Uint8Array): Promise<void> | undefined {
    for (let at = 0; at < chunk.length; ) {
      if (this.#filled === this.#batch.length) {
        const rest = chunk.subarray(at)
        if (this.#flushing !== undefined) return this.#flushing.then(() => this.#gather(rest))
        this.#flush()
      }
      const part = chunk.subarray(at, at + this.#batch.length - this.#filled)
      this.#batch.set(part, this.#filled)
      this.#filled += part.length
      at += part.length
    }
    if (this.#filled === this.#batch.length && this.#flushing === undefined) this.#flush()
    return undefined
  }

  /** Write what was gathered, and gather in the other buffer meanwhile. Only when nothing is being written. */
  #flush(): void {
    const batch = this.#batch
    const bytes = batch.subarray(0, this.#filled)
    this.#batch = this.#other ?? Buffer.allocUnsafeSlow(batch.length)
    this.#other = batch
    this.#filled = 0
    const writing = async () => {
      try {
        await writeAll(this.#fd, bytes, this.#written)
        this.#written += bytes.length
        this.#publish()
      } catch (error) {
        this.#failure = error
        throw error
      } finally {
        this.#flushing = undefined
      }
    }
    this.#flushing = writing()
    this.#flushing.catch(() => {}) // kept in #failure
  }

  /** Resolves when the file has all that came. */
  async #flushed(): Promise<void> {
    for (;;) {
      await this.#flushing
      if (this.#failure !== undefined) throw this.#failure
      if (this.#flushing !== undefined) continue // a write that waited went on
      if (this.#filled === 0) return
      this.#flush()
    }
  }

  async commit(): Promise<{ digest: Digest; size: number }> {
    const { digest: expected, size: expectedSize, lease } = this.#options
    try {
      await this.#flushed()
      const size = this.#offset
      const digest = this.#digester.digest()
      if (expectedSize !== undefined && size !== expectedSize) {
        throw invalid(`unexpected end of data: ${size} of ${expectedSize} bytes for ${expected ?? digest}`)
      }
      if (expected !== undefined && digest !== expected) {
        throw invalid(`filesystem layer verification failed for digest ${expected}`)
      }
      lease?.add(digest)
      if (this.#store.has(digest)) fs.rmSync(this.growing.path, { force: true })
      else this.#store.adopt(this.growing.path, digest)
      this.#end(WHOLE)
      return { digest, size }
    } catch (error) {
      // A short blob may still be continued; a wrong one never becomes right.
      const isShort = error instanceof GantryError && this.#offset < (expectedSize ?? 0)
      if (!isShort || this.#options.key === undefined) fs.rmSync(this.growing.path, { force: true })
      this.#end(BROKEN)
      throw error
    }
  }

  async suspend(): Promise<void> {
    if (!this.#open) return
    try {
      await this.#flushed()
    } finally {
      if (this.#options.key === undefined) fs.rmSync(this.growing.path, { force: true })
      this.#end(BROKEN)
    }
  }

  async abort(): Promise<void> {
    if (!this.#open) return
    while (this.#flushing !== undefined) await this.#flushing.catch(() => {})
    fs.rmSync(this.growing.path, { force: true })
    this.#end(BROKEN)
  }

  #publish(): void {
    Atomics.store(this.#progress, 0, BigInt(this.#written))
    Atomics.notify(this.#progress, 0)
  }

  #end(state: bigint): void {
    this.#open = false
    Atomics.store(this.#progress, 1, state)
    // A reader sleeps on the first number: change it for good, so that none sleeps through the end.
    Atomics.store(this.#progress, 0, BigInt(this.#written) | END_BIT)
    Atomics.notify(this.#progress, 0)
    fs.closeSync(this.#fd)
    for (const buffer of [this.#batch, this.#other]) buffer?.buffer.transfer(0)
    this.#free()
  }
}

/** Set in the first number of {@link Growing.progress} when it has ended, one way or the other. */
export const END_BIT = 1n << 62n

/** Bytes that are there, as soon as they are more than `position`; `position` itself once no more will come. Throws where it breaks off. */
export async function grownBeyond(growing: Growing, position: number): Promise<number> {
  const progress = new BigInt64Array(growing.progress)
  for (;;) {
    const state = Atomics.load(progress, 0)
    const available = Number(state & ~END_BIT)
    if (available > position) return available
    if ((state & END_BIT) !== 0n) {
      if (Atomics.load(progress, 1) === BROKEN) throw new Error('the blob broke off')
      return position
    }
    await Atomics.waitAsync(progress, 0, state).value
  }
}

async function writeAll(fd: number, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += await write(fd, bytes, done, bytes.length - done, position + done)
  }
}

function write(
  fd: number,
  bytes: Uint8Array,
  offset: number,
  length: number,
  position: number,
): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.write(fd, bytes, offset, length, position, (error, count) => (error ? reject(error) : resolve(count)))
  })
}
