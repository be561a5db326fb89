/** A registry: OCI distribution 1.1 over HTTP/1.1, with its operator's pages (`/healthz`, `/metrics`). */
import type * as http from 'node:http'
import * as https from 'node:https'
import type { AddressInfo } from 'node:net'
import { messageOf } from '../../errors.ts'
import { createServer } from '../../http.ts'
import { type Logger, silent } from '../../logger.ts'
import { Access, type AccessOptions } from './access.ts'
import {
  deleteBlob,
  deleteUpload,
  getBlob,
  getUpload,
  patchUpload,
  postUpload,
  putUpload,
} from './blob-handlers.ts'
import { type Collected, collect } from './collector.ts'
import { Exchange, type Registry } from './exchange.ts'
import { Fault, fault } from './faults.ts'
import { defaultLimits, type Limits } from './limits.ts'
import { listReferrers, listRepositories, listTags } from './list-handlers.ts'
import { deleteManifest, getManifest, putManifest } from './manifest-handlers.ts'
import { Metrics } from './metrics.ts'
import { PullThrough, type PullThroughOptions } from './pull-through.ts'
import { RegistryStore } from './registry-store.ts'
import { parseRoute, type Route } from './routes.ts'
import { RESTED_AFTER, Uploads } from './uploads.ts'

export interface RegistryServerOptions {
  /** Folder, absolute; made where it is not. */
  root: string
  /** Every address unless told. */
  host?: string
  /** 5000 unless told; 0 for any free one. */
  port?: number
  /** `https://registry.example`: how clients reach it, where that is by way of another server. */
  externalUrl?: string
  tls?: { cert: string | Buffer; key: string | Buffer }
  access?: AccessOptions
  limits?: Partial<Limits>
  /** Makes this a pull-through cache. */
  upstream?: Omit<PullThroughOptions, 'logger'> & {
    /** Milliseconds after which what was fetched is let go; 7 days. */ lifetime?: number
  }
  /** Milliseconds between garbage collections; an hour. 0 for none. */
  collectEvery?: number
  /** Let go of manifests without tags, too. */
  collectUntagged?: boolean
  logger?: Logger
}

type Handler = (registry: Registry, exchange: Exchange, route: never) => Promise<void> | void

/** What each kind of path answers to. */
const HANDLERS: {
  [Kind in Route['kind']]: Record<
    string,
    (registry: Registry, exchange: Exchange, route: Extract<Route, { kind: Kind }>) => Promise<void> | void
  >
} = {
  base: {
    GET: (_, exchange) => {
      exchange.requireName()
      exchange.answerJson(200, {})
    },
  },
  catalog: { GET: listRepositories },
  tags: { GET: (registry, exchange, { name }) => listTags(registry, exchange, name) },
  referrers: {
    GET: (registry, exchange, { name, digest }) => listReferrers(registry, exchange, name, digest),
  },
  manifest: {
    GET: (registry, exchange, { name, reference }) => getManifest(registry, exchange, name, reference),
    PUT: (registry, exchange, { name, reference }) => putManifest(registry, exchange, name, reference),
    DELETE: (registry, exchange, { name, reference }) => deleteManifest(registry, exchange, name, reference),
  },
  blob: {
    GET: (registry, exchange, { name, digest }) => getBlob(registry, exchange, name, digest),
    DELETE: (registry, exchange, { name, digest }) => deleteBlob(registry, exchange, name, digest),
  },
  uploads: { POST: (registry, exchange, { name }) => postUpload(registry, exchange, name) },
  upload: {
    GET: (registry, exchange, { name, id }) => getUpload(registry, exchange, name, id),
    PATCH: (registry, exchange, { name, id }) => patchUpload(registry, exchange, name, id),
    PUT: (registry, exchange, { name, id }) => putUpload(registry, exchange, name, id),
    DELETE: (registry, exchange, { name, id }) => deleteUpload(registry, exchange, name, id),
  },
}

/** Milliseconds between the writings of index.json. */
const FLUSH_EVERY = 5000

/** Bytes of what is posted to the token endpoint. */
const MAX_FORM = 64 << 10

const unsupported = (allow: string) =>
  fault('UNSUPPORTED', 'The operation is unsupported.', 405, undefined, { Allow: allow })

