/**
 * The client's end of the shim's protocol: frames over a unix socket. A frame is `u32 length of its payload, u16 type, u16 0,
 * u32 sequence` and the payload; little-endian; strings are `u32 length, bytes, NUL`. native/shim/connection.c is the other end.
 */
import { Socket } from 'node:net'
import { errnoText, LinuxError } from '../linux/index.ts'
import { LaunchError } from './launch-error.ts'
import { opName, sections } from './plan.ts'

/** Frame types. Those from 100 on come from the shim. */
export const Message = {
  hello: 1,
  start: 2,
  signal: 3,
  resize: 4,
  closeStdin: 5,
  attach: 6,
  exec: 7,
  quit: 8,
  result: 100,
  state: 101,
  exit: 102,
  rotated: 104,
  oom: 105,
} as const

export const AttachFlag = { stdin: 1, stdout: 2, stderr: 4, closeStdin: 8 } as const

const HEAD = 12

/** What the shim answers to a request, and by itself when the container is ready. */
export interface Result {
  pid: number
}

export interface ShimState {
  pid: number
  ready: boolean
  started: boolean
  tty: boolean
  finished: boolean
  execs: { id: string; pid: number }[]
}

export interface ShimEvents {
  /** A process ended; `id` is '' for the container. `record` is the exit record's text. */
  exit(id: string, record: string): void
  /** The log was rotated. */
  rotated(): void
  /** Memory ran out in the container. */
  oom(): void
  /** The connection ended: the shim has left. */
  closed(): void
}

export function frame(type: number, sequence: number, ...payload: (number | string | Uint8Array)[]): Buffer {
  let length = HEAD
  for (const part of payload) {
    length +=
      typeof part === 'number' ? 4 : 5 + (typeof part === 'string' ? Buffer.byteLength(part) : part.length)
  }
  const bytes = Buffer.allocUnsafe(length)
  bytes.writeUInt32LE(length - HEAD, 0)
  bytes.writeUInt32LE(type, 4)
  bytes.writeUInt32LE(sequence, 8)
  let at = HEAD
  for (const part of payload) {
    if (typeof part === 'number') {
      at = bytes.writeUInt32LE(part >>> 0, at)
      continue
    }
    const size = typeof part === 'string' ? bytes.write(part, at + 4) : part.length
    if (typeof part !== 'string') bytes.set(part, at + 4)
    bytes.writeUInt32LE(size, at)
    at += 4 + size
    bytes[at++] = 0
  }
  return bytes
}

/** Reads the fields of a payload in order. */
class Reader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  u32(): number {
    this.#at += 4
    return this.#bytes.readUInt32LE(this.#at - 4)
  }

  string(): string {
    const length = this.u32()
    this.#at += length + 1
    return this.#bytes.toString('utf8', this.#at - length - 1, this.#at - 1)
  }
}

/** A result, or what failed, thrown: a LaunchError where an operation of a plan did, else a LinuxError. */
function readResult(payload: Buffer, request: string): Result {
  const reader = new Reader(payload)
  const [errno, pid, section, index, code] = [
    reader.u32(),
    reader.u32(),
    reader.u32(),
    reader.u32(),
    reader.u32(),
  ]
  const detail = reader.string()
  if (errno === 0) return { pid }
  const op = opName(code)
  if (op === undefined) throw new LinuxError(errno, request, detail || undefined)
  const [name, text] = errnoText(errno)
  throw new LaunchError({ section: sections[section] ?? 'init', index, op, code: name, errno, text, detail })
}

interface Waiting {
  request: string
  resolve: (payload: Buffer) => void
  reject: (error: unknown) => void
}

/** A control connection: requests and their answers, and events. */
export class ShimConnection {
  readonly #socket: Socket
  readonly #events: ShimEvents
  readonly #waiting = new Map<number, Waiting>()
  #sequence = 0
  #rest: Buffer | undefined
  #closed = false

