/**
 * The guard: a host that forwarded nothing before we came forwards nothing but containers' packets after.
 *
 * One table for all daemons of a host, since what one of them forbids no other can allow. Each puts its bridges into `bridges`,
 * guard or not; the daemon that turned forwarding on writes the chains.
 *
 * ```
 * table inet gantry-guard {
 *   set bridges   of every daemon
 *   forward4      } anything from or to a bridge is that daemon's affair, and what an administrator had let an interface
 *   forward6      } forward before stays so; the rest is dropped
 * }
 * ```
 */
import type { Request } from './netlink/message.ts'
import { accept, compare, drop, lookup, meta } from './netlink/nft-expressions.ts'
import * as nft from './netlink/nftables.ts'

const NFPROTO = { 4: 2, 6: 10 } as const

export const guardTable: nft.TableRef = { family: 'inet', table: 'gantry-guard' }

/** An interface's name as a set holds it. */
export function interfaceKey(name: string): Uint8Array {
  const bytes = new Uint8Array(16)
  bytes.set(Buffer.from(name).subarray(0, 15))
  return bytes
}

/** The table itself, whether it is there or not. */
export const shared: Request[] = [
  nft.addTable(guardTable),
  nft.addSet(guardTable, { name: 'bridges', key: ['interface'] }),
]

export const shareBridge = (name: string): Request[] =>
  nft.addElements(guardTable, 'bridges', [{ key: interfaceKey(name) }])

export const withdrawBridge = (name: string): Request[] =>
  nft.deleteElements(guardTable, 'bridges', [{ key: interfaceKey(name) }])

/** Forward nothing of an IP version but from and to bridges, and from interfaces that did before. */
export function guard(version: 4 | 6, forwarding: readonly string[]): Request[] {
  const chain = `forward${version}`
  const rule = (...expressions: Parameters<typeof nft.addRule>[2][]) =>
    nft.addRule(guardTable, chain, ...expressions)
  return [
    nft.addChain(guardTable, chain),
    nft.deleteChain(guardTable, chain),
    nft.addChain(guardTable, chain, { type: 'filter', hook: 'forward', priority: 0 }),
    rule([meta('iifname'), lookup('bridges')], accept),
    rule([meta('oifname'), lookup('bridges')], accept),
    ...forwarding.map(name => rule([meta('iifname'), compare('==', interfaceKey(name))], accept)),
    rule([meta('nfproto'), compare('==', Uint8Array.of(NFPROTO[version]))], drop),
  ]
}
