/**
 * A conversation with the kernel: requests go out in one datagram, however many they are, and their answers are there when
 * the call returns, because netlink works in the caller's own time. Hence synchronous.
 *
 * ```
 * const route = Netlink.open(NETLINK_ROUTE)
 * route.run(addLink({ kind: 'bridge' }, { name: 'br0', up: true }))
 * const { index } = readLink(route.get(getLink('br0')))
 * route.run(addAddress(index, parseCidr('10.7.0.1/24')!))
 * route.dump(listLinks).map(readLink)
 *
 * const filter = Netlink.open(NETLINK_NETFILTER)
 * filter.transaction(nft.begin, [nft.addTable(table), nft.addChain(table, 'forward')], nft.end)
 * ```
 *
 * A refusal is a {@link NetlinkError}: what was asked, the errno, and the kernel's own words.
 */
import * as fs from 'node:fs'
import { promisify } from 'node:util'
import { hasCode } from '../../errors.ts'
import { NetlinkSocket } from '../../linux/index.ts'
import { NetlinkError, readAcknowledgement } from './error.ts'
import {
  decode,
  encode,
  type Message,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_NOOP,
  type Request,
  Writer,
} from './message.ts'

/** How often a dump that changed under our eyes is asked for again before its last answer is taken. */
const DUMP_ATTEMPTS = 10
/** Well over what one datagram of answers needs; the kernel sends dumps in pieces of at most 32 KiB. */
const WAIT_MS = 5000
const EINTR = 4
const EAGAIN = 11
const ENOBUFS = 105
const ETIMEDOUT = 110

const write = promisify(fs.write)

/** One request's fate. */
export interface Outcome {
  request: Request
  error: NetlinkError | undefined
}

/** What the connection needs of a socket; tests hold one that has no kernel behind it. */
export interface Transport {
  readonly fd: number
  send(data: Uint8Array): void
  recv(maxWaitMs?: number): Uint8Array | undefined
  close(): void
}

export class Netlink {
  readonly #socket: Transport
  #sequence = 1

  constructor(socket: Transport) {
    this.#socket = socket
  }

  /** A connection of `protocol` (NETLINK_ROUTE, …) in our network namespace, or in the open namespace `netnsFd`. */
  static open(protocol: number, netnsFd?: number): Netlink {
    return new Netlink(new NetlinkSocket(protocol, netnsFd))
  }

  /** Sends all of `requests` at once and throws the first error. What stands after a refused one is still done. */
  run(...requests: Request[]): void {
    const failed = this.attempt(requests).find(outcome => outcome.error !== undefined)
    if (failed) throw failed.error
  }

  /** {@link run} with the fate of each. */
  attempt(requests: readonly Request[]): Outcome[] {
    if (requests.length === 0) return []
    const first = this.#take(requests.length)
    this.#socket.send(encode(requests, first))
    return this.#outcomes(requests, first)
  }

  /**
   * {@link run}, where a thread of Node's pool waits for the kernel instead of the caller's: for what takes it long, as the
   * removal of a link does. The connection must have no other use meanwhile.
   */
  async runAside(...requests: Request[]): Promise<void> {
    const first = this.#take(requests.length)
    await write(this.#socket.fd, encode(requests, first))
    const failed = this.#outcomes(requests, first).find(outcome => outcome.error !== undefined)
    if (failed) throw failed.error
  }

  /** What the kernel answers to requests that it has, the first of which has the number `first`. */
  #outcomes(requests: readonly Request[], first: number): Outcome[] {
    const outcomes: Outcome[] = requests.map(request => ({ request, error: undefined }))
    let open = requests.length
    while (open > 0) {
      for (const message of this.#receive(requests[0]!.what)) {
        const outcome = outcomes[message.sequence - first]
        if (!outcome || message.type !== NLMSG_ERROR) continue
        open--
        const { errno, extended } = readAcknowledgement(message)
        if (errno !== 0) outcome.error = new NetlinkError(errno, outcome.request.what, extended)
      }
    }
    return outcomes
  }

