/**
 * HTTP/1.1 to registries: kept connections, stall detection, proxies, abort. One request, one answer: redirects, credentials and
 * retries are decided above.
 */
import type * as http from 'node:http'
import * as https from 'node:https'
import { Readable } from 'node:stream'
import { Agent, request as httpRequest } from '../http.ts'
import type { Growing } from '../image/content-store.ts'
import { DirectAgent } from './direct.ts'
import { transportError } from './errors.ts'
import { type FilePart, sendFile } from './send-file.ts'

/** What TLS to one host needs beyond the defaults. */
export interface TlsOptions {
  ca?: string[]
  cert?: string[]
  key?: string[]
  /** `false` for an insecure registry. */
  rejectUnauthorized?: boolean
}

/** A part of a file, or one that still grows. */
export type FileBody = (FilePart | Growing) & {
  /** So many more bytes have gone. */
  onSent?: (bytes: number) => void
}

export interface HttpRequest {
  method: string
  url: URL
  headers?: Record<string, string>
  /** A stream or a file is sent once; such a request is never repeated here. */
  body?: Uint8Array | Readable | FileBody
  tls?: TlsOptions
  signal?: AbortSignal
  /** Many bytes are expected, which {@link eachChunk} takes. */
  direct?: boolean
}

/** The body must be read to its end, destroyed, or given to {@link drain}: until then it holds its connection. */
export interface HttpAnswer {
  /** Of the request. */
  method: string
  url: URL
  status: number
  reason: string
  headers: http.IncomingHttpHeaders
  body: Readable
}

export interface TransportOptions {
  /** Whence proxies are read; `process.env` unless told. */
  environment?: Record<string, string | undefined>
  /** Milliseconds without a byte in either direction after which a connection counts as dead; 30 s. */
  stallTimeout?: number
  userAgent?: string
}

const DEFAULT_STALL_TIMEOUT = 30_000
/** Idle connections are closed before common servers close them. */
const IDLE_TIMEOUT = 15_000

export class Transport {
  readonly #http: http.Agent
  readonly #https: https.Agent
  readonly #direct: DirectAgent | undefined
  readonly #stallTimeout: number
  readonly #userAgent: string

  constructor(options: TransportOptions = {}) {
    const proxyEnv = proxyEnvironment(options.environment ?? process.env)
    const agent = {
      keepAlive: true,
      maxFreeSockets: 16,
      timeout: IDLE_TIMEOUT,
      proxyEnv,
    }
    this.#http = new Agent(agent)
    this.#https = new https.Agent(agent)
    this.#stallTimeout = options.stallTimeout ?? DEFAULT_STALL_TIMEOUT
    this.#userAgent = options.userAgent ?? 'gantry'
    const { HTTP_PROXY, HTTPS_PROXY } = proxyEnv
    if (HTTP_PROXY === undefined && HTTPS_PROXY === undefined) {
      this.#direct = new DirectAgent({ userAgent: this.#userAgent, stallTimeout: this.#stallTimeout })
    }
  }

