/**
 * The rules within a bridge, where a network has `icc` off: its ports reach each other only along links. Two ports of one bridge
 * never meet the rules of {@link file://./ruleset.ts}, which see only what is routed.
 *
 * ```
 * table bridge gantry
 *   forward         from one isolated port to another: between_ports
 *   between_ports   ARP, neighbour discovery, what a link allows and the answers to it; nothing else
 * ```
 */
import { interfaceKey } from './guard.ts'
import { addressBytes } from './ip.ts'
import type { Request } from './netlink/message.ts'
import { accept, compare, drop, goto, lookup, meta, payload, reg } from './netlink/nft-expressions.ts'
import * as nft from './netlink/nftables.ts'
import { from, HEADERS, PROTOCOLS, portBytes, to } from './packet.ts'
import type { Protocol } from './types.ts'

/** `icc` is off: `client` may reach `port` of `server`. */
export interface LinkRule {
  client: string
  server: string
  protocol: Protocol
  port: number
}

export class PortIsolation {
  readonly table: nft.TableRef

  constructor(name: string) {
    this.table = { family: 'bridge', table: name }
  }

  clear(): Request[] {
    return [nft.addTable(this.table), nft.deleteTable(this.table)]
  }

  rebuild(isolatedPorts: string[], links: LinkRule[]): Request[] {
    const { table } = this
    const allowed = (version: 4 | 6, direction: 'there' | 'back') => {
      const { source, destination, length, nfproto } = HEADERS[version]
      const [client, server] = direction === 'there' ? [source, destination] : [destination, source]
      const words = length / 4
      const protocolOffset = version === 4 ? 9 : 6
      return nft.addRule(
        table,
        'between_ports',
        meta('protocol'),
        compare('==', nfproto === 2 ? Uint8Array.of(0x08, 0x00) : Uint8Array.of(0x86, 0xdd)),
        payload('network', client, length, reg(0)),
        payload('network', server, length, reg(words)),
        payload('network', protocolOffset, 1, reg(2 * words)),
        payload('transport', direction === 'there' ? 2 : 0, 2, reg(2 * words + 1)),
        lookup(`links${version}`),
        accept,
      )
    }
    return [
      nft.addTable(table),
      nft.deleteTable(table),
      nft.addTable(table),
      nft.addSet(table, { name: 'isolated', key: ['interface'] }),
      nft.addSet(table, { name: 'links4', key: ['ipv4', 'ipv4', 'protocol', 'port'] }),
      nft.addSet(table, { name: 'links6', key: ['ipv6', 'ipv6', 'protocol', 'port'] }),
      nft.addChain(table, 'between_ports'),
      nft.addChain(table, 'forward', { type: 'filter', hook: 'forward', priority: -200 }),
      nft.addRule(table, 'forward', from('isolated'), to('isolated'), goto('between_ports')),
      nft.addRule(
        table,
        'between_ports',
        meta('protocol'),
        compare('==', Uint8Array.of(0x08, 0x06)), // ARP
        accept,
      ),
      nft.addRule(
        table,
        'between_ports', // neighbour solicitation and advertisement
        meta('protocol'),
        compare('==', Uint8Array.of(0x86, 0xdd)),
        payload('network', 6, 1),
        compare('==', Uint8Array.of(58)),
        payload('transport', 0, 1),
        compare('>=', Uint8Array.of(135)),
        compare('<=', Uint8Array.of(136)),
        accept,
      ),
      allowed(4, 'there'),
      allowed(4, 'back'),
      allowed(6, 'there'),
      allowed(6, 'back'),
      nft.addRule(table, 'between_ports', drop),
      ...this.isolatePorts(isolatedPorts),
      ...this.addLinks(links),
    ]
  }

  isolatePorts(names: string[]): Request[] {
    return nft.addElements(
      this.table,
      'isolated',
      names.map(name => ({ key: interfaceKey(name) })),
    )
  }

  releasePorts(names: string[]): Request[] {
    return nft.deleteElements(
      this.table,
      'isolated',
      names.map(name => ({ key: interfaceKey(name) })),
    )
  }

  addLinks(links: LinkRule[]): Request[] {
    return byLinkSet(links).flatMap(([set, elements]) => nft.addElements(this.table, set, elements))
  }

  removeLinks(links: LinkRule[]): Request[] {
    return byLinkSet(links).flatMap(([set, elements]) => nft.deleteElements(this.table, set, elements))
  }
}

function byLinkSet(links: LinkRule[]): [set: string, elements: nft.Element[]][] {
  const sets = new Map<string, nft.Element[]>()
  for (const link of links) {
    const parts = [addressBytes(link.client), addressBytes(link.server)]
    const set = parts[0]!.length === 4 ? 'links4' : 'links6'
    const key = nft.concatenate([...parts, Uint8Array.of(PROTOCOLS[link.protocol]), portBytes(link.port)])
    sets.set(set, [...(sets.get(set) ?? []), { key }])
  }
  return [...sets]
}
