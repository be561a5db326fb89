/**
 * gRPC calls to the client of a build: after `POST /session` the roles are turned round, the client serves HTTP/2 on its own
 * connection and the daemon asks. Messages are protobuf; headers may repeat a key, which is why this speaks HTTP/2 by itself.
 */
import * as http2 from 'node:http2'
import type { Duplex } from 'node:stream'
import type { DescMessage, MessageShape } from '@bufbuild/protobuf'
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { GantryError, unavailable } from '../errors.ts'

/** Values of one key in order. Keys are in lower case. */
export type Metadata = Record<string, string | string[]>

/** gRPC's numbers that are told apart here. */
const NOT_FOUND = 5
const UNIMPLEMENTED = 12

/** Bytes that the client may send before it waits for us. */
const WINDOW = 8 * 1024 * 1024

export class RpcError extends GantryError {
  readonly code: number

  constructor(code: number, message: string) {
    super(code === NOT_FOUND ? 'notFound' : 'invalid', message)
    this.name = 'RpcError'
    this.code = code
  }

  get isAbsent(): boolean {
    return this.code === NOT_FOUND || this.code === UNIMPLEMENTED
  }
}

/** One call: bytes of messages in both directions. */
export class RpcStream {
  readonly #stream: http2.ClientHttp2Stream
  #held: Buffer = Buffer.alloc(0)
  /** Resolves with the last message taken; rejects with an {@link RpcError} or where the connection broke. */
  readonly ended: Promise<void>

  constructor(stream: http2.ClientHttp2Stream, onMessage: (bytes: Buffer) => void) {
    this.#stream = stream
    this.ended = new Promise((resolve, reject) => {
      let status: http2.IncomingHttpHeaders = {}
      stream.on('response', headers => {
        if (headers['grpc-status'] !== undefined) status = headers
      })
      stream.on('trailers', trailers => {
        status = trailers
      })
      stream.on('data', (chunk: Buffer) => {
        // What is answered to the messages of one chunk goes out together.
        stream.cork()
        try {
          this.#take(chunk, onMessage)
        } catch (error) {
          stream.close(http2.constants.NGHTTP2_CANCEL)
          reject(error)
        } finally {
          stream.uncork()
        }
      })
      stream.once('error', reject)
      stream.once('close', () => {
        const code = Number(status['grpc-status'] ?? 14)
        if (code === 0) resolve()
        else
          reject(
            new RpcError(code, decodeURIComponent(String(status['grpc-message'] ?? 'the client has gone'))),
          )
      })
    })
    this.ended.catch(() => {})
  }

  #take(chunk: Buffer, onMessage: (bytes: Buffer) => void): void {
    let bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk])
    while (bytes.length >= 5) {
      const length = bytes.readUInt32BE(1)
      if (bytes.length < 5 + length) break
      if (bytes[0] !== 0) throw unavailable('a compressed message was not asked for')
      onMessage(bytes.subarray(5, 5 + length))
      bytes = bytes.subarray(5 + length)
    }
    this.#held = bytes
  }

  /** `false` where the caller should wait for {@link drained} before it sends more. */
  send(message: Uint8Array): boolean {
    const framed = Buffer.allocUnsafe(5 + message.length)
    framed[0] = 0
    framed.writeUInt32BE(message.length, 1)
    framed.set(message, 5)
    return this.#stream.write(framed)
  }

  /**
   * A message that ends in a field of these bytes, `before` being its other fields. They are not copied: resolves when they may change
   * again.
   */
  sendBytes(data: Uint8Array, field = 1, before: Uint8Array = new Uint8Array(0)): Promise<void> {
    const head = Buffer.allocUnsafe(16 + before.length)
    let at = 5
    head.set(before, at)
    at += before.length
    head[at++] = (field << 3) | 2
    for (let left = data.length; ; left >>>= 7) {
      head[at++] = left > 0x7f ? (left & 0x7f) | 0x80 : left
      if (left <= 0x7f) break
    }
    head[0] = 0
    head.writeUInt32BE(at - 5 + data.length, 1)
    this.#stream.write(head.subarray(0, at))
    return new Promise((resolve, reject) => {
      this.#stream.write(data, error => {
        if (!error) resolve()
        else this.ended.then(() => reject(error), reject) // which says why
      })
    })
  }

  drained(): Promise<void> {
    return new Promise(resolve => {
      if (this.#stream.destroyed || this.#stream.writableEnded || !this.#stream.writableNeedDrain)
        return resolve()
      const done = () => {
        this.#stream.off('drain', done)
        this.#stream.off('close', done)
        resolve()
      }
      this.#stream.on('drain', done)
      this.#stream.on('close', done)
    })
  }

  /** No more messages from here. */
  end(): void {
    this.#stream.end()
  }

  cancel(): void {
    this.#stream.close(http2.constants.NGHTTP2_CANCEL)
  }

  pause(): void {
    this.#stream.pause()
  }

  resume(): void {
    this.#stream.resume()
  }
}

/** What one client serves. */
export class RpcConnection {
  readonly #session: http2.ClientHttp2Session

  constructor(socket: Duplex) {
    this.#session = http2.connect('http://localhost', {
      createConnection: () => socket,
      settings: { initialWindowSize: WINDOW, enablePush: false },
    })
    this.#session.on('error', () => {})
    this.#session.once('connect', () => this.#session.setLocalWindowSize(WINDOW))
  }

  get closed(): boolean {
    return this.#session.closed || this.#session.destroyed
  }

  onClose(work: () => void): void {
    this.#session.once('close', work)
  }

  close(): void {
    this.#session.destroy()
  }

  stream(path: string, metadata: Metadata, onMessage: (bytes: Buffer) => void): RpcStream {
    if (this.closed) throw unavailable('the client has gone')
    const stream = this.#session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...metadata,
    })
    return new RpcStream(stream, onMessage)
  }

  /** A call with one message each way. */
  async unary<I extends DescMessage, O extends DescMessage>(
    path: string,
    input: I,
    output: O,
    message: MessageInitShape<I>,
    metadata: Metadata = {},
  ): Promise<MessageShape<O>> {
    let answer: MessageShape<O> | undefined
    const stream = this.stream(path, metadata, bytes => {
      answer = fromBinary(output, bytes)
    })
    stream.send(toBinary(input, create(input, message)))
    stream.end()
    await stream.ended
    if (!answer) throw unavailable(`${path}: no answer`)
    return answer
  }
}
