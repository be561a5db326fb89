/** A stream of JSON lines that tells how long work goes on: pull, push, load, import, build. */
import type { Progress, ProgressMessage } from '../engine/results.ts'
import { messageOf } from '../errors.ts'
import type { Call } from './call.ts'

/**
 * Runs `work` and sends what it tells. The status waits for the first message: an error before it gets a status of its own, one
 * after it becomes the last line, as clients expect.
 */
export async function sendProgress(
  call: Call,
  work: (progress: Progress) => Promise<unknown>,
): Promise<void> {
  const { res } = call
  const begin = () => {
    if (!res.headersSent) res.writeHead(200, { 'Content-Type': 'application/json' })
  }
  const progress = (message: ProgressMessage) => {
    begin()
    res.write(`${JSON.stringify(message)}\r\n`)
  }
  try {
    await work(progress)
    begin()
  } catch (error) {
    if (!res.headersSent) throw error
    const message = messageOf(error)
    progress({ errorDetail: { message }, error: message })
  }
  res.end()
}
