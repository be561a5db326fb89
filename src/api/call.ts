/** One request on its way through: what was asked, and the ways to answer. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { Duplex, type Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { invalid } from '../errors.ts'
import { checkJsonType, parseJson, readBody } from './body.ts'
import type { Query } from './query.ts'

/** A connection that became a plain stream of bytes in both directions. */
export interface Upgraded {
  /** The connection, or what Node puts around it where the request has a body. */
  socket: Socket
  /** Bytes of the stream that came with the request. Its body is not among them. */
  head: Buffer
}

/** Why work was given up: nobody is left who waits for it. */
export class ClientGone extends Error {
  constructor() {
    super('the client has gone')
    this.name = 'ClientGone'
  }
}

export class Call {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  readonly params: Record<string, string>
  readonly query: Query
  /** The minor number of the API version: 55 for 1.55. */
  readonly api: number
  #upgraded: Upgraded | undefined
  #controller: AbortController | undefined

  constructor(
    req: IncomingMessage,
    res: ServerResponse,
    params: Record<string, string>,
    query: Query,
    api: number,
    upgraded?: Upgraded,
  ) {
    this.req = req
    this.res = res
    this.params = params
    this.query = query
    this.api = api
    this.#upgraded = upgraded
  }

  /** Aborts when the client has gone before it had its answer. */
  get signal(): AbortSignal {
    if (!this.#controller) {
      const controller = new AbortController()
      this.#controller = controller
      const gone = () => {
        if (!this.res.writableFinished || this.#upgraded) controller.abort(new ClientGone())
      }
      if (this.#upgraded) this.#upgraded.socket.once('close', gone)
      else this.res.once('close', gone)
      if (this.req.socket.destroyed) gone()
    }
    return this.#controller.signal
  }

  /** What the client wants to speak after an upgrade: `tcp`, `h2c`; undefined without one. */
  get upgrade(): string | undefined {
    return this.#upgraded ? (this.req.headers.upgrade ?? '').toLowerCase() : undefined
  }

  /** The request's JSON document. Raises `invalid` as Docker does; undefined for no body where that is `optional`. */
  async body(options: { optional?: boolean } = {}): Promise<unknown> {
    checkJsonType(this.req)
    const bytes = await readBody(this.req)
    if (options.optional && bytes.length === 0) return undefined
    return parseJson(bytes)
  }

  json(status: number, value: unknown): void {
    const text = `${JSON.stringify(value)}\n`
    this.res.writeHead(status, {
      'Content-Type': 'application/json',
      'Content-Length': Buffer.byteLength(text),
    })
    this.res.end(text)
  }

  empty(status: number): void {
    this.res.writeHead(status)
    this.res.end()
  }

  /** Answers with a stream, as fast as the client reads it. */
  async stream(contentType: string, source: Readable): Promise<void> {
    this.res.writeHead(200, { 'Content-Type': contentType })
    this.res.flushHeaders()
    await pipeline(source, this.res)
  }

  /**
   * Takes the connection over: 101 where the client asked for an upgrade, else the older form, a 200 whose body is what
   * the container says and a request body (if there is one) that is what it hears.
   */
  hijack(contentType: string): Duplex {
    const upgraded = this.#upgraded
    if (!upgraded) {
      this.res.useChunkedEncodingByDefault = false
      this.res.shouldKeepAlive = false
      this.res.writeHead(200, { 'Content-Type': contentType })
      this.res.flushHeaders()
      return Duplex.from({ readable: this.req, writable: this.res } as unknown as Parameters<
        typeof Duplex.from
      >[0])
    }
    const { socket, head } = this.takeSocket()
    socket.write(
      `HTTP/1.1 101 UPGRADED\r\nContent-Type: ${contentType}\r\nConnection: Upgrade\r\nUpgrade: ${this.req.headers.upgrade ?? 'tcp'}\r\n\r\n`,
    )
    if (head.length > 0) socket.unshift(head)
    return socket
  }

  /** The bare connection after an upgrade, and the bytes that came too early. The response is no longer usable. */
  takeSocket(): Upgraded {
    const upgraded = this.#upgraded
    if (!upgraded) throw invalid('no upgrade proto in request')
    this.res.detachSocket(upgraded.socket)
    this.req.socket.setTimeout(0)
    return upgraded
  }
}
