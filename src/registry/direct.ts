/**
 * Blobs without Node's HTTP client, which makes a new buffer of every 64 KB and keeps the garbage collector busy: half the processor
 * time of a fast pull. Here a connection has one buffer, and its reader sees each chunk there.
 *
 * Only the plainest exchange is understood: a GET, an answer that says its length. Whatever else there is, {@link DirectAgent.get}
 * leaves to Node's client, errors included.
 */
import * as net from 'node:net'
import { Readable } from 'node:stream'
import * as tls from 'node:tls'
import { hasCode } from '../errors.ts'
import { type Head, parseHead, unchunked } from './answer-head.ts'
import type { HttpAnswer, HttpRequest } from './transport.ts'

const BUFFER = 256 << 10
const MAX_HEAD = 16 << 10
/** Bytes of a refusal that are read where it does not say how long it is. */
const MAX_REFUSAL = 64 << 10
/** Idle connections to one host; milliseconds that each is kept. */
const MAX_IDLE = 4
const IDLE_TIMEOUT = 15_000

/** Takes a chunk, which is only good until it returns, or until the promise that it returns is settled. */
export type Take = (chunk: Buffer) => Promise<void> | undefined

/** All of `body` to `take`, in order. Rejects with what `take` throws, or where the body breaks off. */
export async function eachChunk(body: Readable, take: Take): Promise<void> {
  if (body instanceof DirectBody) return body.each(take)
  for await (const chunk of body) {
    const wait = take(chunk as Buffer)
    if (wait !== undefined) await wait
  }
}

export class DirectAgent {
  readonly #idle = new Map<string, Connection[]>()
  /** Origins that answered in another way. */
  readonly #others = new Set<string>()
  readonly #userAgent: string
  readonly #stallTimeout: number

  constructor(options: { userAgent: string; stallTimeout: number }) {
    this.#userAgent = options.userAgent
    this.#stallTimeout = options.stallTimeout
  }

  /**
   * The answer to a GET, or `undefined` where it has to be asked for in the usual way. Throws only where the signal says so, or
   * the other side is silent for too long.
   */
  async get(request: HttpRequest): Promise<HttpAnswer | undefined> {
    const { url, signal } = request
    const asked = this.#headOf(request)
    if (asked === undefined || this.#others.has(url.origin)) return undefined
    signal?.throwIfAborted()
    let connection: Connection | undefined
    try {
      connection = this.#take(request) ?? (await Connection.open(request, this.#stallTimeout))
      const { head, rest } = await connection.ask(asked, signal)
      const answer = parseHead(head)
      if (answer?.length !== undefined) return this.#answer(request, connection, answer, answer.length, rest)
      // A refusal is no reason to ask once more.
      if (answer !== undefined && answer.status >= 400)
        return await refusal(request, connection, answer, rest)
      this.#others.add(url.origin)
    } catch (error) {
      if (hasCode(error, 'STALLED')) throw error
    }
    connection?.close()
    signal?.throwIfAborted()
    return undefined
  }

  #answer(
    request: HttpRequest,
    connection: Connection,
    answer: Head,
    length: number,
    rest: Buffer,
  ): HttpAnswer {
    const { url, signal } = request
    const { status, reason, headers, mayKeep } = answer
    const keep = mayKeep ? () => this.#keep(request, connection) : undefined
    const body = new DirectBody(connection, length, rest, keep)
    const onAbort = () => body.destroy(signal!.reason)
    signal?.addEventListener('abort', onAbort, { once: true })
    body.once('close', () => signal?.removeEventListener('abort', onAbort))
    if (signal?.aborted) onAbort()
    return { method: 'GET', url, status, reason, headers, body }
  }

  #headOf({ method, url, headers, body }: HttpRequest): Buffer | undefined {
    if (method !== 'GET' || body !== undefined) return undefined
    const fields = { Host: url.host, 'User-Agent': this.#userAgent, ...headers }
    const lines = [`GET ${url.pathname}${url.search} HTTP/1.1`]
    for (const [name, value] of Object.entries(fields)) lines.push(`${name}: ${value}`)
    // A line break in a value would be another field.
    return lines.every(line => /^[\x20-\x7e]+$/.test(line))
      ? Buffer.from(`${lines.join('\r\n')}\r\n\r\n`)
      : undefined
  }

