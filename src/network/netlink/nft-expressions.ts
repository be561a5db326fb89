/**
 * The expressions that nftables rules are made of. The kernel runs a rule's expressions in order, over registers of four bytes
 * ({@link reg}), until one does not match or one gives a verdict. linux/netfilter/nf_tables.h
 */
import type { Writer } from './message.ts'

/** One expression of a rule. */
export interface Expression {
  readonly name: string
  /** Writes the content of NFTA_EXPR_DATA. */
  write(writer: Writer): void
}

/** Register `index` (0 to 15) of four bytes. Longer values lie over several that follow. */
export const reg = (index: number): number => 8 + index
const VERDICT_REGISTER = 0

export type Verdict =
  | { verdict: 'accept' | 'drop' | 'continue' | 'return' }
  | { verdict: 'jump' | 'goto'; chain: string }

const VERDICTS = { drop: 0, accept: 1, continue: -1, jump: -3, goto: -4, return: -5 } as const

const NFTA_DATA_VALUE = 1
const NFTA_DATA_VERDICT = 2
const NFTA_VERDICT_CODE = 1
const NFTA_VERDICT_CHAIN = 2

/** The content of an NFTA_DATA nest: bytes or a verdict. */
export function writeData(writer: Writer, data: Uint8Array | Verdict): void {
  if (data instanceof Uint8Array) {
    writer.attrBytes(NFTA_DATA_VALUE, data)
    return
  }
  writer.nest(NFTA_DATA_VERDICT, () => {
    writer.attrBe32(NFTA_VERDICT_CODE, VERDICTS[data.verdict])
    if ('chain' in data) writer.attrString(NFTA_VERDICT_CHAIN, data.chain)
  })
}

/** Attributes, by the expression that they belong to: enum nft_meta_attributes, nft_payload_attributes, … */
const META = { into: 1, key: 2 } as const
const PAYLOAD = {
  into: 1,
  base: 2,
  offset: 3,
  length: 4,
  from: 5,
  checksumType: 6,
  checksumOffset: 7,
} as const
const COMPARE = { from: 1, operator: 2, data: 3 } as const
const BITWISE = { from: 1, into: 2, length: 3, mask: 4, xor: 5 } as const
const LOOKUP = { set: 1, from: 2, into: 3, flags: 5 } as const
const IMMEDIATE = { into: 1, data: 2 } as const
const CT = { into: 1, key: 2 } as const
const FIB = { into: 1, result: 2, flags: 3 } as const
const NAT = { type: 1, family: 2, address: 3, port: 5, flags: 7 } as const
const COUNTER = { bytes: 1, packets: 2 } as const

const NFT_PAYLOAD_CSUM_INET = 1
const NFT_LOOKUP_F_INV = 1
const NFT_FIB_RESULT_ADDRTYPE = 3
const NF_NAT_RANGE_PROTO_SPECIFIED = 2

const META_KEYS = {
  protocol: 1,
  mark: 3,
  iifname: 6,
  oifname: 7,
  nfproto: 15,
  l4proto: 16,
} as const

/** Load something about the packet. Names of interfaces take 16 bytes, the rest at most four. */
export const meta = (key: keyof typeof META_KEYS, register = reg(0)): Expression => ({
  name: 'meta',
  write(writer) {
    writer.attrBe32(META.key, META_KEYS[key])
    writer.attrBe32(META.into, register)
  },
})

const PAYLOAD_BASES = { link: 0, network: 1, transport: 2 } as const

/** Load bytes of the packet. */
export const payload = (
  base: keyof typeof PAYLOAD_BASES,
  offset: number,
  length: number,
  register = reg(0),
): Expression => ({
  name: 'payload',
  write(writer) {
    writer.attrBe32(PAYLOAD.into, register)
    place(writer, base, offset, length)
  },
})

function place(writer: Writer, base: keyof typeof PAYLOAD_BASES, offset: number, length: number): void {
  writer.attrBe32(PAYLOAD.base, PAYLOAD_BASES[base])
  writer.attrBe32(PAYLOAD.offset, offset)
  writer.attrBe32(PAYLOAD.length, length)
}

/** Overwrite bytes of the packet, and mend the checksum at `checksumOffset` of the same header. */
export const setPayload = (
  base: keyof typeof PAYLOAD_BASES,
  offset: number,
  length: number,
  checksumOffset: number,
  register = reg(0),
): Expression => ({
  name: 'payload',
  write(writer) {
    writer.attrBe32(PAYLOAD.from, register)
    place(writer, base, offset, length)
    writer.attrBe32(PAYLOAD.checksumType, NFT_PAYLOAD_CSUM_INET)
    writer.attrBe32(PAYLOAD.checksumOffset, checksumOffset)
  },
})

