/** One repository in one registry, as a client sees it: manifests, blobs, uploads, tags (OCI distribution-spec). */
import type { Readable } from 'node:stream'
import { digestOf, isDigest } from '../image/digest.ts'
import { type Descriptor, type Digest, type Index, type MediaType, mediaTypes } from '../image/types.ts'
import type { Challenge } from './challenge.ts'
import { type Call, Connection, type ConnectionOptions, type Wire } from './connection.ts'
import type { Endpoint } from './endpoints.ts'
import { AccessError, RegistryError } from './errors.ts'
import { MAX_MANIFEST_BYTES, manifestAccept, mediaTypeOf } from './manifests.ts'
import { drain, type HttpAnswer, type HttpRequest, readBody } from './transport.ts'

export interface FetchedManifest {
  descriptor: Descriptor
  bytes: Buffer
}

/** A blob's bytes from `offset` to its end. */
export interface BlobStream {
  /** 0 where the registry did not grant the range that was asked for. */
  offset: number
  /** Of the whole blob, where the registry says so. */
  size: number | undefined
  /** For `eachChunk`. */
  body: Readable
}

export type RepositoryOptions = Omit<ConnectionOptions, 'scopes'> & {
  actions: 'pull' | 'pull,push' | 'pull,push,delete'
}

/** Of a list, and bytes in each. */
const MAX_PAGES = 10_000
const MAX_PAGE_BYTES = 32 << 20

export class Repository {
  readonly name: string
  readonly connection: Connection

  private constructor(connection: Connection, name: string) {
    this.connection = connection
    this.name = name
  }

  /** `challenges`: see {@link Connection.open}. */
  static async open(
    wire: Wire,
    endpoint: Endpoint,
    name: string,
    options: RepositoryOptions,
    challenges?: readonly Challenge[],
  ): Promise<Repository> {
    const { actions, ...rest } = options
    const scopes = [`repository:${name}:${actions}`]
    const connection = await Connection.open(wire, endpoint, { ...rest, scopes }, challenges)
    return new Repository(connection, name)
  }

