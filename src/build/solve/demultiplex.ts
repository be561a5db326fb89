/** Docker's framing of two streams in one: 8 bytes (stream, 0, 0, 0, length big-endian), then the payload. */
import type { Readable } from 'node:stream'

/** Resolves when the stream has ended. What `take` is given is only good until it returns. */
export async function demultiplex(
  stream: Readable,
  take: (stream: 1 | 2, data: Buffer) => void,
): Promise<void> {
  let header = Buffer.alloc(0)
  let left = 0
  let target: 1 | 2 = 1
  for await (const chunk of stream) {
    let bytes = chunk as Buffer
    while (bytes.length > 0) {
      if (left > 0) {
        const part = bytes.subarray(0, left)
        take(target, part)
        left -= part.length
        bytes = bytes.subarray(part.length)
        continue
      }
      const needed = 8 - header.length
      header = Buffer.concat([header, bytes.subarray(0, needed)])
      bytes = bytes.subarray(Math.min(needed, bytes.length))
      if (header.length < 8) break
      target = header[0] === 2 ? 2 : 1
      left = header.readUInt32BE(4)
      header = Buffer.alloc(0)
    }
  }
}
