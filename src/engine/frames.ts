/** Docker's framing of two streams in one: an 8-byte header (stream, 0, 0, 0, length big-endian), then the bytes. */
export const STDOUT = 1
export const STDERR = 2

export function frame(stream: 1 | 2, payload: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(8 + payload.length)
  framed.writeUInt32BE(stream * 0x1000000, 0)
  framed.writeUInt32BE(payload.length, 4)
  framed.set(payload, 8)
  return framed
}
