/** A large file on its way out, in one buffer that is used again and again: a gigabyte of small ones is not worth the memory. */
import * as fs from 'node:fs'

const CHUNK = 256 * 1024

/** Each piece is good until the next is asked for: the reader must be done with it then, as a pipeline with a small buffer is. */
export async function* fileChunks(file: string): AsyncGenerator<Buffer> {
  const handle = await fs.promises.open(file, 'r')
  const buffer = Buffer.allocUnsafeSlow(CHUNK)
  try {
    for (;;) {
      const { bytesRead } = await handle.read(buffer, 0, CHUNK)
      if (bytesRead === 0) return
      yield buffer.subarray(0, bytesRead)
    }
  } finally {
    await handle.close()
  }
}
