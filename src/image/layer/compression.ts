/** What a blob's first bytes say about how it is packed. Media types are only a hint: many registries get them wrong. */
import type { Transform } from 'node:stream'
import * as zlib from 'node:zlib'

export type Compression = 'none' | 'gzip' | 'zstd' | 'bzip2' | 'xz'

const MAGIC: [Compression, number[]][] = [
  ['gzip', [0x1f, 0x8b, 0x08]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
]

/** Bytes that {@link detectCompression} wants to see. */
export const MAGIC_LENGTH = 6

export function detectCompression(head: Uint8Array): Compression {
  return MAGIC.find(([, magic]) => magic.every((byte, i) => head[i] === byte))?.[0] ?? 'none'
}

const OUTPUT = { chunkSize: 1 << 20, readableHighWaterMark: 2 << 20 }

/** A stream that unpacks; its work is done on the thread pool, beside whoever reads it. `undefined` for formats that zlib lacks. */
export function decompressor(compression: Compression): Transform | undefined {
  if (compression === 'gzip') return zlib.createGunzip(OUTPUT)
  if (compression === 'zstd') return zlib.createZstdDecompress(OUTPUT)
  return undefined
}