  #take(request: HttpRequest): Connection | undefined {
    const idle = this.#idle.get(keyOf(request)) ?? []
    for (;;) {
      const connection = idle.pop()
      if (connection === undefined || connection.isOpen) return connection
    }
  }

  #keep(request: HttpRequest, connection: Connection): void {
    const key = keyOf(request)
    const idle = (this.#idle.get(key) ?? []).filter(({ isOpen }) => isOpen)
    if (idle.length >= MAX_IDLE) {
      connection.close()
      return
    }
    connection.rest(() => {
      const left = this.#idle.get(key)?.filter(each => each !== connection) ?? []
      if (left.length > 0) this.#idle.set(key, left)
      else this.#idle.delete(key)
    })
    this.#idle.set(key, [...idle, connection])
  }

  /** Close idle connections. */
  close(): void {
    for (const connections of [...this.#idle.values()])
      for (const connection of connections) connection.close()
  }
}

/** Connections are only shared by requests that trust, and are, the same: by the very same lists. */
function keyOf({ url, tls: { ca, cert, key, rejectUnauthorized } = {} }: HttpRequest): string {
  return [url.origin, ...[ca, cert, key].map(numberOf), rejectUnauthorized].join(' ')
}

const numbers = new WeakMap<object, number>()
let lastNumber = 0

function numberOf(list: object | undefined): number {
  if (list === undefined) return 0
  const number = numbers.get(list) ?? ++lastNumber
  numbers.set(list, number)
  return number
}

class Connection {
  readonly #socket: net.Socket
  readonly #stallTimeout: number
  /** Sees each chunk; answers whether there may be another. */
  #listen: (chunk: Buffer) => boolean = () => false
  #onBroken: (error: Error) => void = () => {}

  private constructor(socket: net.Socket, stallTimeout: number) {
    this.#socket = socket
    this.#stallTimeout = stallTimeout
    let reason: Error | undefined
    socket.on('error', error => (reason = error))
    socket.on('timeout', () => socket.destroy(Object.assign(new Error('stalled'), { code: 'STALLED' })))
    socket.on('close', () => {
      this.#onBroken(reason ?? brokenOff())
    })
  }

  /** Rejects where no connection comes about, or its certificate is not believed. */
  static open({ url, tls: options, signal }: HttpRequest, stallTimeout: number): Promise<Connection> {
    let connection: Connection | undefined
    const secure = url.protocol === 'https:'
    const host = url.hostname.replace(/^\[|\]$/g, '')
    const where = {
      host,
      port: Number(url.port || (secure ? 443 : 80)),
      noDelay: true,
      onread: {
        buffer: Buffer.allocUnsafeSlow(BUFFER),
        callback: (count: number, buffer: Uint8Array) =>
          connection!.#listen((buffer as Buffer).subarray(0, count)),
      },
    }
    const socket = secure
      ? tls.connect({ ...where, ...(net.isIP(host) === 0 && { servername: host }), ...options })
      : net.connect(where)
    connection = new Connection(socket, stallTimeout)
    socket.setTimeout(stallTimeout)
    const onAbort = () => socket.destroy()
    signal?.addEventListener('abort', onAbort, { once: true })
    const opened = new Promise<Connection>((resolve, reject) => {
      connection.#onBroken = reject
      socket.once(secure ? 'secureConnect' : 'connect', () => resolve(connection))
    })
    return opened.finally(() => signal?.removeEventListener('abort', onAbort))
  }

  get isOpen(): boolean {
    return !this.#socket.destroyed && this.#socket.writable
  }

  close(): void {
    this.#socket.destroy()
  }

  /** Send a request; the head of its answer, and what followed it already. */
  ask(request: Buffer, signal: AbortSignal | undefined): Promise<{ head: string; rest: Buffer }> {
    return new Promise((resolve, reject) => {
      const onAbort = () => this.close()
      const settle = (finish: () => void) => {
        signal?.removeEventListener('abort', onAbort)
        finish()
      }
      signal?.addEventListener('abort', onAbort, { once: true })
      this.#onBroken = error => settle(() => reject(error))
      let seen = Buffer.alloc(0)
      this.#listen = chunk => {
        seen = Buffer.concat([seen, chunk])
        const end = seen.indexOf('\r\n\r\n')
        if (end < 0 && seen.length <= MAX_HEAD) return true
        settle(() => {
          if (end < 0 || end > MAX_HEAD) reject(new Error('the head of the answer is too long'))
          else resolve({ head: seen.toString('latin1', 0, end), rest: seen.subarray(end + 4) })
        })
        return false
      }
      this.#socket.setTimeout(this.#stallTimeout)
      this.#socket.resume()
      this.#socket.write(request)
    })
  }

  /** From now on chunks go to `listen`, beginning with {@link resume}, until it returns false. */
  listen(listen: (chunk: Buffer) => boolean, onBroken: (error: Error) => void): void {
    this.#listen = listen
    this.#onBroken = onBroken
  }

  resume(): void {
    if (this.#socket.destroyed) this.#onBroken(brokenOff())
    else this.#socket.resume()
  }

  /** `rest` and what follows until the other side has said all, or `limit` bytes. Ends the connection. */
  readAll(rest: Buffer, limit: number): Promise<Buffer> {
    return new Promise(resolve => {
      let seen = rest
      const finish = (): boolean => {
        this.close()
        resolve(seen)
        return false
      }
      const goOn = (): boolean => {
        const isOver = seen.length >= limit || seen.toString('latin1', seen.length - 5) === '0\r\n\r\n'
        return isOver ? finish() : true
      }
      this.listen(chunk => {
        seen = Buffer.concat([seen, chunk])
        return goOn()
      }, finish)
      if (goOn()) this.resume()
    })
  }

  /** Nothing is expected. Whatever comes, or nothing for a while, ends the connection. */
  rest(onGone: () => void): void {
    this.#listen = () => {
      this.close()
      return false
    }
    this.#onBroken = onGone
    this.#socket.setTimeout(IDLE_TIMEOUT)
    this.#socket.resume()
  }
}

