/**
 * The Docker Engine API over HTTP. {@link createApi} gives an `http.Server` that is not listening yet; {@link file://./listen.ts}
 * gives it places to listen on.
 */
import type * as http from 'node:http'
import type { Socket } from 'node:net'
import type { Engine } from '../engine/engine.ts'
import { kindOf } from '../errors.ts'
import { createServer, ServerResponse } from '../http.ts'
import { type Logger, silent } from '../logger.ts'
import { Call, ClientGone, type Upgraded } from './call.ts'
import { answerTo } from './errors.ts'
import type { Metrics } from './metrics.ts'
import { Query } from './query.ts'
import { Router } from './router.ts'
import { type Handler, routes } from './routes/index.ts'
import { API_VERSION, negotiate, splitVersion } from './version.ts'

export interface ApiOptions {
  logger?: Logger
  metrics?: Metrics
}

/** Headers of a request: bytes. Docker's clients send credentials for several registries in one. */
const MAX_HEADER_BYTES = 1 << 20

/** Milliseconds that an idle connection is kept. Docker keeps it for ever; so long is as good, and nothing piles up. */
const KEEP_ALIVE = 15 * 60_000

export function createApi(engine: Engine, options: ApiOptions = {}): http.Server {
  const logger = options.logger ?? silent
  const router = new Router<Handler>()
  for (const { method, path, handler } of routes) {
    router.add(method, path, handler)
  }
  const server = createServer({
    keepAliveTimeout: KEEP_ALIVE,
    requestTimeout: 0,
    headersTimeout: 60_000,
    maxHeaderSize: MAX_HEADER_BYTES,
    noDelay: true,
    shouldUpgradeCallback: req => isHijacked(req.url ?? ''),
  })
  server.timeout = 0
  // This server never listens itself: it is fed by listen.ts. The event makes it keep account of its connections all the same.
  server.emit('listening')
  const { version } = engine.system.version()
  const common = [
    ['Api-Version', API_VERSION],
    ['Docker-Experimental', String(engine.config.experimental ?? false)],
    ['Ostype', 'linux'],
    ['Server', `Docker/${version} (linux)`],
  ] as const

  const serve = async (req: http.IncomingMessage, res: http.ServerResponse, upgraded?: Upgraded) => {
    const method = req.method ?? 'GET'
    try {
      const { path, search } = splitUrl(req.url ?? '/')
      const asked = splitVersion(path)
      const match = router.find(method, asked.path)
      if (!match) return sendError(res, 404, method === 'OPTIONS' ? '' : 'page not found')
      for (const [name, value] of common) res.setHeader(name, value)
      const call = new Call(req, res, match.params, new Query(search), negotiate(asked.version), upgraded)
      logger.debug('Calling', { method, path })
      const begun = performance.now()
      await match.handler(call, engine)
      options.metrics?.called(method, asked.path, performance.now() - begun)
    } catch (error) {
      if (!upgraded && !req.complete) await readAway(req)
      fail(req, res, error, logger)
    }
  }

  server.on('request', serve)
  server.on('upgrade', (req, socket: Socket, head: Buffer) => {
    socket.on('error', () => {})
    const res = new ServerResponse(req)
    res.shouldKeepAlive = false
    res.assignSocket(socket)
    res.once('finish', () => socket.end())
    void serve(req, res, { socket, head })
  })
  return server
}

/** Only these endpoints turn a connection into something else; elsewhere an `Upgrade` header is no more than an offer. */
function isHijacked(url: string): boolean {
  return /\/(attach|attach\/ws|start|session|grpc)(\?|$)/.test(url)
}

function splitUrl(url: string): { path: string; search: string } {
  const mark = url.indexOf('?')
  const raw = mark < 0 ? url : url.slice(0, mark)
  return {
    path: raw.includes('%') ? decodePath(raw) : raw,
    search: mark < 0 ? '' : url.slice(mark + 1),
  }
}

function decodePath(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    return path
  }
}

function fail(req: http.IncomingMessage, res: http.ServerResponse, error: unknown, logger: Logger): void {
  const { status, message } = answerTo(error)
  const gone = error instanceof ClientGone || req.socket.destroyed
  if (kindOf(error) === 'internal' && !gone) {
    logger.error('Handler returned an error', { method: req.method, path: req.url, error: message })
    if (error instanceof Error && error.name !== 'GantryError') logger.debug(error.stack ?? '')
  }
  if (res.headersSent || res.destroyed || !res.socket) {
    req.socket.destroy()
    return
  }
  if (!req.complete) lingerAfter(req, res)
  sendError(res, status, message)
}

/** Bytes and milliseconds that a refused request's body is waited for. The bytes are those of Go's net/http, and so of Docker. */
const REFUSED_BYTES = 256 << 10
const REFUSED_WAIT = 1000

/** A small body is taken whole before the answer goes out: a client that still writes would complain of that, too. */
function readAway(req: http.IncomingMessage): Promise<void> | undefined {
  if (req.destroyed || Number(req.headers['content-length']) > REFUSED_BYTES) return undefined
  req.unpipe()
  return new Promise(resolve => {
    let left = REFUSED_BYTES
    const take = (chunk: Buffer) => {
      left -= chunk.length
      if (left < 0) done()
    }
    const done = () => {
      clearTimeout(timer)
      req.off('data', take).off('end', done).off('close', done)
      resolve()
    }
    const timer = setTimeout(done, REFUSED_WAIT)
    req.on('end', done).on('close', done).on('data', take)
  })
}

/** Milliseconds that a client whose request was refused may go on writing it. */
const LINGER = 10_000

/**
 * The answer goes out before the request's body is in. If the connection were closed then, with bytes unread, a client that still
 * writes would see a broken pipe instead of the answer; so what it sends is read away until it closes. RFC 9112, 9.6
 */
function lingerAfter(req: http.IncomingMessage, res: http.ServerResponse): void {
  const { socket } = req
  res.shouldKeepAlive = false
  socket.destroySoon = () => {
    socket.end()
    const timer = setTimeout(() => socket.destroy(), LINGER)
    socket.once('close', () => clearTimeout(timer))
  }
  req.resume()
}

function sendError(res: http.ServerResponse, status: number, message: string): void {
  if (status === 304) {
    res.writeHead(304).end()
    return
  }
  const text = `${JSON.stringify({ message })}\n`
  res.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) })
  res.end(text)
}