const COMPARISONS = { '==': 0, '!=': 1, '<': 2, '<=': 3, '>': 4, '>=': 5 } as const

/** Go on only where the register compares so with `value` (bytes in network order). */
export const compare = (
  operator: keyof typeof COMPARISONS,
  value: Uint8Array,
  register = reg(0),
): Expression => ({
  name: 'cmp',
  write(writer) {
    writer.attrBe32(COMPARE.from, register)
    writer.attrBe32(COMPARE.operator, COMPARISONS[operator])
    writer.nest(COMPARE.data, () => writeData(writer, value))
  },
})

/** Keep only the bits of `mask`. */
export const bitwiseAnd = (mask: Uint8Array, register = reg(0)): Expression => ({
  name: 'bitwise',
  write(writer) {
    writer.attrBe32(BITWISE.from, register)
    writer.attrBe32(BITWISE.into, register)
    writer.attrBe32(BITWISE.length, mask.length)
    writer.nest(BITWISE.mask, () => writeData(writer, mask))
    writer.nest(BITWISE.xor, () => writeData(writer, new Uint8Array(mask.length)))
  },
})

/** Go on only where the register's value is in the set (`invert`: is not). With `into`, a map: load what it maps to. */
export const lookup = (
  set: string,
  options: { register?: number; into?: number | 'verdict'; invert?: boolean } = {},
): Expression => ({
  name: 'lookup',
  write(writer) {
    writer.attrString(LOOKUP.set, set)
    writer.attrBe32(LOOKUP.from, options.register ?? reg(0))
    if (options.into !== undefined) {
      writer.attrBe32(LOOKUP.into, options.into === 'verdict' ? VERDICT_REGISTER : options.into)
    }
    if (options.invert) writer.attrBe32(LOOKUP.flags, NFT_LOOKUP_F_INV)
  },
})

/** Load a constant. */
export const immediate = (value: Uint8Array, register = reg(0)): Expression => ({
  name: 'immediate',
  write(writer) {
    writer.attrBe32(IMMEDIATE.into, register)
    writer.nest(IMMEDIATE.data, () => writeData(writer, value))
  },
})

const give = (verdict: Verdict): Expression => ({
  name: 'immediate',
  write(writer) {
    writer.attrBe32(IMMEDIATE.into, VERDICT_REGISTER)
    writer.nest(IMMEDIATE.data, () => writeData(writer, verdict))
  },
})

export const accept = give({ verdict: 'accept' })
export const drop = give({ verdict: 'drop' })
/** Back to the chain that jumped here; from a base chain, to its policy. */
export const leave = give({ verdict: 'return' })
export const jump = (chain: string): Expression => give({ verdict: 'jump', chain })
export const goto = (chain: string): Expression => give({ verdict: 'goto', chain })

const CT_KEYS = { state: 0, direction: 1, status: 2, mark: 3 } as const

/** Load something about the connection; four bytes. */
export const conntrack = (key: keyof typeof CT_KEYS, register = reg(0)): Expression => ({
  name: 'ct',
  write(writer) {
    writer.attrBe32(CT.key, CT_KEYS[key])
    writer.attrBe32(CT.into, register)
  },
})

/** Load the kind of the destination (or source) address: {@link RTN_LOCAL} where it is the host's own. Four bytes. */
export const addressType = (which: 'source' | 'destination', register = reg(0)): Expression => ({
  name: 'fib',
  write(writer) {
    writer.attrBe32(FIB.into, register)
    writer.attrBe32(FIB.result, NFT_FIB_RESULT_ADDRTYPE)
    writer.attrBe32(FIB.flags, which === 'source' ? 1 : 2)
  },
})

/** Rewrite an address and a port from registers; they are then the connection's for good. */
export const nat = (
  type: 'snat' | 'dnat',
  family: 4 | 6,
  registers: { address: number; port?: number },
): Expression => ({
  name: 'nat',
  write(writer) {
    writer.attrBe32(NAT.type, type === 'snat' ? 0 : 1)
    writer.attrBe32(NAT.family, family === 4 ? 2 : 10)
    writer.attrBe32(NAT.address, registers.address)
    if (registers.port !== undefined) {
      writer.attrBe32(NAT.port, registers.port)
      writer.attrBe32(NAT.flags, NF_NAT_RANGE_PROTO_SPECIFIED)
    }
  },
})

/** Give the connection the address of the interface that it leaves by. */
export const masquerade: Expression = { name: 'masq', write() {} }

/** Count packets and bytes; shown by a dump. */
export const counter: Expression = {
  name: 'counter',
  write(writer) {
    writer.attrBe64(COUNTER.bytes, 0n)
    writer.attrBe64(COUNTER.packets, 0n)
  },
}

/** Leave the packet out of connection tracking; only before it begins (raw). */
export const notrack: Expression = { name: 'notrack', write() {} }
