/**
 * gzip on every core: each block of the input is deflated by itself, with the bytes before it as dictionary, and the results
 * stand one after the other in one stream (RFC 1951 allows a flush between blocks; pigz does the same). The same input gives the
 * same bytes, however it is cut into chunks.
 */
import * as os from 'node:os'
import { promisify } from 'node:util'
import * as zlib from 'node:zlib'
import { free } from '../lent.ts'

const deflateRaw = promisify<Uint8Array, zlib.ZlibOptions, Buffer>(zlib.deflateRaw)

/** Bytes of input that one thread takes at a time. */
const BLOCK = 1 << 20
/** How far deflate looks back. Bytes. */
const WINDOW = 32 << 10
/** 2 % larger than the usual 6, and twice as fast. */
const LEVEL = 4
/** Bytes that are tried, at every {@link STRIDE}, to see whether a block can be made smaller. */
const SAMPLE = 1 << 10
const STRIDE = 64 << 10

/** No name, no time, an unknown system: nothing that could differ from one run to the next. */
const HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255])
/** The empty last block that ends a deflate stream. */
const LAST_BLOCK = Buffer.from([3, 0])

/** The gzip stream of `input`. Each chunk is good until the next is asked for. */
export async function* gzip(input: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  yield HEADER
  const underWay: Promise<Buffer>[] = []
  const blocks = new Blocks()
  let before: Uint8Array | undefined
  let crc = 0
  let size = 0
  try {
    for await (const block of blocks.of(input)) {
      crc = zlib.crc32(block, crc)
      size += block.length
      const compressed = deflateBlock(block, before)
      compressed.then(
        () => blocks.giveBack(block),
        () => {}, // told when it is its turn
      )
      underWay.push(compressed)
      before = Buffer.from(block.subarray(-WINDOW))
      // Twice as many as can run: there is always one to go on with.
      if (underWay.length >= 2 * os.availableParallelism()) yield* lend(await underWay.shift()!)
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

function deflateBlock(block: Uint8Array, before: Uint8Array | undefined): Promise<Buffer> {
  const stored = block.length >= BLOCK / 4 && isNoise(block)
  return deflateRaw(block, {
    level: stored ? 0 : LEVEL,
    // Room for all of it, mostly: each time it is full costs a turn of the event loop.
    chunkSize: stored ? BLOCK + STRIDE : BLOCK / 2,
    finishFlush: zlib.constants.Z_SYNC_FLUSH,
    ...(before && { dictionary: before }),
  })
}

/** Deflate looks longest where it finds nothing. */
function isNoise(block: Uint8Array): boolean {
  const samples: Uint8Array[] = []
  for (let at = 0; at < block.length; at += STRIDE) samples.push(block.subarray(at, at + SAMPLE))
  return !canShrink(Buffer.concat(samples))
}

/** Whether compressing what `sample` is taken from is worth anything: not for what is compressed already. */
export function canShrink(sample: Uint8Array): boolean {
  return zlib.deflateRawSync(sample, { level: 1 }).length < 0.97 * sample.length
}

function* lend(chunk: Buffer): Generator<Buffer> {
  yield chunk
  // A small one may stand in a buffer that others share.
  if (chunk.buffer.byteLength >= BLOCK / 2) free(Buffer.from(chunk.buffer))
}

/** Cuts the input, into buffers that are used again. */
class Blocks {
  readonly #spare: Buffer[] = []

  /** Pieces of {@link BLOCK} bytes, the last one shorter. */
  async *of(input: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
    let block = this.#next()
    let filled = 0
    for await (const chunk of input) {
      for (let from = 0; from < chunk.length; ) {
        const part = chunk.subarray(from, from + BLOCK - filled)
        block.set(part, filled)
        filled += part.length
        from += part.length
        if (filled < BLOCK) continue
        yield block
        block = this.#next()
        filled = 0
      }
    }
    if (filled > 0) yield block.subarray(0, filled)
  }

  /** The piece is not looked at any more. */
  giveBack(block: Buffer): void {
    if (block.length === BLOCK) this.#spare.push(block)
  }

  #next(): Buffer {
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(BLOCK)
  }
}
