/** `/v2/<name>/blobs/<digest>` and `/v2/<name>/blobs/uploads/…` */
import type { Digest } from '../../image/types.ts'
import { sendFile } from '../send-file.ts'
import type { Exchange, Registry } from './exchange.ts'
import { fault } from './faults.ts'
import { refuseInCache } from './manifest-handlers.ts'
import { parseChunkRange, parseRange } from './ranges.ts'
import { checkDigest, isRepositoryName } from './routes.ts'
import { rangeHeaders } from './uploads.ts'

const unknown = (digest: Digest) => fault('BLOB_UNKNOWN', 'blob unknown to registry', 404, { digest })

export async function getBlob(
  registry: Registry,
  exchange: Exchange,
  name: string,
  digest: Digest,
): Promise<void> {
  exchange.require(name, 'pull')
  const repository = registry.store.repository(name)
  const size = repository?.blobSize(digest)
  if (size === undefined) {
    if (!registry.upstream) throw unknown(digest)
    return registry.upstream.blob(exchange, name, digest)
  }
  // A push asks before it sends, and comes with its manifest later: until then garbage collection must not take the blob.
  if (exchange.method === 'HEAD') repository!.renew(digest, Date.now() - registry.limits.grace / 2)
  const headers = {
    'Content-Type': 'application/octet-stream',
    'Docker-Content-Digest': digest,
    ETag: `"${digest}"`,
    'Cache-Control': 'max-age=31536000, immutable',
    'Accept-Ranges': 'bytes',
  }
  if (exchange.hasCurrent(digest)) return exchange.answer(304, headers)
  const condition = exchange.header('if-range')
  const asked = condition === undefined || condition === `"${digest}"` ? exchange.header('range') : undefined
  const range = exchange.method === 'GET' ? parseRange(asked, size) : undefined
  if (range === 'unsatisfiable') {
    throw fault('RANGE_INVALID', 'range not satisfiable', 416, undefined, {
      'Content-Range': `bytes */${size}`,
    })
  }
  const { start, end } = range ?? { start: 0, end: size - 1 }
  exchange.response.writeHead(range ? 206 : 200, {
    ...headers,
    'Content-Length': end - start + 1,
    ...(range && { 'Content-Range': `bytes ${start}-${end}/${size}` }),
  })
  if (exchange.method === 'HEAD' || size === 0) {
    exchange.response.end()
    return
  }
  await sendFile({ path: registry.store.content.path(digest), start, end }, exchange.response)
}

export function deleteBlob(registry: Registry, exchange: Exchange, name: string, digest: Digest): void {
  exchange.require(name, 'delete')
  refuseInCache(registry)
  if (!registry.store.repository(name)?.unlinkBlob(digest)) throw unknown(digest)
  exchange.answer(202)
}

/** Begin an upload; or mount a blob, or take it whole, where the query says so. */
export async function postUpload(registry: Registry, exchange: Exchange, name: string): Promise<void> {
  exchange.require(name, 'push')
  refuseInCache(registry)
  const { query } = exchange
  const mount = query.get('mount')
  if (mount !== null && mountBlob(registry, exchange, name, checkDigest(mount), query.get('from'))) {
    return created(exchange, name, mount as Digest)
  }
  const whole = query.get('digest')
  const digest = whole === null ? undefined : checkDigest(whole)
  const id = registry.uploads.start(name)
  if (digest === undefined) {
    exchange.request.resume()
    return exchange.answer(202, rangeHeaders(name, id, 0))
  }
  try {
    await registry.uploads.append(name, id, exchange.request)
    await registry.uploads.finish(name, id, digest)
  } catch (error) {
    await registry.uploads.cancel(name, id).catch(() => {})
    throw error
  }
  registry.store.ensure(name).linkBlob(digest)
  created(exchange, name, digest)
}

/** From a repository that the caller may read. Without one, whatever it may read anywhere counts. */
function mountBlob(
  registry: Registry,
  exchange: Exchange,
  name: string,
  digest: Digest,
  from: string | null,
): boolean {
  if (from !== null && !isRepositoryName(from))
    throw fault('NAME_INVALID', 'invalid repository name', 400, { name: from })
  const candidates = from === null ? registry.store.names() : [from]
  const source = candidates.find(candidate => {
    if (registry.store.repository(candidate)?.blobSize(digest) === undefined) return false
    try {
      exchange.require(candidate, 'pull')
      return true
    } catch {
      return false
    }
  })
  if (source === undefined) return false
  registry.store.ensure(name).linkBlob(digest)
  return true
}

export async function patchUpload(
  registry: Registry,
  exchange: Exchange,
  name: string,
  id: string,
): Promise<void> {
  exchange.require(name, 'push')
  const type = exchange.header('content-type')
  if (type !== undefined && type !== 'application/octet-stream') {
    throw fault('BLOB_UPLOAD_INVALID', 'blob upload invalid', 415, `unsupported Content-Type ${type}`)
  }
  const offset = await registry.uploads.append(name, id, exchange.request, chunkOf(exchange))
  exchange.answer(202, rangeHeaders(name, id, offset))
}

export async function putUpload(
  registry: Registry,
  exchange: Exchange,
  name: string,
  id: string,
): Promise<void> {
  exchange.require(name, 'push')
  const digest = checkDigest(exchange.query.get('digest'))
  await registry.uploads.append(name, id, exchange.request, chunkOf(exchange))
  await registry.uploads.finish(name, id, digest)
  registry.store.ensure(name).linkBlob(digest)
  created(exchange, name, digest)
}

function chunkOf(exchange: Exchange): { at?: number; length?: number } {
  const header = exchange.header('content-range')
  if (header === undefined || header === '') return {}
  const range = parseChunkRange(header)
  if (!range) throw fault('RANGE_INVALID', 'invalid content range', 416)
  const length = range.end - range.start + 1
  const sent = exchange.header('content-length')
  if (sent !== undefined && Number(sent) !== length) {
    throw fault('SIZE_INVALID', 'provided length did not match content length')
  }
  return { at: range.start, length }
}

export async function getUpload(
  registry: Registry,
  exchange: Exchange,
  name: string,
  id: string,
): Promise<void> {
  exchange.require(name, 'push')
  exchange.answer(204, rangeHeaders(name, id, await registry.uploads.offset(name, id)))
}

export async function deleteUpload(
  registry: Registry,
  exchange: Exchange,
  name: string,
  id: string,
): Promise<void> {
  exchange.require(name, 'push')
  await registry.uploads.cancel(name, id)
  exchange.answer(204)
}

function created(exchange: Exchange, name: string, digest: Digest): void {
  exchange.answer(201, { Location: `/v2/${name}/blobs/${digest}`, 'Docker-Content-Digest': digest })
}
