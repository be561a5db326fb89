/**
 * The grammar that all of netlink shares: messages with a 16-byte header, a fixed part, and attributes that nest.
 * netlink(7), linux/netlink.h. Numbers are the machine's own byte order, which is little endian on every machine that
 * Gantry runs on; what nftables wants in network order says so (`be16`, `be32`, `be64`).
 */

/** One thing to ask of the kernel. Written by the codecs beside this file, sent by a connection. */
export interface Request {
  /** nlmsg_type */
  readonly type: number
  /** Besides NLM_F_REQUEST, which every request has. */
  readonly flags: number
  /** In the words of a person, for an error: `add address 172.17.0.2/16 to eth0`. */
  readonly what: string
  /** Writes all that follows the header. */
  write(writer: Writer): void
}

/** One message from the kernel; `body` is what follows the header. */
export interface Message {
  readonly type: number
  readonly flags: number
  readonly sequence: number
  readonly body: Uint8Array
}

const NLM_F_REQUEST = 0x1
export const NLM_F_MULTI = 0x2
export const NLM_F_ACK = 0x4
export const NLM_F_DUMP_INTR = 0x10
/** Of replies: the acknowledgement leaves out the request, and carries attributes. */
export const NLM_F_CAPPED = 0x100
export const NLM_F_ACK_TLVS = 0x200
/** Of a new object. */
export const NLM_F_REPLACE = 0x100
export const NLM_F_EXCL = 0x200
export const NLM_F_CREATE = 0x400
export const NLM_F_APPEND = 0x800
/** Of a query: all of them. */
export const NLM_F_DUMP = 0x300

export const NLMSG_NOOP = 1
export const NLMSG_ERROR = 2
export const NLMSG_DONE = 3

const HEADER = 16
const NLA_F_NESTED = 0x8000
const NLA_TYPE_MASK = 0x3fff

/** Appends netlink messages to one buffer. */
export class Writer {
  #bytes: Uint8Array
  #view: DataView
  #length = 0

  constructor(capacity = 4096) {
    this.#bytes = new Uint8Array(capacity)
    this.#view = new DataView(this.#bytes.buffer)
  }

  /** What was written so far; a view, valid until the next write. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length)
  }

  /** One whole message. */
  message(request: Request, sequence: number, extraFlags = 0): void {
    const start = this.#length
    this.u32(0)
    this.u16(request.type)
    this.u16(request.flags | NLM_F_REQUEST | extraFlags)
    this.u32(sequence)
    this.u32(0) // port: the kernel fills it in
    request.write(this)
    this.#view.setUint32(start, this.#length - start, true)
    this.#align()
  }

  u8(value: number): void {
    this.#reserve(1)
    this.#view.setUint8(this.#length, value)
    this.#length += 1
  }

  u16(value: number): void {
    this.#reserve(2)
    this.#view.setUint16(this.#length, value, true)
    this.#length += 2
  }

  u32(value: number): void {
    this.#reserve(4)
    this.#view.setUint32(this.#length, value, true)
    this.#length += 4
  }

  be16(value: number): void {
    this.#reserve(2)
    this.#view.setUint16(this.#length, value)
    this.#length += 2
  }

  bytesRaw(value: Uint8Array): void {
    this.#reserve(value.length)
    this.#bytes.set(value, this.#length)
    this.#length += value.length
  }

  zeros(count: number): void {
    this.#reserve(count)
    this.#bytes.fill(0, this.#length, this.#length + count)
    this.#length += count
  }

  attrU8(type: number, value: number): void {
    this.#attribute(type, () => this.u8(value))
  }

  attrU16(type: number, value: number): void {
    this.#attribute(type, () => this.u16(value))
  }

  attrU32(type: number, value: number): void {
    this.#attribute(type, () => this.u32(value))
  }

  attrBe16(type: number, value: number): void {
    this.#attribute(type, () => this.be16(value))
  }