export class RegistryServer {
  readonly store: RegistryStore
  readonly metrics = new Metrics()
  readonly #options: RegistryServerOptions
  readonly #logger: Logger
  readonly #registry: Registry
  readonly #uploads: Uploads
  readonly #access: Access
  readonly #server: http.Server
  readonly #timers: NodeJS.Timeout[] = []
  readonly #count: ReturnType<Metrics['counter']>
  readonly #sent: ReturnType<Metrics['counter']>
  readonly #collected: ReturnType<Metrics['counter']>
  #active = 0
  #stopping = false

  /** Opens the store; listens only after {@link start}. */
  constructor(options: RegistryServerOptions) {
    this.#options = options
    this.#logger = options.logger ?? silent
    const limits = { ...defaultLimits, ...options.limits }
    this.store = new RegistryStore(options.root)
    this.#uploads = new Uploads(options.root, this.store.content, limits)
    this.#access = new Access(options.access)
    const upstream =
      options.upstream && new PullThrough(this.store, { ...options.upstream, logger: this.#logger })
    this.#registry = { store: this.store, uploads: this.#uploads, access: this.#access, limits, upstream }
    const listener: http.RequestListener = (request, response) => void this.#serve(request, response)
    // A blob may take longer than any fixed time; a connection that brings nothing is cut by its own timeout.
    const settings = {
      requestTimeout: 0,
      headersTimeout: 30_000,
      keepAliveTimeout: 60_000,
      highWaterMark: 256 * 1024,
      noDelay: true,
    }
    this.#server = options.tls
      ? https.createServer({ ...settings, ...options.tls }, listener)
      : createServer(settings, listener)
    this.#server.timeout = 120_000
    this.#count = this.metrics.counter(
      'gantry_registry_requests_total',
      'Requests by method, kind of path and status.',
    )
    this.#sent = this.metrics.counter('gantry_registry_sent_bytes_total', 'Bytes sent to clients.')
    this.#collected = this.metrics.counter(
      'gantry_registry_collected_bytes_total',
      'Bytes given back by garbage collection.',
    )
    this.metrics.gauge('gantry_registry_requests_active', 'Requests being served.', () => this.#active)
    this.metrics.gauge(
      'gantry_registry_uploads_active',
      'Uploads that were begun and not finished.',
      () => this.#uploads.count,
    )
    this.metrics.gauge('gantry_registry_repositories', 'Repositories.', () => this.store.names().length)
  }

  /** Listen. Returns where. */
  async start(): Promise<AddressInfo> {
    const { host, port = 5000, collectEvery = 3600_000 } = this.#options
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ port, ...(host !== undefined && { host }) }, resolve)
    })
    this.#every(FLUSH_EVERY, () => this.store.flush())
    this.#every(RESTED_AFTER, () => this.#uploads.rest())
    if (collectEvery > 0) this.#every(collectEvery, () => this.collect())
    const address = this.#server.address() as AddressInfo
    this.#logger.info('registry listening', {
      address: address.address,
      port: address.port,
      tls: !!this.#options.tls,
    })
    return address
  }

  #every(interval: number, work: () => unknown): void {
    const timer = setInterval(async () => {
      try {
        await work()
      } catch (error) {
        this.#logger.error('background work failed', { error: messageOf(error) })
      }
    }, interval)
    this.#timers.push(timer.unref())
  }

  /** Remove what nobody needs, now. Requests go on. */
  async collect(): Promise<Collected> {
    const purged = await this.#uploads.purge()
    const { upstream, collectUntagged = false } = this.#options
    const collected = await collect(this.store, {
      grace: this.#registry.limits.grace,
      untagged: collectUntagged,
      ...(upstream && { expire: upstream.lifetime ?? 7 * 24 * 3600_000 }),
    })
    this.#collected({}, collected.bytes)
    this.#logger.info('garbage collected', { ...collected, uploads: purged })
    return collected
  }

  /** Take no new requests, let those under way end (at most `patience` milliseconds), write what is only in memory. */
  async stop(patience = 10_000): Promise<void> {
    this.#stopping = true
    for (const timer of this.#timers) clearInterval(timer)
    const closed = new Promise<void>(resolve => this.#server.close(() => resolve()))
    this.#server.closeIdleConnections()
    const cut = setTimeout(() => this.#server.closeAllConnections(), patience)
    await closed
    clearTimeout(cut)
    await this.#uploads.close()
    await this.store.content.synced()
    this.store.close()
    this.#logger.info('registry stopped')
  }

  async #serve(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const began = performance.now()
    const host = request.headers.host ?? 'localhost'
    const base = this.#options.externalUrl ?? `${this.#options.tls ? 'https' : 'http'}://${host}`
    const exchange = new Exchange(request, response, this.#access, base)
    let kind = 'other'
    this.#active++
    response.on('close', () => {
      this.#active--
      const { statusCode: status } = response
      const bytes = Number(response.getHeader('content-length') ?? 0)
      this.#count({ method: exchange.method, path: kind, status })
      this.#sent({}, request.method === 'HEAD' ? 0 : bytes)
      this.#logger[status >= 500 ? 'error' : kind === 'operator' ? 'debug' : 'info']('request', {
        method: exchange.method,
        path: exchange.path,
        status,
        bytes,
        ms: Math.round((performance.now() - began) * 10) / 10,
        remote: request.socket.remoteAddress,
        user: exchange.caller.name || undefined,
        complete: response.writableFinished,
      })
    })
    response.setHeader('Docker-Distribution-Api-Version', 'registry/2.0')
    if (this.#stopping) response.setHeader('Connection', 'close')
    try {
      if (this.#operator(exchange)) {
        kind = 'operator'
        return
      }
      if (exchange.path === '/token' && this.#access.issuesTokens) {
        kind = 'token'
        exchange.answerJson(200, await this.#issueToken(exchange))
        return
      }
      const route = parseRoute(exchange.path)
      if (!route) return exchange.answer(404, { 'Content-Type': 'text/plain' }, '404 page not found\n')
      kind = route.kind
      const handlers: Record<string, unknown> = HANDLERS[route.kind]
      const handler = handlers[exchange.method === 'HEAD' ? 'GET' : exchange.method] as Handler | undefined
      if (!handler) {
        throw unsupported(Object.keys(handlers).join(', '))
      }
      exchange.caller = await this.#access.identify(request, exchange.base)
      await handler(this.#registry, exchange, route as never)
    } catch (error) {
      this.#fail(exchange, error)
    }
  }

  async #issueToken(exchange: Exchange): Promise<object> {
    const { request, query, method } = exchange
    if (method === 'GET') return this.#access.issue(request, query)
    if (method !== 'POST') throw unsupported('GET, POST')
    const form = await exchange.body(MAX_FORM, 'form')
    return this.#access.issueForForm(new URLSearchParams(form.toString('utf8')))
  }

  /** Health and metrics: no credentials, no names in them. */
  #operator(exchange: Exchange): boolean {
    if (exchange.path === '/healthz' || exchange.path === '/') {
      exchange.answer(
        this.#stopping ? 503 : 200,
        { 'Content-Type': 'text/plain' },
        this.#stopping ? 'stopping\n' : 'ok\n',
      )
    } else if (exchange.path === '/metrics') {
      exchange.answer(200, { 'Content-Type': 'text/plain; version=0.0.4' }, this.metrics.toString())
    } else return false
    return true
  }

  #fail(exchange: Exchange, error: unknown): void {
    const { response, request } = exchange
    if (response.headersSent || request.socket.destroyed) {
      // For the log: the client left before there was an answer.
      if (!response.headersSent) response.statusCode = 499
      response.destroy()
      return
    }
    const answer = error instanceof Fault ? error : fault('UNKNOWN', 'internal error', 500)
    if (answer.status >= 500) {
      this.#logger.error('request failed', {
        method: exchange.method,
        path: exchange.path,
        error: messageOf(error),
      })
    }
    // The rest of a body that nobody reads would be taken for the next request.
    const unread = !request.complete && request.method !== 'GET' && request.method !== 'HEAD'
    exchange.answer(
      answer.status,
      { 'Content-Type': 'application/json', ...answer.headers, ...(unread && { Connection: 'close' }) },
      answer.body,
    )
  }
}