  #call(method: string, path: string, more: Omit<Call, 'method' | 'target'> = {}): Promise<HttpAnswer> {
    return this.connection.call({ method, target: `${this.name}/${path}`, ...more })
  }

  /** What a tag or digest names, without its bytes. Throws `RegistryError` MANIFEST_UNKNOWN. */
  async resolve(reference: string): Promise<Descriptor> {
    let answer: HttpAnswer
    try {
      answer = await this.#call('HEAD', `manifests/${reference}`, { headers: { Accept: manifestAccept } })
    } catch (error) {
      // An answer to HEAD cannot say why; GET can.
      if (error instanceof AccessError) throw error
      if (error instanceof RegistryError && error.status < 500 && error.status !== 429) {
        return (await this.manifest(reference)).descriptor
      }
      throw error
    }
    await drain(answer)
    const digest = answer.headers['docker-content-digest']
    const size = Number(answer.headers['content-length'])
    const mediaType = contentTypeOf(answer)
    if (typeof digest !== 'string' || !isDigest(digest) || !Number.isSafeInteger(size) || !mediaType) {
      return (await this.manifest(reference)).descriptor
    }
    return { mediaType, digest, size }
  }

  /** The bytes of a manifest, proven to have the digest that was asked for or that the registry named. */
  async manifest(reference: string): Promise<FetchedManifest> {
    const answer = await this.#call('GET', `manifests/${reference}`, { headers: { Accept: manifestAccept } })
    const bytes = await readBody(answer, MAX_MANIFEST_BYTES)
    if (!bytes) throw unacceptable(`manifest ${reference} is larger than ${MAX_MANIFEST_BYTES} bytes`)
    const named = answer.headers['docker-content-digest']
    const wanted = isDigest(reference)
      ? reference
      : typeof named === 'string' && isDigest(named)
        ? named
        : undefined
    const digest = digestOf(bytes, wanted?.split(':')[0])
    if (wanted !== undefined && digest !== wanted) {
      throw unacceptable(`manifest verification failed for digest ${wanted}`)
    }
    return { descriptor: { mediaType: contentTypeOf(answer), digest, size: bytes.length }, bytes }
  }

  async putManifest(reference: string, bytes: Uint8Array, mediaType: MediaType): Promise<void> {
    await drain(
      await this.#call('PUT', `manifests/${reference}`, {
        body: bytes,
        headers: { 'Content-Type': mediaType },
      }),
    )
  }

  async deleteManifest(digest: Digest): Promise<void> {
    await drain(await this.#call('DELETE', `manifests/${digest}`))
  }

  /** Whether the repository has the blob, and its bytes where the registry tells. */
  async statBlob(digest: Digest): Promise<{ size: number | undefined } | undefined> {
    const answer = await this.#call('HEAD', `blobs/${digest}`, { expect: [404] })
    await drain(answer)
    if (answer.status === 404) return undefined
    const length = answer.headers['content-length']
    return { size: length === undefined ? undefined : Number(length) }
  }

  /** A blob from `offset` on. The range is by digest, so that it cannot be one of another version. */
  async blob(digest: Digest, offset = 0, signal?: AbortSignal): Promise<BlobStream> {
    const range: Record<string, string> =
      offset > 0 ? { Range: `bytes=${offset}-`, 'If-Range': `"${digest}"` } : {}
    const answer = await this.#call('GET', `blobs/${digest}`, {
      headers: { 'Accept-Encoding': 'identity', ...range },
      expect: [416],
      signal,
      direct: true,
    })
    if (answer.status === 416) {
      await drain(answer)
      return this.blob(digest, 0, signal)
    }
    if (answer.status === 206) {
      const match = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(answer.headers['content-range'] ?? '')
      if (Number(match?.[1]) !== offset) {
        answer.body.destroy()
        throw unacceptable(`blob ${digest}: the registry answered with another range than the one asked for`)
      }
      return { offset, size: match![2] === '*' ? undefined : Number(match![2]), body: answer.body }
    }
    const length = answer.headers['content-length']
    return { offset: 0, size: length === undefined ? undefined : Number(length), body: answer.body }
  }

  /** A small blob, whole and proven. */
  async readBlob(digest: Digest, limit: number): Promise<Buffer> {
    const answer = await this.#call('GET', `blobs/${digest}`, { headers: { 'Accept-Encoding': 'identity' } })
    const bytes = await readBody(answer, limit)
    if (!bytes) throw unacceptable(`blob ${digest} is larger than ${limit} bytes`)
    if (digestOf(bytes, digest.split(':')[0]) !== digest)
      throw unacceptable(`blob verification failed for digest ${digest}`)
    return bytes
  }

  /** Where an upload begins, or `undefined` where the blob was mounted from `from` and none is needed. */
  async startUpload(mount?: { digest: Digest; from: string }): Promise<URL | undefined> {
    const query = mount ? `?${new URLSearchParams({ mount: mount.digest, from: mount.from })}` : ''
    const answer = await this.#call('POST', `blobs/uploads/${query}`, {
      headers: { 'Content-Length': '0' },
      ...(mount && { scopes: [`repository:${mount.from}:pull`] }),
    })
    await drain(answer)
    return answer.status === 201 ? undefined : this.#location(answer)
  }

  /** Where to go on, and how many bytes of the upload are safely there; `undefined` where the registry forgot it. */
  async uploadStatus(location: URL): Promise<{ location: URL; offset: number } | undefined> {
    const answer = await this.connection.call({
      method: 'GET',
      target: location,
      expect: [404, 405, 400, 416],
    })
    await drain(answer)
    if (answer.status >= 400) return undefined
    return { location: this.#location(answer, location), offset: endOfRange(answer) }
  }

  /** Send `body`, the bytes from `offset` to `size`; without a size, as many as there are. The next location. */
  async sendUpload(
    location: URL,
    body: HttpRequest['body'],
    offset: number,
    size: number | undefined,
    signal?: AbortSignal,
  ): Promise<URL> {
    const answer = await this.connection.call({
      method: 'PATCH',
      target: location,
      headers: {
        'Content-Type': 'application/octet-stream',
        ...(size !== undefined && { 'Content-Length': String(size - offset) }),
        ...(size !== undefined && offset > 0 && { 'Content-Range': `${offset}-${size - 1}` }),
      },
      body,
      signal,
    })
    await drain(answer)
    return this.#location(answer, location)
  }

  async finishUpload(location: URL, digest: Digest): Promise<void> {
    const url = new URL(location)
    url.searchParams.set('digest', digest)
    await drain(
      await this.connection.call({ method: 'PUT', target: url, headers: { 'Content-Length': '0' } }),
    )
  }

  /** Every tag, page by page, in the registry's order. */
  async *tags(): AsyncGenerator<string> {
    let target: string | URL | undefined = `${this.name}/tags/list`
    for (let page = 0; target !== undefined && page < MAX_PAGES; page++) {
      const answer: HttpAnswer = await this.connection.call({ method: 'GET', target })
      const body = await readJsonBody(answer)
      const tags = (body as { tags?: unknown } | null)?.tags
      for (const tag of Array.isArray(tags) ? tags : []) if (typeof tag === 'string') yield tag
      target = nextPage(answer, this.connection.endpoint.url)
    }
  }

  /** Manifests that name `subject`: from the referrers API, or from the tag that stands in for it. */
  async referrers(subject: Digest, artifactType?: string): Promise<Descriptor[]> {
    const query = artifactType ? `?${new URLSearchParams({ artifactType })}` : ''
    const all: Descriptor[] = []
    let target: string | URL | undefined = `${this.name}/referrers/${subject}${query}`
    for (let page = 0; target !== undefined && page < MAX_PAGES; page++) {
      const answer: HttpAnswer = await this.connection.call({
        method: 'GET',
        target,
        headers: { Accept: mediaTypes.ociIndex },
        expect: [404],
      })
      if (answer.status === 404) {
        await drain(answer)
        all.push(...(await this.#taggedReferrers(subject)))
        break
      }
      all.push(...manifestsOf(await readJsonBody(answer)))
      target = nextPage(answer, this.connection.endpoint.url)
    }
    return artifactType ? all.filter(entry => entry.artifactType === artifactType) : all
  }

  /** The index under the tag that stands in for the referrers API. OCI distribution-spec: "Referrers Tag Schema". */
  async #taggedReferrers(subject: Digest): Promise<Descriptor[]> {
    try {
      const { bytes } = await this.manifest(subject.replace(':', '-'))
      return manifestsOf(JSON.parse(bytes.toString('utf8')))
    } catch (error) {
      if (error instanceof RegistryError && error.status === 404) return []
      throw error
    }
  }

  #location(answer: HttpAnswer, otherwise?: URL): URL {
    const { location } = answer.headers
    const url = location === undefined ? otherwise : URL.parse(location, this.connection.endpoint.url.href)
    if (!url || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
      throw unacceptable('the registry gave no location for the upload')
    }
    return url
  }
}