  attrBe32(type: number, value: number): void {
    this.#attribute(type, () => {
      this.#reserve(4)
      this.#view.setUint32(this.#length, value)
      this.#length += 4
    })
  }

  attrBe64(type: number, value: bigint): void {
    this.#attribute(type, () => {
      this.#reserve(8)
      this.#view.setBigUint64(this.#length, value)
      this.#length += 8
    })
  }

  /** With the closing zero byte. */
  attrString(type: number, value: string): void {
    this.#attribute(type, () => {
      this.bytesRaw(Buffer.from(value))
      this.u8(0)
    })
  }

  attrBytes(type: number, value: Uint8Array): void {
    this.#attribute(type, () => this.bytesRaw(value))
  }

  /** An attribute that only has to be there. */
  /** An attribute of attributes. */
  nest(type: number, content: () => void): void {
    this.#attribute(type | NLA_F_NESTED, content)
  }

  #attribute(type: number, content: () => void): void {
    const start = this.#length
    this.u16(0)
    this.u16(type)
    content()
    const length = this.#length - start
    if (length > 0xffff) throw new RangeError(`netlink attribute ${type} of ${length} bytes is over 65535`)
    this.#view.setUint16(start, length, true)
    this.#align()
  }

  #align(): void {
    const rest = this.#length & 3
    if (rest !== 0) this.zeros(4 - rest)
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + count))
    grown.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = grown
    this.#view = new DataView(grown.buffer)
  }
}

/** The bytes of `requests`, numbered from `sequence`; the last one, or each, asks for an acknowledgement. */
export function encode(
  requests: readonly Request[],
  sequence = 1,
  acknowledge: 'each' | 'none' = 'each',
): Uint8Array {
  const writer = new Writer()
  requests.forEach((request, index) => {
    writer.message(request, sequence + index, acknowledge === 'each' ? NLM_F_ACK : 0)
  })
  return writer.bytes
}

/** Splits what was received. A message that claims to be longer than what is there ends the walk: the kernel never does that. */
export function* decode(bytes: Uint8Array): Generator<Message> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let offset = 0
  while (offset + HEADER <= bytes.length) {
    const length = view.getUint32(offset, true)
    if (length < HEADER || offset + length > bytes.length) return
    yield {
      type: view.getUint16(offset + 4, true),
      flags: view.getUint16(offset + 6, true),
      sequence: view.getUint32(offset + 8, true),
      body: bytes.subarray(offset + HEADER, offset + length),
    }
    offset += (length + 3) & ~3
  }
}

/** The attributes of a message or of another attribute: the last of each type, as the kernel reads them. */
export class Attributes {
  readonly #byType = new Map<number, Uint8Array>()
  readonly #list: Uint8Array[] = []

  /** `bytes` from `offset` on; `offset` is the size of the fixed part. */
  constructor(bytes: Uint8Array, offset = 0) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    while (offset + 4 <= bytes.length) {
      const length = view.getUint16(offset, true)
      if (length < 4 || offset + length > bytes.length) return
      const value = bytes.subarray(offset + 4, offset + length)
      this.#byType.set(view.getUint16(offset + 2, true) & NLA_TYPE_MASK, value)
      this.#list.push(value)
      offset += (length + 3) & ~3
    }
  }

  has(type: number): boolean {
    return this.#byType.has(type)
  }

  bytes(type: number): Uint8Array | undefined {
    return this.#byType.get(type)
  }

  u8(type: number): number | undefined {
    return this.#byType.get(type)?.[0]
  }

  u16(type: number): number | undefined {
    return this.#number(type, 2, view => view.getUint16(0, true))
  }

  u32(type: number): number | undefined {
    return this.#number(type, 4, view => view.getUint32(0, true))
  }

  be16(type: number): number | undefined {
    return this.#number(type, 2, view => view.getUint16(0))
  }

  be32(type: number): number | undefined {
    return this.#number(type, 4, view => view.getUint32(0))
  }

  be64(type: number): bigint | undefined {
    return this.#number(type, 8, view => view.getBigUint64(0))
  }

  string(type: number): string | undefined {
    const value = this.#byType.get(type)
    if (!value) return undefined
    const end = value.indexOf(0)
    return Buffer.from(end < 0 ? value : value.subarray(0, end)).toString()
  }

  nested(type: number): Attributes | undefined {
    const value = this.#byType.get(type)
    return value && new Attributes(value)
  }

  /** The elements of a list, whose attributes all have the same type. */
  elements(): Attributes[] {
    return this.#list.map(value => new Attributes(value))
  }

  #number<T>(type: number, length: number, read: (view: DataView) => T): T | undefined {
    const value = this.#byType.get(type)
    if (!value || value.length < length) return undefined
    return read(new DataView(value.buffer, value.byteOffset, value.byteLength))
  }
}
