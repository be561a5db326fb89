/** Answers one container's questions: names of its networks from the table, everything else from resolvers outside. */
import * as dns from 'dns-packet'
import { formatIp, parseIp } from '../ip.ts'
import type { NameTable, Scope } from './names.ts'

/** Seconds; as Docker. */
const TTL = 600
const NOERROR = 0
const FORMERR = 1
const SERVFAIL = 2
const NOTIMP = 4
const HEADER = 12
const AUTHORITATIVE_AND_RECURSIVE = dns.RECURSION_DESIRED | dns.RECURSION_AVAILABLE

/** Asks the outside; undefined where nobody answered. */
export type Forward = (query: Buffer, overTcp: boolean) => Promise<Buffer | undefined>

export interface ResolverView {
  /** The networks that are searched, in order. */
  scopes(): readonly Scope[]
  /** Names that only this container knows: the aliases of its links, to names on its networks. In lower case. */
  aliases(): ReadonlyMap<string, string>
  /** undefined where the container has no way out. */
  forward: Forward | undefined
  /** With `ndots` set above 0, a name without dots is never asked outside. */
  keepsShortNames: boolean
}

export class Resolver {
  readonly #table: NameTable
  readonly #view: ResolverView

  constructor(table: NameTable, view: ResolverView) {
    this.#table = table
    this.#view = view
  }

  /**
   * The answer to a datagram or, over TCP, to a message without its length. undefined: say nothing (it was no question).
   * Never throws. An answer from our own table comes without a promise.
   */
  answer(query: Buffer, overTcp: boolean): Buffer | undefined | Promise<Buffer | undefined> {
    if (query.length < HEADER || (query[2]! & 0x80) !== 0) return undefined
    let packet: dns.Packet
    try {
      packet = dns.decode(query)
    } catch {
      return failure(query, FORMERR)
    }
    const questions = packet.questions ?? []
    const question = questions[0]
    if ((query[2]! & 0x78) !== 0) return failure(query, NOTIMP)
    if (!question || questions.length !== 1) return failure(query, FORMERR)
    const answers = this.#lookup(question)
    if (answers) return encodeReply(packet, answers, overTcp ? 0xffff : payloadSize(packet))
    return this.#forward(query, question, overTcp)
  }

  /** undefined where the table knows nothing of the name; empty where the name has no such record. */
  #lookup(question: dns.Question): dns.Answer[] | undefined {
    const { name, type } = question
    const scopes = this.#view.scopes()
    if (type === 'PTR') {
      const address = addressOfPointer(name)
      const found = address && this.#table.reverse(scopes, address)
      return found ? [{ type: 'PTR', name, ttl: TTL, data: found }] : undefined
    }
    const target = this.#view.aliases().get(name.toLowerCase()) ?? name
    const bearers = this.#table.find(scopes, target)
    if (bearers.length === 0) return undefined
    if (type !== 'A' && type !== 'AAAA') return []
    return bearers.flatMap(bearer => {
      const data = type === 'A' ? bearer.ipv4 : bearer.ipv6
      return data ? [{ type, name, ttl: TTL, data }] : []
    })
  }

  async #forward(query: Buffer, question: dns.Question, overTcp: boolean): Promise<Buffer | undefined> {
    const { forward, keepsShortNames } = this.#view
    if (!forward || (keepsShortNames && !question.name.includes('.'))) return failure(query, SERVFAIL)
    try {
      return (await forward(query, overTcp)) ?? failure(query, SERVFAIL)
    } catch {
      return failure(query, SERVFAIL)
    }
  }
}

/** How large a datagram the asker takes. */
function payloadSize(packet: dns.Packet): number {
  const opt = packet.additionals?.find(record => record.type === 'OPT')
  return opt && 'udpPayloadSize' in opt ? Math.max(512, opt.udpPayloadSize) : 512
}

/** The reply; with the truncation bit and as many answers as fit where they do not all fit. */
function encodeReply(query: dns.Packet, answers: dns.Answer[], limit: number): Buffer {
  const reply = (kept: dns.Answer[], flags: number) =>
    dns.encode({
      type: 'response',
      id: query.id ?? 0,
      flags: AUTHORITATIVE_AND_RECURSIVE | flags | NOERROR,
      questions: query.questions ?? [],
      answers: kept,
    })
  let encoded = reply(answers, 0)
  while (encoded.length > limit && answers.length > 0) {
    answers = answers.slice(0, Math.floor((answers.length * limit) / encoded.length))
    encoded = reply(answers, dns.TRUNCATED_RESPONSE)
  }
  return encoded
}

/** The question back, with `code`. Made from the bytes, because they may not be readable as a packet. */
function failure(query: Buffer, code: number): Buffer {
  const end = questionEnd(query)
  const reply = Buffer.from(query.subarray(0, end ?? HEADER))
  reply[2] = 0x80 | (query[2]! & 0x79)
  reply[3] = 0x80 | code
  reply.writeUInt16BE(end ? 1 : 0, 4)
  reply.fill(0, 6, HEADER)
  return reply
}

/** Where the first question ends; undefined where there is none. */
function questionEnd(query: Buffer): number | undefined {
  if (query.readUInt16BE(4) === 0) return undefined
  let offset = HEADER
  while (offset < query.length) {
    const length = query[offset]!
    if (length === 0) return offset + 5 <= query.length ? offset + 5 : undefined
    if (length > 63) return undefined
    offset += length + 1
  }
  return undefined
}

/** `2.0.17.172.in-addr.arpa` or the nibbles of IPv6, as an address in its usual form. */
function addressOfPointer(name: string): string | undefined {
  const v4 = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.in-addr\.arpa\.?$/i.exec(name)
  if (v4) return `${v4[4]}.${v4[3]}.${v4[2]}.${v4[1]}`
  const v6 = /^((?:[0-9a-f]\.){32})ip6\.arpa\.?$/i.exec(name)
  if (!v6) return undefined
  const hex = v6[1]!.split('.').reverse().join('')
  return canonical(hex.match(/.{4}/g)!.join(':'))
}

function canonical(text: string): string | undefined {
  const ip = parseIp(text)
  return ip && formatIp(ip)
}
