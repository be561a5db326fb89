/**
 * The network namespace that the daemon runs in, as this room changes it: its links, addresses and routes, its packet rules,
 * its /proc/sys/net. One connection each, kept open.
 */
import * as fs from 'node:fs'
import { hasCode } from '../errors.ts'
import { NETLINK_NETFILTER, NETLINK_ROUTE } from '../linux/index.ts'
import { KeyedMutex } from '../mutex.ts'
import type { Cidr } from './ip.ts'
import { type Address, listAddresses, readAddress } from './netlink/address.ts'
import { Netlink } from './netlink/connection.ts'
import { deleteConnection, listConnections, readConnection } from './netlink/conntrack.ts'
import { deleteLink, getLink, type Link, listLinks, readLink } from './netlink/link.ts'
import type { Request } from './netlink/message.ts'
import { listChains, readBaseChain } from './netlink/nft-dump.ts'
import * as nft from './netlink/nftables.ts'
import { listRoutes, RT_TABLE_MAIN, RTN_UNICAST, readRoute } from './netlink/route.ts'

const UDP = 17

export class HostNetwork {
  readonly route: Netlink
  /** Names this namespace where a socket has to be opened in it. */
  readonly netnsFd: number
  readonly #filter: Netlink

  constructor() {
    this.netnsFd = fs.openSync('/proc/self/ns/net', 'r')
    this.route = Netlink.open(NETLINK_ROUTE)
    this.#filter = Netlink.open(NETLINK_NETFILTER)
  }

  /** All of these rules or none. */
  rules(requests: readonly Request[]): void {
    this.#filter.transaction(nft.begin, requests, nft.end)
  }

  /** Whether an object of the packet rules is there. */
  hasRule(request: Request): boolean {
    try {
      this.#filter.get(request)
      return true
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return false
      throw error
    }
  }

  /**
   * Forget UDP conversations to `ports` of this host: one that began before a rule, or outlives it, would go where it went
   * for as long as it lasts.
   */
  forgetUdp(ports: ReadonlySet<number>): void {
    for (const family of [4, 6] as const) {
      const stale = this.#filter.dump(listConnections(family)).flatMap(message => {
        const connection = readConnection(message)
        const hit = connection?.original.protocol === UDP && ports.has(connection.original.destinationPort)
        return hit ? [deleteConnection(connection)] : []
      })
      this.#filter.attempt(stale) // some end by themselves meanwhile
    }
  }

  links(): Link[] {
    return this.route.dump(listLinks).map(readLink)
  }

  /** By name or ifindex. */
  link(ref: string | number): Link | undefined {
    try {
      return readLink(this.route.get(getLink(ref)))
    } catch (error) {
      if (hasCode(error, 'ENODEV')) return undefined
      throw error
    }
  }

  readonly #removals = new KeyedMutex()

  /**
   * Take away the link of an ifindex, in this namespace or in `netnsFd`; one that is gone is fine. The kernel needs 20 ms until
   * no processor knows it any more, and only then this is done; the caller's thread goes on meanwhile.
   */
  removeLink(index: number, netnsFd?: number): Promise<void> {
    return this.#removals.run('', async () => {
      const connection = Netlink.open(NETLINK_ROUTE, netnsFd)
      try {
        await connection.runAside(deleteLink(index))
      } catch (error) {
        if (!hasCode(error, 'ENODEV')) throw error
      } finally {
        connection.close()
      }
    })
  }

  addresses(): Address[] {
    return this.route.dump(listAddresses).flatMap(message => readAddress(message) ?? [])
  }

  /** What the host reaches other than by its default route, and is therefore not free for a network. */
  routedNetworks(): Cidr[] {
    return this.route.dump(listRoutes).flatMap(message => {
      const route = readRoute(message)
      const taken = route?.table === RT_TABLE_MAIN && route.kind === RTN_UNICAST && route.destination
      return taken && taken.prefix > 0 ? [taken] : []
    })
  }

  /** `net.ipv4.ip_forward`, … with dots or, where a name has dots itself, slashes; undefined where there is no such thing. */
  sysctl(name: string): string | undefined {
    try {
      return fs.readFileSync(sysctlPath(name), 'utf8').trim()
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return undefined
      throw error
    }
  }

  /** Interfaces that are set to forward packets, whatever the host as a whole does. */
  forwardingInterfaces(version: 4 | 6): string[] {
    const folder = `/proc/sys/net/ipv${version}/conf`
    if (!fs.existsSync(folder)) return []
    return fs
      .readdirSync(folder)
      .filter(name => name !== 'all' && name !== 'default')
      .filter(name => this.sysctl(`net/ipv${version}/conf/${name}/forwarding`) === '1')
  }

  /** Chains that drop forwarded packets unless a rule of theirs lets them through. iptables' own (not nft's) are not seen. */
  droppingForwards(): { table: string; chain: string }[] {
    return this.#filter.dump(listChains).flatMap(message => {
      const chain = readBaseChain(message)
      return chain?.drops && chain.hook === nft.HOOKS.forward ? [chain] : []
    })
  }

  /** Answers whether it had to be changed. A setting that this kernel does not have stays so. */
  setSysctl(name: string, value: string): boolean {
    const now = this.sysctl(name)
    if (now === undefined || now === value) return false
    fs.writeFileSync(sysctlPath(name), value)
    return true
  }

  close(): void {
    this.route.close()
    this.#filter.close()
    fs.closeSync(this.netnsFd)
  }
}

const sysctlPath = (name: string): string =>
  `/proc/sys/${name.includes('/') ? name : name.replaceAll('.', '/')}`
