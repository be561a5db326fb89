/** A part of a file to a client: two big buffers take turns, one is read into while the socket still has the other. */
import * as fs from 'node:fs'
import type { ServerResponse } from 'node:http'

const CHUNK = 256 * 1024
/** Buffers kept for the next answer. */
const SPARE = 32
const spare: Buffer[] = []

/** Send the bytes from `start` to `end` (inclusive) and end the response. A client that leaves is no error. */
export async function sendFile(
  path: string,
  start: number,
  end: number,
  response: ServerResponse,
): Promise<void> {
  const file = await fs.promises.open(path)
  const gone = new Promise<false>(resolve => {
    if (response.destroyed) resolve(false)
    else response.once('close', () => resolve(false))
  })
  try {
    let position = start
    let previous: Promise<boolean> = Promise.resolve(true)
    while (position <= end) {
      const buffer = spare.pop() ?? Buffer.allocUnsafeSlow(CHUNK)
      const { bytesRead } = await file.read(buffer, 0, Math.min(CHUNK, end - position + 1), position)
      if (bytesRead === 0 || !(await previous)) {
        response.destroy()
        return
      }
      position += bytesRead
      // A buffer that the socket did not confirm may still be in use: it is left to the collector.
      const sent = new Promise<boolean>(resolve => {
        response.write(bytesRead === CHUNK ? buffer : buffer.subarray(0, bytesRead), error => {
          if (!error && spare.length < SPARE) spare.push(buffer)
          resolve(!error)
        })
      })
      previous = Promise.race([sent, gone])
    }
    if (await previous) response.end()
  } finally {
    await file.close()
  }
}
