/** A part of a file to a client, in big reads, one ahead of the socket. */
import type { FileHandle } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { finished } from 'node:stream/promises'

const CHUNK = 512 * 1024

/** Send the bytes from `start` to `end` (inclusive) and end the response. Closes `file`. A client that leaves is no error. */
export async function sendFile(
  file: FileHandle,
  start: number,
  end: number,
  response: ServerResponse,
): Promise<void> {
  const stream = file.createReadStream({ start, end, highWaterMark: CHUNK, autoClose: true })
  stream.on('error', error => response.destroy(error))
  response.on('close', () => stream.destroy())
  stream.pipe(response)
  await finished(response).catch(() => {})
}
