/**
 * A file, or a part of it, to the other side of a connection: two big buffers take turns, one is read into while the socket still has the
 * other. The file may still be growing.
 */
import * as fs from 'node:fs'
import type { Writable } from 'node:stream'
import { type Growing, grownBeyond } from '../image/content-writer.ts'

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

/**
 * Send them and end the message. Another side that leaves is no error. `onSent` is told how many have gone. A file that grows is sent from
 * its beginning to where it ends one day; throws where it breaks off.
 */
export async function sendFile(
  source: FilePart | Growing,
  message: Writable,
  onSent?: (bytes: number) => void,
): Promise<void> {
  const file = await fs.promises.open(source.path)
  const gone = new Promise<false>(resolve => {
    if (message.destroyed) resolve(false)
    else message.once('close', () => resolve(false))
  })
  try {
    const growing = 'progress' in source ? source : undefined
    let [position, end] = 'progress' in source ? [0, 0] : [source.start, source.end + 1]
    let previous: Promise<boolean> = Promise.resolve(true)
    for (;;) {
      if (growing !== undefined && position === end) {
        end = (await Promise.race([grownBeyond(growing, position), gone])) || position
      }
      if (position >= end) break
      const buffer = spare.pop() ?? Buffer.allocUnsafeSlow(CHUNK)
      const wanted = Math.min(CHUNK, end - position)
      // What grows was written a moment ago: it is in memory, and the thread pool is busy with making more of it.
      const bytesRead =
        growing === undefined
          ? (await file.read(buffer, 0, wanted, position)).bytesRead
          : fs.readSync(file.fd, buffer, 0, wanted, position)
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
