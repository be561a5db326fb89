/** Files behind URLs, for `ADD` and for remote contexts. */
import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { invalid, messageOf, unavailable } from '../../errors.ts'
import type { HttpOp } from '../plan/ops.ts'
import { digestText } from '../solve/keys.ts'
import type { Fetched } from '../solve/solver.ts'

export interface Download {
  file: string
  digest: string
  /** Seconds since 1970, as the server says. */
  modified: number | undefined
  contentType: string
}

/** Redirects that are followed. */
const MAX_REDIRECTS = 10

/** Fetch into a file of `scratch`. The caller removes it. */
export async function download(url: string, scratch: string, signal: AbortSignal): Promise<Download> {
  const response = await follow(url, signal)
  if (!response.ok) {
    await response.body?.cancel()
    throw invalid(`failed to load cache key: invalid response status ${response.status}`)
  }
  const file = path.join(fs.mkdtempSync(path.join(scratch, 'http-')), 'content')
  const sum = createHash('sha256')
  const out = fs.openSync(file, 'wx', 0o600)
  try {
    for await (const chunk of response.body ?? []) {
      sum.update(chunk)
      fs.writeSync(out, chunk)
    }
  } catch (error) {
    remove(file)
    throw error
  } finally {
    fs.closeSync(out)
  }
  const modified = Date.parse(response.headers.get('last-modified') ?? '')
  return {
    file,
    digest: `sha256:${sum.digest('hex')}`,
    modified: Number.isNaN(modified) ? undefined : modified / 1000,
    contentType: (response.headers.get('content-type') ?? '').split(';')[0]!.trim(),
  }
}

async function follow(url: string, signal: AbortSignal): Promise<Response> {
  let place = url
  for (let count = 0; count <= MAX_REDIRECTS; count++) {
    let response: Response
    try {
      response = await fetch(place, { redirect: 'manual', signal, headers: { 'user-agent': 'gantry' } })
    } catch (error) {
      signal.throwIfAborted()
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
      throw unavailable(`failed to load cache key: Get ${JSON.stringify(place)}: ${messageOf(cause)}`, error)
    }
    const location = response.headers.get('location')
    if (response.status < 300 || response.status >= 400 || !location) return response
    await response.body?.cancel()
    const next = new URL(location, place)
    if (next.protocol !== 'http:' && next.protocol !== 'https:')
      throw invalid(`redirect to ${next.protocol} refused`)
    place = next.href
  }
  throw invalid(
    `failed to load cache key: Get ${JSON.stringify(url)}: stopped after ${MAX_REDIRECTS} redirects`,
  )
}

export const remove = (file: string): void => fs.rmSync(path.dirname(file), { recursive: true, force: true })

export async function fetchHttp(op: HttpOp, scratch: string, signal: AbortSignal): Promise<Fetched> {
  const got = await download(op.url, scratch, signal)
  try {
    if (op.checksum !== undefined) checkDigest(got, op.checksum)
  } catch (error) {
    remove(got.file)
    throw error
  }
  return {
    key: digestText('http', op.filename, got.digest, String(got.modified ?? '')),
    async fill(folder) {
      const place = path.join(folder, op.filename)
      fs.copyFileSync(got.file, place, fs.constants.COPYFILE_EXCL)
      fs.chmodSync(place, 0o600)
      if (got.modified !== undefined) fs.utimesSync(place, got.modified, got.modified)
      else fs.utimesSync(place, 0, 0)
    },
    discard: () => remove(got.file),
  }
}

function checkDigest(got: Download, wanted: string): void {
  const [algorithm = 'sha256'] = wanted.split(':')
  const sum = algorithm === 'sha256' ? got.digest : `${algorithm}:${fileDigest(algorithm, got.file)}`
  if (sum !== wanted) throw invalid(`digest mismatch ${sum}: ${wanted}`)
}

function fileDigest(algorithm: string, file: string): string {
  return createHash(algorithm).update(fs.readFileSync(file)).digest('hex')
}
