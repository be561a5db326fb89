/** Bytes that are lent for a while and freed at once: left to the garbage collector, those of whole layers keep it running. */
import * as fs from 'node:fs/promises'

const CHUNK = 1 << 20

/** A file from its beginning, each chunk good until the next is asked for. */
export async function* chunksOf(path: string): AsyncGenerator<Buffer> {
  const file = await fs.open(path)
  try {
    const buffer = Buffer.allocUnsafeSlow(CHUNK)
    for (let read = 0; (read = (await file.read(buffer)).bytesRead) > 0; ) yield buffer.subarray(0, read)
    free(buffer)
  } finally {
    await file.close()
  }
}

/** The chunks of `source`, each good until the next is asked for. Whoever made them must not keep them. */
export async function* lent(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of source) {
    yield chunk
    free(chunk)
  }
}

/** Give back the memory of `chunk`, which nobody looks at any more; nothing happens where it is a part of something larger. */
export function free({ buffer, byteLength }: Uint8Array): void {
  if (byteLength === buffer.byteLength && buffer instanceof ArrayBuffer) buffer.transfer(0)
}
