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

const META_KEYS = {
  protocol: 1,
  mark: 3,
  iif: 4,
  oif: 5,
  iifname: 6,
  oifname: 7,
  nfproto: 15,
  l4proto: 16,
  pkttype: 19,
} as const

/** Load something about the packet. Names of interfaces take 16 bytes, the rest at most four. */
export const meta = (key: keyof typeof META_KEYS, register = reg(0)): Expression => ({
  name: 'meta',
  write(writer) {
    writer.attrBe32(2, META_KEYS[key])
    writer.attrBe32(1, register)
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
    writer.attrBe32(1, register)
    writer.attrBe32(2, PAYLOAD_BASES[base])
    writer.attrBe32(3, offset)
    writer.attrBe32(4, length)
  },
})

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
    writer.attrBe32(5, register)
    writer.attrBe32(2, PAYLOAD_BASES[base])
    writer.attrBe32(3, offset)
    writer.attrBe32(4, length)
    writer.attrBe32(6, 1) // NFT_PAYLOAD_CSUM_INET
    writer.attrBe32(7, checksumOffset)
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
    writer.attrBe32(1, register)
    writer.attrBe32(2, COMPARISONS[operator])
    writer.nest(3, () => writeData(writer, value))
  },
})

/** Keep only the bits of `mask`. */
export const bitwiseAnd = (mask: Uint8Array, register = reg(0)): Expression => ({
  name: 'bitwise',
  write(writer) {
    writer.attrBe32(1, register)
    writer.attrBe32(2, register)
    writer.attrBe32(3, mask.length)
    writer.nest(4, () => writeData(writer, mask))
    writer.nest(5, () => writeData(writer, new Uint8Array(mask.length)))
  },
})

/** Go on only where the register's value is in the set (`invert`: is not). With `into`, a map: load what it maps to. */
export const lookup = (
  set: string,
  options: { register?: number; into?: number | 'verdict'; invert?: boolean } = {},
): Expression => ({
  name: 'lookup',
  write(writer) {
    writer.attrString(1, set)
    writer.attrBe32(2, options.register ?? reg(0))
    if (options.into !== undefined) {
      writer.attrBe32(3, options.into === 'verdict' ? VERDICT_REGISTER : options.into)
    }
    if (options.invert) writer.attrBe32(5, 1)
  },
})

/** Load a constant. */
export const immediate = (value: Uint8Array, register = reg(0)): Expression => ({
  name: 'immediate',
  write(writer) {
    writer.attrBe32(1, register)
    writer.nest(2, () => writeData(writer, value))
  },
})

const give = (verdict: Verdict): Expression => ({
  name: 'immediate',
  write(writer) {
    writer.attrBe32(1, VERDICT_REGISTER)
    writer.nest(2, () => writeData(writer, verdict))
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
    writer.attrBe32(2, CT_KEYS[key])
    writer.attrBe32(1, register)
  },
})

/** Load the kind of the destination (or source) address: {@link RTN_LOCAL} where it is the host's own. Four bytes. */
export const addressType = (which: 'source' | 'destination', register = reg(0)): Expression => ({
  name: 'fib',
  write(writer) {
    writer.attrBe32(1, register)
    writer.attrBe32(2, 3) // NFT_FIB_RESULT_ADDRTYPE
    writer.attrBe32(3, which === 'source' ? 1 : 2)
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
    writer.attrBe32(1, type === 'snat' ? 0 : 1)
    writer.attrBe32(2, family === 4 ? 2 : 10)
    writer.attrBe32(3, registers.address)
    if (registers.port !== undefined) {
      writer.attrBe32(5, registers.port)
      writer.attrBe32(7, 2) // NF_NAT_RANGE_PROTO_SPECIFIED
    }
  },
})

/** Give the connection the address of the interface that it leaves by. */
export const masquerade: Expression = { name: 'masq', write() {} }

/** Count packets and bytes; shown by a dump. */
export const counter: Expression = {
  name: 'counter',
  write(writer) {
    writer.attrBe64(1, 0n)
    writer.attrBe64(2, 0n)
  },
}

/** Leave the packet out of connection tracking; only before it begins (raw). */
export const notrack: Expression = { name: 'notrack', write() {} }
