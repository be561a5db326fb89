/**
 * One running container's network: its namespace, its endpoints, its ways out and its published ports. The state is here;
 * what the state says to the rest of the host (rules, names, files) is {@link file://./networks.ts}' work.
 */
import { randomBytes } from 'node:crypto'
import { invalid } from '../errors.ts'
import { allocateAddress, homeOf, type Network } from './catalog.ts'
import type { Driver } from './drivers/driver.ts'
import type { Endpoint } from './endpoint.ts'
import type { Upstream } from './files.ts'
import { type Cidr, cidr, type Family, type Ip, parseIp } from './ip.ts'
import type { Namespace } from './namespace.ts'
import { addRoute, deleteRoute } from './netlink/route.ts'
import type { Publication } from './publisher.ts'
import type { EndpointSpec, NetworkContainer } from './types.ts'

const IFNAME_OPTION = 'com.docker.network.endpoint.ifname'
const PREFIX_OPTION = 'com.docker.network.container_iface_prefix'

export interface Member {
  network: Network
  driver: Driver
  endpoint: Endpoint
}

export class ContainerNetwork {
  /** 64 hex digits. */
  readonly id: string
  container: NetworkContainer
  /** undefined with `host`. */
  readonly namespace: Namespace | undefined
  readonly members: Member[] = []
  publications: Publication[] = []
  /** Own addresses that published ports have led to. */
  readonly reflected = new Set<string>()
  upstreams: Upstream[] = []
  resolvConf = ''
  pid = 0
  #routes: Partial<Record<Family, string>> = {}

  constructor(container: NetworkContainer, namespace: Namespace | undefined, id?: string) {
    this.id = id ?? randomBytes(32).toString('hex')
    this.container = container
    this.namespace = namespace
  }

  member(networkId: string): Member | undefined {
    return this.members.find(member => member.network.record.id === networkId)
  }

  /** Make an endpoint: addresses, interface. On an error nothing is left. */
  join(network: Network, driver: Driver, spec: EndpointSpec): Member {
    const endpoint: Endpoint = {
      id: randomBytes(32).toString('hex'),
      networkId: network.record.id,
      spec,
      ipv4: undefined,
      ipv6: undefined,
      mac: '',
      interfaceName: '',
      hostInterface: undefined,
    }
    const member = { network, driver, endpoint }
    if (!this.namespace) {
      this.members.push(member)
      return member
    }
    try {
      endpoint.ipv4 = withPrefix(network, allocateAddress(network, 4, spec.ipv4Address))
      endpoint.ipv6 = withPrefix(network, allocateAddress(network, 6, spec.ipv6Address))
      endpoint.interfaceName = this.#interfaceName(network, spec)
      const attached = driver.attach(network.record, {
        namespace: this.namespace,
        interfaceName: endpoint.interfaceName,
        ipv4: endpoint.ipv4,
        ipv6: endpoint.ipv6,
        linkLocal: (spec.linkLocalIps ?? []).map(linkLocal),
        mac: spec.macAddress,
        driverOpts: spec.driverOpts ?? {},
      })
      endpoint.mac = attached.mac
      endpoint.hostInterface = attached.hostInterface
    } catch (error) {
      releaseAddresses(member)
      throw error
    }
    this.members.push(member)
    return member
  }

  /** Take back an endpoint that an earlier life of the daemon made. */
  resume(network: Network, driver: Driver, endpoint: Endpoint): void {
    for (const net of [endpoint.ipv4, endpoint.ipv6]) {
      if (net) homeOf(network, ipOf(net))?.claim(ipOf(net))
    }
    this.members.push({ network, driver, endpoint })
  }

