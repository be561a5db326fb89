/**
 * The packet rules of all networks, as one table that is written whole. What changes from container to container (bridges,
 * published ports, links) are elements of sets and maps, so a packet's way is as long with a thousand ports as with one.
 *
 * ```
 * table inet gantry {
 *   raw          prerouting  what comes from a bridge has no business with 127.0.0.0/8: closes what route_localnet opens
 *   prerouting   } a connection to an address of the host, whose port is published, goes to the container. 127.0.0.1 only
 *   output       } from the host itself; ::1 cannot leave `lo`: see publisher.ts
 *   postrouting  containers leave with the host's address; hairpins and the host's loopback with the bridge's
 *   forward      into a bridge only what was asked for from inside, or comes through a published port
 * }
 * ```
 */
import { guard, interfaceKey, shareBridge, shared, withdrawBridge } from './guard.ts'
import { addressBytes } from './ip.ts'
import type { Request } from './netlink/message.ts'
import {
  accept,
  addressType,
  bitwiseAnd,
  compare,
  conntrack,
  drop,
  type Expression,
  goto,
  jump,
  leave,
  lookup,
  masquerade,
  meta,
  nat,
  payload,
  reg,
} from './netlink/nft-expressions.ts'
import * as nft from './netlink/nftables.ts'
import { from, HEADERS, PROTOCOLS, portBytes, to, u32 } from './packet.ts'
import type { Protocol } from './types.ts'

/** What the rules know of one bridge. */
export interface BridgeRules {
  name: string
  internal: boolean
  masquerade4: boolean
  masquerade6: boolean
  /** Leave with this address rather than the outgoing interface's. */
  sourceAddress4?: string
  /** Anyone may come in, to any port (gateway mode `nat-unprotected`). */
  open: boolean
}

/** One way in: `hostIp` undefined is every address of the family. */
export interface PortRule {
  family: 4 | 6
  protocol: Protocol
  hostIp: string | undefined
  hostPort: number
  containerIp: string
  containerPort: number
  /** Not rewritten but let through to the container's own address (gateway mode `routed`). */
  direct?: boolean
}

const RTN_LOCAL = 2
const IPS_DST_NAT = 0x20
const ESTABLISHED_OR_RELATED = 0x6

const family = (version: 4 | 6): Expression[] => [
  meta('nfproto'),
  compare('==', Uint8Array.of(HEADERS[version].nfproto)),
]
const connectionIs = (bits: number, key: 'state' | 'status'): Expression[] => [
  conntrack(key),
  bitwiseAnd(u32(bits)),
  compare('!=', u32(0)),
]
const withinOneBridge: Expression[] = [
  meta('iifname', reg(0)),
  meta('oifname', reg(4)),
  lookup('same_bridge'),
]
const loopback4 = (which: 'source' | 'destination'): Expression[] => [
  ...family(4),
  payload('network', HEADERS[4][which], 1),
  compare('==', Uint8Array.of(127)),
]
const rewritten = connectionIs(IPS_DST_NAT, 'status')

export class Ruleset {
  readonly table: nft.TableRef

  constructor(name: string) {
    this.table = { family: 'inet', table: name }
  }

  /** Replace the table, whatever it holds. `guards`: IP versions to guard, with the interfaces that forwarded before. */
  rebuild(
    bridges: BridgeRules[],
    ports: PortRule[],
    reflected: Iterable<string> = [],
    guards: ReadonlyMap<4 | 6, readonly string[]> = new Map(),
  ): Request[] {
    return [
      nft.addTable(this.table),
      nft.deleteTable(this.table),
      nft.addTable(this.table),
      ...this.#sets(),
      ...this.#chains(),
      ...shared,
      ...bridges.flatMap(bridge => this.addBridge(bridge)),
      ...this.addPorts(ports),
      ...this.addReflections(reflected),
      ...[...guards].flatMap(([version, forwarding]) => guard(version, forwarding)),
    ]
  }

  /** For a host that has no network of ours. */
  clear(): Request[] {
    return [nft.addTable(this.table), nft.deleteTable(this.table)]
  }

