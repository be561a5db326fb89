/**
 * gzip on every core: each block of the input is deflated by itself, with the bytes before it as dictionary, and the results
 * stand one after the other in one stream (RFC 1951 allows a flush between blocks; pigz does the same). The same input gives the
 * same bytes, however it is cut into chunks.
 */
import * as os from 'node:os'
import { promisify } from 'node:util'
import * as zlib from 'node:zlib'
import { free } from '../lent.ts'
import { Semaphore } from '../semaphore.ts'

const deflateRaw = promisify<Uint8Array, zlib.ZlibOptions, Buffer>(zlib.deflateRaw)

/** Bytes of input that one thread takes at a time. */
const BLOCK = 1 << 20
/** How far deflate looks back. Bytes. */
const WINDOW = 32 << 10
/** 2 % larger than the usual 6, and twice as fast; more memory than usual makes it another tenth faster. */
const LEVEL = 4
const MEMORY = 9
/** Bytes that are tried, at every {@link STRIDE}, to see whether a block can be made smaller. */
const SAMPLE = 512
const STRIDE = 64 << 10
/** Blocks of one stream that are under way. */
const UNDER_WAY = 4
/** Of all streams: one more than can run, so that there is always one to go on with; of libuv's four threads one is left for files. */
const threads = new Semaphore(Math.min(os.availableParallelism() + 1, 3))

/** No name, no time, an unknown system: nothing that could differ from one run to the next. */
const HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255])
/** The empty last block that ends a deflate stream. */
const LAST_BLOCK = Buffer.from([3, 0])

/** The gzip stream of `input`. Each chunk is good until the next is asked for. */
export async function* gzip(input: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  yield HEADER
  const underWay: Promise<Buffer>[] = []
  const blocks = new Blocks()
  let crc = 0
  let size = 0
  try {
    for await (const block of blocks.of(input)) {
      crc = zlib.crc32(block.bytes, crc)
      size += block.bytes.length
      const compressed = deflateBlock(block)
      compressed.then(
        () => blocks.giveBack(block),
        () => {}, // told when it is its turn
      )
      underWay.push(compressed)
      if (underWay.length >= UNDER_WAY) yield* lend(await underWay.shift()!)
    }
    for (const compressed of underWay) yield* lend(await compressed)
  } finally {
    await Promise.allSettled(underWay)
  }
  const trailer = Buffer.alloc(8)
  trailer.writeUInt32LE(crc, 0)
  trailer.writeUInt32LE(size % 2 ** 32, 4)
  yield Buffer.concat([LAST_BLOCK, trailer])
}

function deflateBlock({ bytes, before }: Block): Promise<Buffer> {
  const stored = bytes.length >= BLOCK / 4 && isNoise(bytes)
  const options = {
    level: stored ? 0 : LEVEL,
    memLevel: MEMORY,
    // Room for all of it, mostly: each time it is full costs a turn of the event loop.
    chunkSize: stored ? BLOCK + STRIDE : BLOCK / 2,
    finishFlush: zlib.constants.Z_SYNC_FLUSH,
    ...(before.length > 0 && { dictionary: before }),
  }
  return threads.run(() => deflateRaw(bytes, options))
}

/** Deflate looks longest where it finds nothing. */
function isNoise(block: Buffer): boolean {
  let filled = 0
  for (let at = 0; at < block.length; at += STRIDE) filled += block.copy(samples, filled, at, at + SAMPLE)
  return !canShrink(samples.subarray(0, filled))
}

const samples = Buffer.allocUnsafeSlow((BLOCK / STRIDE) * SAMPLE)

/** Whether compressing what `sample` is taken from is worth anything: not for what is compressed already. */
export function canShrink(sample: Uint8Array): boolean {
  return zlib.deflateRawSync(sample, { level: 1 }).length < 0.97 * sample.length
}

function* lend(chunk: Buffer): Generator<Buffer> {
  yield chunk
  // A small one may stand in a buffer that others share.
  if (chunk.buffer.byteLength >= BLOCK / 2) free(Buffer.from(chunk.buffer))
}

/** A piece of the input, and what comes before it: as far as deflate looks back, nothing before the first one. */
interface Block {
  bytes: Buffer
  before: Buffer
}

/** Cuts the input, into buffers that are used again. */
class Blocks {
  readonly #spare: Buffer[] = []

  /** Pieces of {@link BLOCK} bytes, the last one shorter. */
  async *of(input: AsyncIterable<Uint8Array>): AsyncGenerator<Block> {
    let buffer = this.#next()
    let start = WINDOW
    let end = WINDOW
    const block = (): Block => ({
      before: buffer.subarray(start, WINDOW),
      bytes: buffer.subarray(WINDOW, end),
    })
    for await (const chunk of input) {
      for (let from = 0; from < chunk.length; ) {
        const part = chunk.subarray(from, from + buffer.length - end)
        buffer.set(part, end)
        end += part.length
        from += part.length
        if (end < buffer.length) continue
        yield block()
        const next = this.#next()
        buffer.copy(next, 0, BLOCK)
        buffer = next
        start = 0
        end = WINDOW
      }
    }
    if (end > WINDOW) yield block()
  }

  /** The piece is not looked at any more. */
  giveBack({ bytes }: Block): void {
    if (bytes.length === BLOCK) this.#spare.push(Buffer.from(bytes.buffer))
  }

  #next(): Buffer {
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(WINDOW + BLOCK)
  }
}