  /** Unmake an endpoint of a container that runs on. It is a member until the interface is gone. */
  async leave(member: Member): Promise<void> {
    const { network, driver, endpoint } = member
    if (this.namespace) {
      await driver.detach(network.record, this.namespace, endpoint.interfaceName, {
        mac: endpoint.mac,
        hostInterface: endpoint.hostInterface,
      })
    }
    const place = this.members.indexOf(member)
    if (place < 0) return // the container ended meanwhile
    this.members.splice(place, 1)
    releaseAddresses(member)
    // The kernel took the routes along with the interface.
    for (const family of [4, 6] as const) {
      if (this.#routes[family] === endpoint.id) delete this.#routes[family]
    }
    this.updateRoutes()
  }

  /** Which endpoint leads out: the highest priority, then the name that sorts first. */
  gateway(family: Family): Member | undefined {
    return [...this.members]
      .sort(byPriority)
      .find(
        ({ network, driver, endpoint }) =>
          (family === 4 ? endpoint.ipv4 : endpoint.ipv6) && driver.defaultRoute(network.record, family),
      )
  }

  /** Make the namespace's default routes what {@link gateway} says. */
  updateRoutes(): void {
    if (!this.namespace) return
    for (const family of [4, 6] as const) {
      const member = this.gateway(family)
      if (this.#routes[family] === member?.endpoint.id) continue
      if (!member) {
        this.namespace.route.attempt([deleteRoute({ family })])
        delete this.#routes[family]
        continue
      }
      const route = member.driver.defaultRoute(member.network.record, family)!
      const link = this.namespace.link(member.endpoint.interfaceName).index
      if (family === 6 && this.#routes[6]) this.namespace.route.attempt([deleteRoute({ family })])
      this.namespace.route.run(addRoute({ family, link, gateway: route.gateway }, { replace: true }))
      this.#routes[family] = member.endpoint.id
    }
  }

  /** After a restart of the daemon: the routes are there. */
  assumeRoutes(): void {
    for (const family of [4, 6] as const) {
      const id = this.gateway(family)?.endpoint.id
      if (id) this.#routes[family] = id
    }
  }

  /** Give back addresses and the namespace. Interfaces go with it. */
  close(): void {
    for (const publication of this.publications) publication.release()
    this.publications = []
    for (const member of this.members.splice(0)) {
      const { driver, endpoint } = member
      if (this.namespace && endpoint.interfaceName) {
        driver.retire(this.namespace, endpoint.interfaceName, {
          mac: endpoint.mac,
          hostInterface: endpoint.hostInterface,
        })
      }
      releaseAddresses(member)
    }
    this.namespace?.close()
  }

  #interfaceName(network: Network, spec: EndpointSpec): string {
    const asked = spec.driverOpts?.[IFNAME_OPTION]
    const taken = new Set(this.members.map(member => member.endpoint.interfaceName))
    if (asked) {
      if (asked.length > 15 || /[\s/]/.test(asked) || asked === 'lo')
        throw invalid(`invalid interface name: ${asked}`)
      if (taken.has(asked)) throw invalid(`interface name ${asked} is already in use`)
      return asked
    }
    const prefix = network.record.options[PREFIX_OPTION] || 'eth'
    let index = 0
    while (taken.has(`${prefix}${index}`)) index++
    return `${prefix}${index}`
  }
}

function byPriority(a: Member, b: Member): number {
  const priority = (member: Member) => member.endpoint.spec.gatewayPriority ?? 0
  return priority(b) - priority(a) || (a.network.record.name < b.network.record.name ? -1 : 1)
}

/** With the prefix that link-local addresses have: 169.254.0.0/16, fe80::/64. */
function linkLocal(text: string): Cidr {
  const ip = parseIp(text)
  if (!ip) throw invalid(`invalid link-local IP address: ${text}`)
  return cidr(ip, ip.family === 4 ? 16 : 64)
}

const ipOf = (net: Cidr): Ip => ({ family: net.family, value: net.address })

function withPrefix(network: Network, ip: Ip | undefined): Cidr | undefined {
  const home = ip && homeOf(network, ip)
  return ip && home && cidr(ip, home.net.prefix)
}

function releaseAddresses({ network, endpoint }: Member): void {
  for (const net of [endpoint.ipv4, endpoint.ipv6]) if (net) homeOf(network, ipOf(net))?.release(ipOf(net))
  endpoint.ipv4 = undefined
  endpoint.ipv6 = undefined
}
