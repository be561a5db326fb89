/** Unpacks one layer's blob in a confined worker thread, also while the blob is still growing. */
import * as fs from 'node:fs'
import type { Transform } from 'node:stream'
import { invalid } from '../../errors.ts'
import type { TaskPort } from '../confined/task.ts'
import type { Growing } from '../content-store.ts'
import { BROKEN, END_BIT } from '../content-writer.ts'
import { Digester } from '../digest.ts'
import { TarParser } from '../tar/parser.ts'
import type { Digest } from '../types.ts'
import { LayerApplier, layerTooLarge, type WhiteoutStyle } from './apply.ts'
import { decompressor, detectCompression, MAGIC_LENGTH } from './compression.ts'

export interface ApplyRequest {
  /** The blob, open for reading; complete unless `growing` is there. The caller closes it. */
  fd: number
  growing?: Growing['progress']
  whiteouts: WhiteoutStyle
  umask: number
  /** Of the tar, and of the files in it. */
  maxBytes: number
}

export interface ApplyResult {
  /** Of the tar; absent where the blob is the tar, whose digest whoever took it in knows. */
  diffId: Digest | undefined
  /** Bytes in files. */
  size: number
}

const BUFFER = 1 << 20
/** Bytes of a compressed blob that are read at once. */
const INPUT = 512 * 1024
const PROGRESS_STEP = 512 * 1024

/** The task. */
export async function apply(request: ApplyRequest, port: TaskPort): Promise<ApplyResult> {
  const blob = new BlobReader(request)
  const applier = new LayerApplier(request)
  const parser = new TarParser(applier)
  let reported = 0
  const report = () => {
    if (blob.position - reported < PROGRESS_STEP) return
    reported = blob.position
    port.progress(reported)
  }
  try {
    const compression = detectCompression(blob.peek(MAGIC_LENGTH))
    let diffId: Digest | undefined
    if (compression === 'none') {
      const buffer = Buffer.allocUnsafeSlow(BUFFER)
      for (let count = 0; (count = blob.readSync(buffer)) > 0; report())
        parser.push(buffer.subarray(0, count))
    } else {
      diffId = await applyCompressed(compression, request, blob, parser, report)
    }
    parser.end()
    applier.finish()
    return { diffId, size: applier.size }
  } finally {
    applier.abort()
  }
}

/**
 * What zlib gave is freed at once when it was used. Left to the garbage collector, the bytes of layers made it run all the time: a third
 * of what a pull cost.
 */
async function applyCompressed(
  compression: ReturnType<typeof detectCompression>,
  request: ApplyRequest,
  blob: BlobReader,
  parser: TarParser,
  report: () => void,
): Promise<Digest> {
  const unpack = decompressor(compression)
  if (unpack === undefined) throw invalid(`unsupported layer compression: ${compression}`)
  const digester = new Digester()
  let bytes = 0
  void feed(blob, unpack)
  let used: ArrayBuffer | undefined
  for await (const chunk of unpack as AsyncIterable<Buffer<ArrayBuffer>>) {
    // A chunk is a piece of a buffer that zlib fills up before it takes the next.
    if (used !== chunk.buffer) used?.transfer(0)
    used = chunk.buffer
    bytes += chunk.length
    if (bytes > request.maxBytes) throw layerTooLarge(request.maxBytes)
    digester.update(chunk)
    parser.push(chunk)
    report()
  }
  used?.transfer(0)
  return digester.digest()
}

/** Of this thread, which unpacks one blob at a time. */
const input = Buffer.allocUnsafeSlow(INPUT)

/** All of the blob into `unpack`. */
async function feed(blob: BlobReader, unpack: Transform): Promise<void> {
  try {
    for (let count = 0; (count = await blob.read(input)) > 0; ) {
      await new Promise<void>((resolve, reject) => {
        unpack.write(input.subarray(0, count), error => (error ? reject(error) : resolve()))
      })
    }
    unpack.end()
  } catch (error) {
    unpack.destroy(error as Error)
  }
}

/** Reads a blob from its beginning, waiting for bytes that have not arrived. */
class BlobReader {
  position = 0
  readonly #fd: number
  readonly #progress: BigInt64Array | undefined

  constructor(request: ApplyRequest) {
    this.#fd = request.fd
    this.#progress = request.growing && new BigInt64Array(request.growing)
  }

  peek(length: number): Buffer {
    const head = Buffer.alloc(length)
    return head.subarray(0, this.#readAt(head))
  }

  /** Fill as much of `buffer` as there is; 0 at the end. */
  readSync(buffer: Buffer): number {
    const count = this.#readAt(buffer)
    this.position += count
    return count
  }

  #readAt(buffer: Buffer): number {
    for (;;) {
      const there = this.#available()
      const count = fs.readSync(this.#fd, buffer, 0, buffer.length, this.position)
      if (count > 0 || there.ended) return count
      Atomics.wait(this.#progress!, 0, there.seen)
    }
  }

  /** {@link readSync} that leaves the event loop to the thread pool, which unpacks meanwhile. */
  async read(buffer: Buffer): Promise<number> {
    for (;;) {
      const there = this.#available()
      const count = fs.readSync(this.#fd, buffer, 0, buffer.length, this.position)
      this.position += count
      if (count > 0 || there.ended) return count
      await Atomics.waitAsync(this.#progress!, 0, there.seen).value
    }
  }

  #available(): { ended: boolean; seen: bigint } {
    if (this.#progress === undefined) return { ended: true, seen: 0n }
    const seen = Atomics.load(this.#progress, 0)
    const ended = (seen & END_BIT) !== 0n
    if (ended && Atomics.load(this.#progress, 1) === BROKEN) throw invalid('the blob did not arrive whole')
    return { ended, seen }
  }
}