  /** Throws a `TransportError` where no answer comes. Any status is an answer. */
  async request(request: HttpRequest): Promise<HttpAnswer> {
    try {
      const direct = request.direct ? await this.#direct?.get(request) : undefined
      return direct ?? (await this.#once(request))
    } catch (error) {
      if (!(error instanceof StaleConnection) || !mayRepeat(request)) throw fail(request, error)
    }
    // The server closed a kept connection just as it was used again: the request was not seen.
    try {
      return await this.#once(request, true)
    } catch (error) {
      throw fail(request, error)
    }
  }

  #once(request: HttpRequest, fresh = false): Promise<HttpAnswer> {
    const { method, url, headers, body, tls, signal } = request
    const secure = url.protocol === 'https:'
    return new Promise((resolve, reject) => {
      const outgoing = (secure ? https.request : httpRequest)(url, {
        method,
        headers: { 'User-Agent': this.#userAgent, ...headers },
        agent: fresh ? undefined : secure ? this.#https : this.#http,
        timeout: this.#stallTimeout,
        ...(secure ? tls : {}),
        ...(signal && { signal }),
      })
      let answered = false
      outgoing.on('timeout', () => outgoing.destroy(stalled()))
      outgoing.on('error', error => {
        if (answered) return
        const stale =
          outgoing.reusedSocket && 'code' in error && (error.code === 'ECONNRESET' || error.code === 'EPIPE')
        reject(stale ? new StaleConnection(error) : error)
      })
      outgoing.on('response', incoming => {
        answered = true
        resolve({
          method,
          url,
          status: incoming.statusCode ?? 0,
          reason: incoming.statusMessage ?? '',
          headers: incoming.headers,
          body: incoming,
        })
      })
      if (body instanceof Readable) {
        body.on('error', error => outgoing.destroy(error))
        outgoing.on('close', () => body.destroy())
        body.pipe(outgoing)
      } else if (body !== undefined && !(body instanceof Uint8Array)) {
        sendFile(body, outgoing, body.onSent).catch((error: Error) => outgoing.destroy(error))
      } else {
        outgoing.end(body)
      }
    })
  }

  /** Close idle connections. */
  close(): void {
    this.#http.destroy()
    this.#https.destroy()
    this.#direct?.close()
  }
}

function mayRepeat({ body }: HttpRequest): boolean {
  return body === undefined || body instanceof Uint8Array
}

class StaleConnection extends Error {
  constructor(cause: Error) {
    super(cause.message, { cause })
  }
}

function stalled(): Error {
  return Object.assign(new Error('no data within the time limit'), { code: 'STALLED' })
}

function fail(request: HttpRequest, error: unknown): unknown {
  request.signal?.throwIfAborted()
  return transportError(request.method, request.url, error instanceof StaleConnection ? error.cause : error)
}

/** Let go of an answer whose body does not matter; small ones are read so that the connection can be used again. */
export async function drain(answer: HttpAnswer): Promise<void> {
  const length = Number(answer.headers['content-length'] ?? 0)
  if (length > 65_536) {
    answer.body.on('error', () => {})
    answer.body.destroy()
    return
  }
  try {
    let read = 0
    for await (const chunk of answer.body) {
      read += (chunk as Uint8Array).length
      if (read > 65_536) break
    }
  } catch {
    // Nothing was wanted of it.
  }
}

/**
 * The whole body, at most `limit` bytes; `undefined` where there is more.
 * Throws `TransportError` where it breaks off.
 */
export async function readBody(answer: HttpAnswer, limit: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of answer.body) {
      size += (chunk as Buffer).length
      if (size > limit) return undefined
      chunks.push(chunk as Buffer)
    }
  } catch (error) {
    throw transportError(answer.method, answer.url, error)
  }
  return Buffer.concat(chunks, size)
}

/**
 * The variables that name proxies, with `NO_PROXY` as Go's clients read it: this host is always reached directly, and ranges may
 * be written as CIDRs (Node takes `first-last`).
 */
export function proxyEnvironment(environment: Record<string, string | undefined>): NodeJS.ProcessEnv {
  const read = (name: string) => environment[name.toLowerCase()] || environment[name]
  const direct = (read('NO_PROXY') ?? '')
    .split(/[\s,]+/)
    .filter(Boolean)
    .map(asRange)
  const chosen = { HTTP_PROXY: read('HTTP_PROXY'), HTTPS_PROXY: read('HTTPS_PROXY') }
  return {
    ...Object.fromEntries(Object.entries(chosen).filter(([, value]) => value)),
    NO_PROXY: ['localhost', '127.0.0.0/8', '::1'].map(asRange).concat(direct).join(','),
  } as unknown as NodeJS.ProcessEnv
}

/** `10.0.0.0/8` as `10.0.0.0-10.255.255.255`; anything else as it is. */
function asRange(entry: string): string {
  const match = /^(\d+)\.(\d+)\.(\d+)\.(\d+)\/(\d+)$/.exec(entry)
  if (!match) return entry
  const [a, b, c, d, bits] = match.slice(1).map(Number) as [number, number, number, number, number]
  const size = 2 ** (32 - Math.min(32, bits))
  const address = ((a * 256 + b) * 256 + c) * 256 + d
  const first = address - (address % size)
  const write = (value: number): string =>
    [24, 16, 8, 0].map(shift => Math.floor(value / 2 ** shift) % 256).join('.')
  return `${write(first)}-${write(first + size - 1)}`
}
