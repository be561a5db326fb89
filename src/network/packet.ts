/** Where things are in a packet, and the words that the tables have in common. */
import { type Expression, lookup, meta } from './netlink/nft-expressions.ts'
import type { Protocol } from './types.ts'

/** Numbers in an IP header. */
export const PROTOCOLS: Record<Protocol, number> = { tcp: 6, udp: 17, sctp: 132 }

/** Where the address starts in a header, and how long it is. */
export const HEADERS = {
  4: { nfproto: 2, source: 12, destination: 16, length: 4, type: 'ipv4' },
  6: { nfproto: 10, source: 8, destination: 24, length: 16, type: 'ipv6' },
} as const

/** As the kernel keeps its own numbers: in the machine's order. */
export const u32 = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer)
/** As it stands in a packet. */
export const portBytes = (port: number): Uint8Array => Uint8Array.of(port >> 8, port & 0xff)

/** Came in by, or leaves by, an interface that is in a set. */
export const from = (set: string): Expression[] => [meta('iifname'), lookup(set)]
export const to = (set: string): Expression[] => [meta('oifname'), lookup(set)]