  addBridge(bridge: BridgeRules): Request[] {
    const elements = this.#bridgeElements(bridge)
    return [
      ...elements.flatMap(([set, element]) => nft.addElements(this.table, set, [element])),
      ...shareBridge(bridge.name),
    ]
  }

  removeBridge(bridge: BridgeRules): Request[] {
    const elements = this.#bridgeElements(bridge)
    return [
      ...elements.flatMap(([set, element]) => nft.deleteElements(this.table, set, [element])),
      ...withdrawBridge(bridge.name),
    ]
  }

  addPorts(ports: PortRule[]): Request[] {
    return bySet(ports).flatMap(([set, elements]) => nft.addElements(this.table, set, elements))
  }

  removePorts(ports: PortRule[]): Request[] {
    return bySet(ports).flatMap(([set, elements]) => nft.deleteElements(this.table, set, elements))
  }

  /** Containers that published ports lead to reach those ports themselves. */
  addReflections(addresses: Iterable<string>): Request[] {
    return reflections(addresses).flatMap(([set, element]) => nft.addElements(this.table, set, [element]))
  }

  removeReflections(addresses: Iterable<string>): Request[] {
    return reflections(addresses).flatMap(([set, element]) => nft.deleteElements(this.table, set, [element]))
  }

  #sets(): Request[] {
    const { table } = this
    const sets: nft.SetSpec[] = [
      { name: 'bridges', key: ['interface'] },
      { name: 'same_bridge', key: ['interface', 'interface'] },
      { name: 'internal', key: ['interface'] },
      { name: 'open', key: ['interface'] },
      { name: 'source4', key: ['interface'], data: ['ipv4'] },
    ]
    for (const version of [4, 6] as const) {
      const address = HEADERS[version].type
      sets.push(
        { name: `masquerade${version}`, key: ['interface'] },
        { name: `ports${version}`, key: ['protocol', address, 'port'], data: [address, 'port'] },
        { name: `any${version}`, key: ['protocol', 'port'], data: [address, 'port'] },
        { name: `direct${version}`, key: ['protocol', address, 'port'] },
        { name: `itself${version}`, key: [address, address] },
      )
    }
    return sets.map(set => nft.addSet(table, set))
  }

  #chains(): Request[] {
    const { table } = this
    const rule = (chain: string, ...expressions: (Expression | Expression[])[]) =>
      nft.addRule(table, chain, ...expressions)
    const toHost = [addressType('destination'), compare('==', u32(RTN_LOCAL))]
    return [
      nft.addChain(table, 'published'),
      nft.addChain(table, 'published4'),
      nft.addChain(table, 'published6'),
      nft.addChain(table, 'inbound'),
      nft.addChain(table, 'raw', { type: 'filter', hook: 'prerouting', priority: -300 }),
      nft.addChain(table, 'prerouting', { type: 'nat', hook: 'prerouting', priority: -100 }),
      nft.addChain(table, 'output', { type: 'nat', hook: 'output', priority: -100 }),
      nft.addChain(table, 'postrouting', { type: 'nat', hook: 'postrouting', priority: 100 }),
      nft.addChain(table, 'forward', { type: 'filter', hook: 'forward', priority: 0 }),

      rule('raw', loopback4('destination'), from('bridges'), drop),
      rule('raw', loopback4('source'), from('bridges'), drop),

      rule('prerouting', loopback4('destination'), leave),
      rule('prerouting', toHost, jump('published')),
      rule('output', toHost, jump('published')),
      rule('published', family(4), goto('published4')),
      rule('published', family(6), goto('published6')),
      rule('published6', payload('network', 24, 16), compare('==', addressBytes('::1')), leave),
      ...([4, 6] as const).flatMap(version => [
        rule(`published${version}`, destinationKey(version), rewriteBy(`ports${version}`, version)),
        rule(
          `published${version}`,
          [meta('l4proto', reg(0)), payload('transport', 2, 2, reg(1))],
          rewriteBy(`any${version}`, version),
        ),
      ]),

      rule('postrouting', withinOneBridge, rewritten, masquerade),
      // The same where br_netfilter carries it, which does not say where a bridged packet came in.
      ...([4, 6] as const).map(version => {
        const { source, destination, length } = HEADERS[version]
        return rule(
          'postrouting',
          to('bridges'),
          family(version),
          payload('network', source, length, reg(0)),
          payload('network', destination, length, reg(length / 4)),
          lookup(`itself${version}`),
          masquerade,
        )
      }),
      rule('postrouting', withinOneBridge, accept),
      rule('postrouting', loopback4('source'), to('bridges'), masquerade),
      rule(
        'postrouting',
        family(4),
        meta('iifname'),
        lookup('source4', { into: reg(8) }),
        nat('snat', 4, { address: reg(8) }),
      ),
      rule('postrouting', family(4), from('masquerade4'), masquerade),
      rule('postrouting', family(6), from('masquerade6'), masquerade),

      rule('forward', connectionIs(ESTABLISHED_OR_RELATED, 'state'), accept),
      rule('forward', withinOneBridge, accept),
      rule('forward', from('internal'), drop),
      rule('forward', to('internal'), drop),
      rule('forward', to('bridges'), goto('inbound')),
      rule('forward', from('bridges'), accept),

      rule('inbound', rewritten, accept),
      rule('inbound', from('bridges'), drop),
      rule('inbound', to('open'), accept),
      ...([4, 6] as const).map(version =>
        rule('inbound', family(version), destinationKey(version), lookup(`direct${version}`), accept),
      ),
      rule('inbound', drop),
    ]
  }

  #bridgeElements(bridge: BridgeRules): [set: string, element: nft.Element][] {
    const key = interfaceKey(bridge.name)
    const elements: [string, nft.Element][] = [
      ['bridges', { key }],
      ['same_bridge', { key: nft.concatenate([key, key]) }],
    ]
    if (bridge.internal) elements.push(['internal', { key }])
    if (bridge.open) elements.push(['open', { key }])
    if (bridge.masquerade4) elements.push(['masquerade4', { key }])
    if (bridge.masquerade6) elements.push(['masquerade6', { key }])
    if (bridge.sourceAddress4) elements.push(['source4', { key, data: addressBytes(bridge.sourceAddress4) }])
    return elements
  }
}

