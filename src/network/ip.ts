/** IP addresses and subnets as numbers: what address management and the netlink codecs compute with. */
import { isIPv4, isIPv6 } from 'node:net'

export type Family = 4 | 6

export interface Ip {
  readonly family: Family
  readonly value: bigint
}

export interface Cidr {
  readonly family: Family
  /** The address as written, host bits included. */
  readonly address: bigint
  /** The first address of the subnet. */
  readonly base: bigint
  readonly prefix: number
}

/** Bits of an address. */
export const width = (family: Family): number => (family === 4 ? 32 : 128)

/** The address in `text`, or undefined where it is none. IPv4-mapped IPv6 is IPv4, as everywhere in Docker. */
export function parseIp(text: string): Ip | undefined {
  if (isIPv4(text)) return { family: 4, value: BigInt(v4Number(text)) }
  if (!isIPv6(text) || text.includes('%')) return undefined
  const bytes = v6Bytes(text)
  const value = bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n)
  return value >> 32n === 0xffffn ? { family: 4, value: value & 0xffffffffn } : { family: 6, value }
}

/** `10.0.0.1/8`; undefined where the text is no subnet. */
export function parseCidr(text: string): Cidr | undefined {
  const [head, tail, ...rest] = text.split('/')
  if (rest.length > 0 || head === undefined || tail === undefined || !/^(0|[1-9]\d{0,2})$/.test(tail))
    return undefined
  const ip = parseIp(head)
  const prefix = Number(tail)
  if (!ip || prefix > width(ip.family)) return undefined
  return cidr(ip, prefix)
}

/** The subnet of `prefix` bits around `ip`. */
export function cidr(ip: Ip, prefix: number): Cidr {
  const shift = BigInt(width(ip.family) - prefix)
  return { family: ip.family, address: ip.value, base: (ip.value >> shift) << shift, prefix }
}

/** How many addresses a subnet has. */
export const size = (net: Cidr): bigint => 1n << BigInt(width(net.family) - net.prefix)

/** The last address: the broadcast address of an IPv4 subnet. */
export const last = (net: Cidr): bigint => net.base + size(net) - 1n

export function contains(net: Cidr, ip: Ip): boolean {
  return net.family === ip.family && ip.value >= net.base && ip.value <= last(net)
}

export function overlaps(a: Cidr, b: Cidr): boolean {
  return a.family === b.family && a.base <= last(b) && b.base <= last(a)
}

export function within(outer: Cidr, inner: Cidr): boolean {
  return outer.family === inner.family && inner.base >= outer.base && last(inner) <= last(outer)
}

export const formatCidr = (net: Cidr): string =>
  `${formatIp({ family: net.family, value: net.base })}/${net.prefix}`

/** The usual text: dotted, or RFC 5952. */
export function formatIp(ip: Ip): string {
  const bytes = ipBytes(ip)
  if (ip.family === 4) return bytes.join('.')
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! << 8) | bytes[2 * i + 1]!)
  let [best, bestLength] = [-1, 1]
  for (let start = 0; start < 8; start++) {
    let length = 0
    while (start + length < 8 && groups[start + length] === 0) length++
    if (length > bestLength) [best, bestLength] = [start, length]
  }
  const hex = (part: number[]) => part.map(group => group.toString(16)).join(':')
  return best < 0 ? hex(groups) : `${hex(groups.slice(0, best))}::${hex(groups.slice(best + bestLength))}`
}

/** Network byte order: 4 or 16 bytes. */
export function ipBytes(ip: Ip): Uint8Array {
  const bytes = new Uint8Array(width(ip.family) / 8)
  if (ip.family === 4) {
    new DataView(bytes.buffer).setUint32(0, Number(ip.value))
    return bytes
  }
  const view = new DataView(bytes.buffer)
  view.setBigUint64(0, ip.value >> 64n)
  view.setBigUint64(8, ip.value & 0xffffffffffffffffn)
  return bytes
}

export function ipFromBytes(bytes: Uint8Array): Ip {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.byteLength === 4) return { family: 4, value: BigInt(view.getUint32(0)) }
  return { family: 6, value: (view.getBigUint64(0) << 64n) | view.getBigUint64(8) }
}

/** The bytes of an address that is known to be one (it comes from this room, or was checked before). */
export function addressBytes(text: string): Uint8Array {
  const ip = parseIp(text)
  if (!ip) throw new TypeError(`not an IP address: '${text}'`)
  return ipBytes(ip)
}

function v4Number(text: string): number {
  return text.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
}

function v6Bytes(text: string): number[] {
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text)
  let source = text
  if (dotted) {
    const v4 = v4Number(dotted[2]!)
    source = `${dotted[1]}${(v4 >>> 16).toString(16)}:${(v4 & 0xffff).toString(16)}`
  }
  const [head = '', tail] = source.split('::')
  const groups = (part: string) =>
    part === '' ? [] : part.split(':').map(group => Number.parseInt(group, 16))
  const left = groups(head)
  const right = tail === undefined ? [] : groups(tail)
  const all = [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right]
  return all.flatMap(group => [group >> 8, group & 0xff])
}