function manifestsOf(index: unknown): Descriptor[] {
  const manifests = (index as Partial<Index> | null)?.manifests
  return Array.isArray(manifests) ? manifests : []
}

function contentTypeOf(answer: HttpAnswer): MediaType {
  return mediaTypeOf(answer.headers['content-type']) ?? ''
}

/** `Range: 0-99` says that 100 bytes are there; `0-0` is what registries say for none. */
function endOfRange(answer: HttpAnswer): number {
  const end = Number(/^(?:bytes=)?0-(\d+)$/.exec(String(answer.headers.range ?? ''))?.[1] ?? 0)
  return end === 0 ? 0 : end + 1
}

function nextPage(answer: HttpAnswer, base: URL): URL | undefined {
  const target = /<([^>]*)>\s*;\s*rel="?next"?/.exec(String(answer.headers.link ?? ''))?.[1]
  const url = target === undefined ? undefined : URL.parse(target, base.href)
  return url?.origin === base.origin ? url : undefined
}

async function readJsonBody(answer: HttpAnswer): Promise<unknown> {
  const bytes = await readBody(answer, MAX_PAGE_BYTES)
  if (!bytes) throw unacceptable(`the registry's answer is larger than ${MAX_PAGE_BYTES} bytes`)
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    throw unacceptable("the registry's answer is not JSON")
  }
}

/** The registry said something that cannot be right; asking again may help, trusting it may not. */
function unacceptable(message: string): RegistryError {
  return new RegistryError(502, 'UNKNOWN', message)
}
