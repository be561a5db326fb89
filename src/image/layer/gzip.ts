/**
 * gzip on every core: each block of the input is deflated by itself, with the bytes before it as dictionary, and the results
 * stand one after the other in one stream (RFC 1951 allows a flush between blocks; pigz does the same). The same input gives the
 * same bytes, however it is cut into chunks.
 */
import * as os from 'node:os'
import { promisify } from 'node:util'
import * as zlib from 'node:zlib'

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

/** The gzip stream of `input`. */
export async function* gzip(input: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  yield HEADER
  const underWay: Promise<Buffer>[] = []
  let before: Uint8Array | undefined
  let crc = 0
  let size = 0
  try {
    for await (const block of blocksOf(input)) {
      crc = zlib.crc32(block, crc)
      size += block.length
      const compressed = deflateBlock(block, before)
      compressed.catch(() => {}) // told when it is its turn
      underWay.push(compressed)
      before = block
      // Twice as many as can run: there is always one to go on with.
      if (underWay.length >= 2 * os.availableParallelism()) yield await underWay.shift()!
    }
    for (const compressed of underWay) yield await compressed
  } finally {
    await Promise.allSettled(underWay)
  }
  const trailer = Buffer.alloc(8)
  trailer.writeUInt32LE(crc, 0)
  trailer.writeUInt32LE(size % 2 ** 32, 4)
  yield Buffer.concat([LAST_BLOCK, trailer])
}

function deflateBlock(block: Uint8Array, before: Uint8Array | undefined): Promise<Buffer> {
  return deflateRaw(block, {
    level: block.length === BLOCK && isNoise(block) ? 0 : LEVEL,
    chunkSize: BLOCK / 2,
    finishFlush: zlib.constants.Z_SYNC_FLUSH,
    ...(before && { dictionary: before.subarray(-WINDOW) }),
  })
}

/** Whether trying to compress would be in vain, as with what is compressed already: deflate looks longest where it finds nothing. */
function isNoise(block: Uint8Array): boolean {
  const samples: Uint8Array[] = []
  for (let at = 0; at < block.length; at += STRIDE) samples.push(block.subarray(at, at + SAMPLE))
  const sample = Buffer.concat(samples)
  return zlib.deflateRawSync(sample, { level: 1 }).length > 0.97 * sample.length
}

/** The input in pieces of {@link BLOCK} bytes, the last one shorter. */
async function* blocksOf(input: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let block = Buffer.allocUnsafeSlow(BLOCK)
  let filled = 0
  for await (const chunk of input) {
    for (let from = 0; from < chunk.length; ) {
      const part = chunk.subarray(from, from + BLOCK - filled)
      block.set(part, filled)
      filled += part.length
      from += part.length
      if (filled < BLOCK) continue
      yield block
      block = Buffer.allocUnsafeSlow(BLOCK)
      filled = 0
    }
  }
  if (filled > 0) yield block.subarray(0, filled)
}
