/** What a container's three files say, given where it is: its networks, links, and what the daemon was told. */
import * as fs from 'node:fs'
import { hasCode } from '../errors.ts'
import type { Catalog } from './catalog.ts'
import type { ContainerNetwork } from './container.ts'
import { addressOf } from './endpoint.ts'
import { extraHosts, type HostsEntry, hostsFile, ownNames, type ResolvResult, resolvConf } from './files.ts'
import { formatIp } from './ip.ts'
import { linkEnvironment } from './links.ts'
import { isUserDefined } from './record.ts'
import type { LinkTarget, NetworkConfig } from './types.ts'

export class ContainerFiles {
  readonly #config: NetworkConfig
  readonly #catalog: Catalog
  readonly #addressOfLinked: (target: LinkTarget) => string | undefined

  /** `addressOfLinked` tells where a running container is on the default bridge. */
  constructor(
    config: NetworkConfig,
    catalog: Catalog,
    addressOfLinked: (target: LinkTarget) => string | undefined,
  ) {
    this.#config = config
    this.#catalog = catalog
    this.#addressOfLinked = addressOfLinked
  }

  hosts(live: ContainerNetwork): string {
    const { container } = live
    const extra = extraHosts(container.extraHosts ?? [], this.#gateways())
    if (!live.namespace) return hostsFile(extra, hostsOfHost())
    return hostsFile([...extra, ...this.linkEntries(live), ...this.ownEntries(live)])
  }

  /** A line for each linked container that runs. */
  linkEntries(live: ContainerNetwork): HostsEntry[] {
    return (live.container.links ?? []).flatMap((target): HostsEntry[] => {
      const address = this.#addressOfLinked(target)
      const names = [...new Set([target.alias, target.hostname, target.name])]
      return address ? [{ address, names }] : []
    })
  }

  /** The container's own lines: one for each of its addresses. */
  ownEntries(live: ContainerNetwork): HostsEntry[] {
    const names = ownNames(live.container.hostname, live.container.domainname)
    return live.members.flatMap(({ endpoint }) =>
      [endpoint.ipv4, endpoint.ipv6].flatMap(net => (net ? [{ address: addressOf(net), names }] : [])),
    )
  }

  resolv(live: ContainerNetwork): ResolvResult {
    const { container, members, namespace } = live
    const pick = (own: string[] | undefined, common: string[] | undefined) =>
      own && own.length > 0 ? own : common && common.length > 0 ? common : undefined
    const mode = !namespace ? 'host' : this.servesNames(live) ? 'internal' : 'legacy'
    return resolvConf(
      mode,
      {
        nameservers: pick(container.dns, this.#config.dns),
        search: pick(container.dnsSearch, this.#config.dnsSearch),
        options: pick(container.dnsOptions, this.#config.dnsOpts),
      },
      { ipv6: members.some(({ endpoint }) => endpoint.ipv6 !== undefined) },
    )
  }

  /** Whether the container is on a network that has names. */
  servesNames(live: ContainerNetwork): boolean {
    return live.namespace !== undefined && live.members.some(({ network }) => isUserDefined(network.record))
  }

  linkEnvironment(live: ContainerNetwork): string[] {
    return (live.container.links ?? []).flatMap(target => {
      const address = this.#addressOfLinked(target)
      return address ? linkEnvironment(live.container.name, target, address) : []
    })
  }

  /** What `host-gateway` stands for: as daemon.json says, or the default bridge's own addresses. */
  #gateways(): string[] {
    const told = this.#config.hostGatewayIps
    if (told && told.length > 0) return told
    const bridge = this.#catalog.lookup('bridge')
    return (bridge?.subnets ?? []).flatMap(({ gateway }) => (gateway ? [formatIp(gateway)] : []))
  }
}

function hostsOfHost(): string {
  try {
    const text = fs.readFileSync('/etc/hosts', 'utf8')
    return text === '' || text.endsWith('\n') ? text : `${text}\n`
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return ''
    throw error
  }
}