/** A body of known length. As a stream it copies; {@link eachChunk} does not. */
class DirectBody extends Readable {
  readonly #connection: Connection
  readonly #keep: (() => void) | undefined
  #left: number
  /** What came with the head. */
  readonly #early: Buffer
  #fail: ((error: Error) => void) | undefined
  #isRead = false
  #wake = () => {}

  /** `keep` takes the connection back when all has come. */
  constructor(connection: Connection, length: number, early: Buffer, keep: (() => void) | undefined) {
    super({ highWaterMark: BUFFER })
    this.#connection = connection
    this.#left = length
    this.#early = early
    this.#keep = keep
    this.on('error', () => {}) // whoever reads is told
  }

  /** See {@link eachChunk}. */
  async each(take: Take): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#fail = error => {
      this.#connection.close()
      reject(error)
    }
    const goOn = (): boolean => {
      if (this.#left > 0) return true
      if (this.#keep !== undefined) this.#keep()
      else this.#connection.close()
      this.#fail = undefined
      resolve()
      return false
    }
    const fail = (error: Error): boolean => {
      this.#fail?.(error)
      return false
    }
    const step = (chunk: Buffer): boolean => {
      if (chunk.length > this.#left) return fail(new Error('more bytes than were announced'))
      this.#left -= chunk.length
      try {
        const wait = take(chunk)
        if (wait === undefined) return goOn()
        wait.then(() => goOn() && this.#connection.resume(), fail)
        return false
      } catch (error) {
        return fail(error as Error)
      }
    }
    this.#connection.listen(step, fail)
    if (this.destroyed) fail(brokenOff())
    else if (this.#early.length > 0 ? step(this.#early) : goOn()) this.#connection.resume()
    return promise
  }

  override _read(): void {
    this.#wake()
    if (this.#isRead) return
    this.#isRead = true
    const copied = this.each(chunk =>
      this.push(Buffer.from(chunk)) ? undefined : new Promise<void>(wake => (this.#wake = wake)),
    )
    copied.then(
      () => this.push(null),
      (error: Error) => this.destroy(error),
    )
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    if (this.#fail !== undefined) this.#fail(error ?? brokenOff())
    else if (this.#left > 0) this.#connection.close()
    callback(error)
  }
}

function brokenOff(): Error {
  return Object.assign(new Error('aborted'), { code: 'ECONNRESET' })
}

/** An answer whose body does not say its length: as much of it as an explanation may be long. */
async function refusal(
  { url }: HttpRequest,
  connection: Connection,
  { status, reason, headers }: Head,
  rest: Buffer,
): Promise<HttpAnswer> {
  const bytes = await connection.readAll(rest, MAX_REFUSAL)
  const isChunked = headers['transfer-encoding'] !== undefined
  const body = Readable.from([isChunked ? unchunked(bytes) : bytes], { objectMode: false })
  return { method: 'GET', url, status, reason, headers, body }
}
