/** `import URL`: the archive behind an address, as a stream that does not take more than it may. */
import { Readable, Transform } from 'node:stream'
import { invalid, messageOf, unavailable } from '../errors.ts'

/** Bytes that an archive from elsewhere may have. */
const MAX_BYTES = 64 * 2 ** 30
/** Milliseconds without an answer, or without a byte of it, after which a server is given up. */
const PATIENCE = 60_000

/** Without a scheme it is http, as for Docker. Raises invalid for another scheme or status, unavailable where nobody answers. */
export async function fetchArchive(address: string, signal: AbortSignal): Promise<Readable> {
  const url = URL.parse(address.includes('://') ? address : `http://${address}`)
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') throw invalid(`unsupported URL: ${address}`)
  const silence = new AbortController()
  let timer = setTimeout(() => silence.abort(new Error('the server says nothing')), PATIENCE)
  const heard = (): void => {
    clearTimeout(timer)
    timer = setTimeout(() => silence.abort(new Error('the server says nothing')), PATIENCE)
  }
  let response: Response
  try {
    response = await fetch(url, {
      signal: AbortSignal.any([signal, silence.signal]),
      headers: { 'user-agent': 'gantry', 'accept-encoding': 'identity' },
    })
  } catch (error) {
    clearTimeout(timer)
    signal.throwIfAborted()
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
    throw unavailable(`Get ${JSON.stringify(url.href)}: ${messageOf(cause)}`, error)
  }
  if (!response.ok || !response.body) {
    clearTimeout(timer)
    await response.body?.cancel()
    throw invalid(`failed to GET ${url.href} with status ${response.status} ${response.statusText}`)
  }
  let bytes = 0
  const counted = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      heard()
      bytes += chunk.length
      if (bytes > MAX_BYTES) done(invalid(`${url.href} has more than ${MAX_BYTES} bytes`))
      else done(null, chunk)
    },
  })
  counted.once('close', () => clearTimeout(timer))
  const body = Readable.fromWeb(response.body as Parameters<typeof Readable.fromWeb>[0])
  body.once('error', error => counted.destroy(error))
  counted.once('close', () => body.destroy())
  return body.pipe(counted)
}
