/** Reads a blob while it is still being written. */
import * as fs from 'node:fs'
import { BROKEN, END_BIT, type Growing } from './content-writer.ts'

const CHUNK = 256 * 1024

/** The bytes of `growing` from its beginning, as they come. Throws where it breaks off. The file must not have ended yet. */
export async function* follow(growing: Growing): AsyncGenerator<Buffer> {
  const progress = new BigInt64Array(growing.progress)
  const file = await fs.promises.open(growing.path)
  try {
    for (let sent = 0; ; ) {
      const state = Atomics.load(progress, 0)
      const available = Number(state & ~END_BIT)
      while (sent < available) {
        const buffer = Buffer.allocUnsafe(Math.min(CHUNK, available - sent))
        const { bytesRead } = await file.read(buffer, 0, buffer.length, sent)
        if (bytesRead === 0) throw new Error('the blob became shorter while it was read')
        sent += bytesRead
        yield buffer.subarray(0, bytesRead)
      }
      if ((state & END_BIT) !== 0n) {
        if (Atomics.load(progress, 1) === BROKEN) throw new Error('the blob broke off')
        return
      }
      await Atomics.waitAsync(progress, 0, state).value
    }
  } finally {
    await file.close()
  }
}