/** Protocol, destination address and port, as the keys of `ports…` and `direct…`. */
function destinationKey(version: 4 | 6): Expression[] {
  const { destination, length } = HEADERS[version]
  return [
    meta('l4proto', reg(0)),
    payload('network', destination, length, reg(1)),
    payload('transport', 2, 2, reg(1 + length / 4)),
  ]
}

const rewriteBy = (map: string, version: 4 | 6): Expression[] => [
  lookup(map, { into: reg(8) }),
  nat('dnat', version, { address: reg(8), port: reg(8 + HEADERS[version].length / 4) }),
]

function bySet(ports: PortRule[]): [set: string, elements: nft.Element[]][] {
  const sets = new Map<string, nft.Element[]>()
  for (const port of ports) {
    const protocol = Uint8Array.of(PROTOCOLS[port.protocol])
    const target = [addressBytes(port.containerIp), portBytes(port.containerPort)]
    let set = `ports${port.family}`
    let element: nft.Element
    if (port.direct) {
      set = `direct${port.family}`
      element = { key: nft.concatenate([protocol, ...target]) }
    } else if (port.hostIp === undefined) {
      set = `any${port.family}`
      element = {
        key: nft.concatenate([protocol, portBytes(port.hostPort)]),
        data: nft.concatenate(target),
      }
    } else {
      element = {
        key: nft.concatenate([protocol, addressBytes(port.hostIp), portBytes(port.hostPort)]),
        data: nft.concatenate(target),
      }
    }
    const elements = sets.get(set)
    if (elements) elements.push(element)
    else sets.set(set, [element])
  }
  return [...sets]
}

function reflections(addresses: Iterable<string>): [set: string, element: nft.Element][] {
  return [...addresses].map(address => {
    const bytes = addressBytes(address)
    return [bytes.length === 4 ? 'itself4' : 'itself6', { key: nft.concatenate([bytes, bytes]) }]
  })
}