  constructor(socket: Socket, events: ShimEvents) {
    this.#socket = socket
    this.#events = events
    socket.on('data', bytes => this.#read(bytes as Buffer))
    socket.on('error', () => {}) // 'close' follows
    socket.on('end', () => socket.destroy()) // also of a socket that could still be written to
    socket.on('close', () => this.#close())
  }

  /** What the shim says by itself once, when the launch succeeded or failed. */
  launched(): Promise<Result> {
    return this.#answer(0, 'launch').then(payload => readResult(payload, 'launch'))
  }

  async hello(): Promise<ShimState> {
    const reader = new Reader(await this.#request(Message.hello, 'hello'))
    const [pid, flags, count] = [reader.u32(), reader.u32(), reader.u32()]
    const execs = Array.from({ length: count }, () => ({ id: reader.string(), pid: reader.u32() }))
    const is = (flag: number) => (flags & flag) !== 0
    return { pid, ready: is(1), started: is(2), tty: is(4), finished: is(8), execs }
  }

  /** Send a request that is answered by a {@link Result}. */
  async command(type: number, name: string, ...payload: (number | string)[]): Promise<Result> {
    return readResult(await this.#request(type, name, ...payload), name)
  }

  /** Kill the container, if it runs, and let the shim leave; `closed` tells when it has. */
  quit(): void {
    this.#socket.write(frame(Message.quit, 0))
  }

  unref(): void {
    this.#socket.unref()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  #request(type: number, name: string, ...payload: (number | string)[]): Promise<Buffer> {
    const sequence = ++this.#sequence
    const answer = this.#answer(sequence, name)
    if (!this.#closed) this.#socket.write(frame(type, sequence, ...payload))
    return answer
  }

  #answer(sequence: number, request: string): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      if (this.#closed) reject(new LinuxError(3, request))
      else this.#waiting.set(sequence, { request, resolve, reject })
    })
  }

  #read(bytes: Buffer): void {
    let all: Buffer = this.#rest ? Buffer.concat([this.#rest, bytes]) : bytes
    while (all.length >= HEAD) {
      const end = HEAD + all.readUInt32LE(0)
      if (all.length < end) break
      this.#dispatch(all.readUInt16LE(4), all.readUInt32LE(8), all.subarray(HEAD, end))
      all = all.subarray(end)
    }
    this.#rest = all.length > 0 ? all : undefined
  }

  #dispatch(type: number, sequence: number, payload: Buffer): void {
    if (type === Message.exit) {
      const reader = new Reader(payload)
      this.#events.exit(reader.string(), reader.string())
    } else if (type === Message.rotated) {
      this.#events.rotated()
    } else if (type === Message.oom) {
      this.#events.oom()
    } else {
      this.#waiting.get(sequence)?.resolve(payload)
      this.#waiting.delete(sequence)
    }
  }

  #close(): void {
    this.#closed = true
    for (const { request, reject } of this.#waiting.values()) reject(new LinuxError(3, request))
    this.#waiting.clear()
    this.#events.closed()
  }
}

/** Connect to a shim's socket. Rejects with ENOENT or ECONNREFUSED where none is. */
export function connectShim(path: string): Promise<Socket> {
  const socket = new Socket({ allowHalfOpen: true })
  return new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.connect({ path }, () => {
      socket.off('error', reject)
      resolve(socket)
    })
  })
}

/**
 * Send one request on a connection of its own, whose rest is a stream: what the shim sends after its answer is the
 * process's output, what is written is its stdin. Resolves with the answer; the socket is paused, its first output byte next.
 */
export async function openStream(
  path: string,
  request: Buffer,
  name: string,
): Promise<{ socket: Socket; result: Result }> {
  const socket = await connectShim(path)
  // Read exactly the answer: what follows it stays in the socket for whoever gets the stream.
  return new Promise((resolve, reject) => {
    let head: Buffer | null = null
    const settle = (act: () => void) => {
      socket.off('readable', read).off('error', fail).off('close', closed)
      act()
    }
    const fail = (error: unknown) => {
      socket.destroy()
      settle(() => reject(error))
    }
    const closed = () => fail(new LinuxError(3, name))
    const read = () => {
      head ??= socket.read(HEAD) as Buffer | null
      const payload = head && (socket.read(head.readUInt32LE(0)) as Buffer | null)
      if (!payload) return
      try {
        const result = readResult(payload, name)
        socket.on('error', () => {}) // a hang-up is an end like any other
        settle(() => resolve({ socket, result }))
      } catch (error) {
        fail(error)
      }
    }
    socket.on('readable', read).on('error', fail).on('close', closed)
    socket.write(request)
  })
}