  /** The one object that `request` asks for. */
  get(request: Request): Message {
    const sequence = this.#take(1)
    this.#socket.send(encode([request], sequence, 'none'))
    for (;;) {
      for (const message of this.#receive(request.what)) {
        if (message.sequence !== sequence || message.type === NLMSG_NOOP) continue
        if (message.type !== NLMSG_ERROR) return message
        const { errno, extended } = readAcknowledgement(message)
        throw new NetlinkError(errno, request.what, extended)
      }
    }
  }

  /** All objects that `request` asks for. Asked again where the kernel says that they changed meanwhile. */
  dump(request: Request): Message[] {
    for (let attempt = 1; ; attempt++) {
      const { messages, interrupted } = this.#dumpOnce(request)
      if (!interrupted || attempt === DUMP_ATTEMPTS) return messages
    }
  }

  /**
   * A transaction of nftables: all of `requests` or nothing. `begin` and `end` frame it; only errors and the answer to the
   * last request come back.
   */
  transaction(begin: Request, requests: readonly Request[], end: Request): void {
    if (requests.length === 0) return
    const all = [begin, ...requests, end]
    const first = this.#take(all.length)
    const lastSequence = first + requests.length
    const writer = new Writer(1024 * requests.length)
    all.forEach((request, index) => {
      writer.message(request, first + index, first + index === lastSequence ? NLM_F_ACK : 0)
    })
    this.#socket.send(writer.bytes)
    let failure: NetlinkError | undefined
    let answered = false
    // Every answer is in the socket already; the kernel queued them before send() returned.
    for (let wait = WAIT_MS; ; wait = 0) {
      const bytes = this.#socket.recv(wait)
      if (!bytes) break
      for (const message of decode(bytes)) {
        const request = all[message.sequence - first]
        if (!request || message.type !== NLMSG_ERROR) continue
        answered = true
        const { errno, extended } = readAcknowledgement(message)
        if (errno !== 0) failure ??= new NetlinkError(errno, request.what, extended)
      }
    }
    if (failure) throw failure
    if (!answered) throw new NetlinkError(ETIMEDOUT, requests[0]!.what)
  }

  close(): void {
    this.#socket.close()
  }

  /** {@link close} in a thread aside: after rules were replaced, the kernel waits here for all who still read the old ones. */
  closeAside(): void {
    fs.close(this.#socket.fd, () => {})
  }

  #dumpOnce(request: Request): { messages: Message[]; interrupted: boolean } {
    const sequence = this.#take(1)
    this.#socket.send(
      encode(
        [{ ...request, flags: request.flags | NLM_F_DUMP, write: w => request.write(w) }],
        sequence,
        'none',
      ),
    )
    const messages: Message[] = []
    let interrupted = false
    for (;;) {
      for (const message of this.#receive(request.what)) {
        if (message.sequence !== sequence) continue
        if ((message.flags & NLM_F_DUMP_INTR) !== 0) interrupted = true
        if (message.type === NLMSG_DONE) {
          const errno = doneError(message)
          if (errno === EINTR || errno === EAGAIN) return { messages, interrupted: true }
          if (errno !== 0) throw new NetlinkError(errno, request.what)
          return { messages, interrupted }
        }
        if (message.type === NLMSG_ERROR) {
          const { errno, extended } = readAcknowledgement(message)
          throw new NetlinkError(errno, request.what, extended)
        }
        if (message.type !== NLMSG_NOOP) messages.push(message)
      }
    }
  }

  #receive(what: string): Iterable<Message> {
    let bytes: Uint8Array | undefined
    try {
      bytes = this.#socket.recv(WAIT_MS)
    } catch (error) {
      if (hasCode(error, 'ENOBUFS')) throw new NetlinkError(ENOBUFS, what)
      throw error
    }
    if (!bytes) throw new NetlinkError(ETIMEDOUT, what)
    return decode(bytes)
  }

  #take(count: number): number {
    const first = this.#sequence
    this.#sequence = first + count > 0x7fffffff ? 1 : first + count
    return first
  }
}

function doneError(message: Message): number {
  if (message.body.length < 4) return 0
  return -new DataView(message.body.buffer, message.body.byteOffset, 4).getInt32(0, true)
}
