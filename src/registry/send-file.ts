/** A part of a file to the other side of a connection: two big buffers take turns, one is read into while the socket still has the other. */
import * as fs from 'node:fs'
import type { Writable } from 'node:stream'

const CHUNK = 256 * 1024
/** Buffers kept for the next answer. */
const SPARE = 32
const spare: Buffer[] = []

/** Bytes of a file, from `start` to `end` (inclusive). */
export interface FilePart {
  path: string
  start: number
  end: number
}

/** Send them and end the message. Another side that leaves is no error. `onSent` is told how many have gone. */
export async function sendFile(
  { path, start, end }: FilePart,
  message: Writable,
  onSent?: (bytes: number) => void,
): Promise<void> {
  const file = await fs.promises.open(path)
  const gone = new Promise<false>(resolve => {
    if (message.destroyed) resolve(false)
    else message.once('close', () => resolve(false))
  })
  try {
    let position = start
    let previous: Promise<boolean> = Promise.resolve(true)
    while (position <= end) {
      const buffer = spare.pop() ?? Buffer.allocUnsafeSlow(CHUNK)
      const { bytesRead } = await file.read(buffer, 0, Math.min(CHUNK, end - position + 1), position)
      if (bytesRead === 0 || !(await previous)) {
        message.destroy()
        return
      }
      position += bytesRead
      // A buffer that the socket did not confirm may still be in use: it is left to the collector.
      const sent = new Promise<boolean>(resolve => {
        message.write(bytesRead === CHUNK ? buffer : buffer.subarray(0, bytesRead), error => {
          if (!error && spare.length < SPARE) spare.push(buffer)
          if (!error) onSent?.(bytesRead)
          resolve(!error)
        })
      })
      previous = Promise.race([sent, gone])
    }
    if (await previous) message.end()
  } finally {
    await file.close()
  }
}
