/**
 * Everything that runs: the containers on their networks, with the rules, names, ports and files that follow from it. The
 * public face is {@link file://./networks.ts}; recovery is {@link file://./recover.ts}.
 */
import { forbidden, GantryError, internal, kindOf, messageOf } from '../errors.ts'
import { type Logger, silent } from '../logger.ts'
import { Catalog, type Network } from './catalog.ts'
import { ContainerNetwork, type Member } from './container.ts'
import { ContainerFiles } from './container-files.ts'
import { NameService } from './dns/service.ts'
import { BridgeDriver, bridgeOptions, bridgeRules } from './drivers/bridge.ts'
import type { Driver } from './drivers/driver.ts'
import { ParentDriver } from './drivers/parent.ts'
import { hostDriver, nullDriver } from './drivers/plain.ts'
import { addressOf, describeEndpoint, interfaceSysctls } from './endpoint.ts'
import { editHosts, replaceNamed } from './files.ts'
import { HostNetwork } from './host.ts'
import { tableName } from './identity.ts'
import { namespaceReserve } from './namespace.ts'
import { portMap, portRequests } from './ports.ts'
import { PublishedPorts, rulesOf } from './published.ts'
import type { PortTarget } from './publisher.ts'
import { allLinks, isRestricted, restrict, unrestrict } from './restrictions.ts'
import { Rules } from './rules.ts'
import { SandboxStore } from './sandbox-store.ts'
import type {
  EndpointSpec,
  NetworkConfig,
  NetworkContainer,
  NetworksOptions,
  PortMap,
  Sandbox,
} from './types.ts'

export class Live {
  readonly options: NetworksOptions
  readonly config: NetworkConfig
  readonly logger: Logger
  readonly host: HostNetwork
  readonly catalog: Catalog
  readonly drivers: ReadonlyMap<string, Driver>
  readonly bridges: BridgeDriver
  readonly rules: Rules
  readonly names = new NameService()
  readonly namespaces = namespaceReserve()
  readonly store: SandboxStore
  readonly files: ContainerFiles
  readonly published: PublishedPorts
  /** By container id. */
  readonly containers = new Map<string, ContainerNetwork>()

  constructor(options: NetworksOptions) {
    this.options = options
    this.config = options.config ?? {}
    this.logger = options.logger ?? silent
    const mark = tableName(options.dataRoot)
    this.host = new HostNetwork()
    this.bridges = new BridgeDriver(this.host, mark)
    this.drivers = new Map<string, Driver>(
      [
        this.bridges,
        new ParentDriver('macvlan', this.host, mark),
        new ParentDriver('ipvlan', this.host, mark),
        hostDriver,
        nullDriver,
      ].map(driver => [driver.name, driver]),
    )
    this.catalog = new Catalog(options.dataRoot, this.config.defaultAddressPools, () =>
      this.host.routedNetworks(),
    )
    this.store = new SandboxStore(options.execRoot)
    this.rules = new Rules(this.host, mark, this.logger, () => this.#ruleState())
    this.files = new ContainerFiles(this.config, this.catalog, target => {
      const bridge = this.catalog.lookup('bridge')?.record.id
      const endpoint = bridge && this.containers.get(target.id)?.member(bridge)?.endpoint
      return endpoint ? addressOf(endpoint.ipv4) || undefined : undefined
    })
    this.published = new PublishedPorts(this)
  }

  driverOf(network: Network): Driver {
    const driver = this.drivers.get(network.record.driver)
    if (!driver)
      throw internal(`network ${network.record.name} has an unknown driver: ${network.record.driver}`)
    return driver
  }

  /** The networks that a container is on, by name: those of a request, and the one of its network mode where that is missing. */
  complete({ networkMode, endpoints = {} }: NetworkContainer): Record<string, EndpointSpec> {
    const nameOf = (ref: string) => this.catalog.lookup(ref)?.record.name ?? ref
    const mode = nameOf(modeOf(networkMode))
    const complete = Object.fromEntries(
      Object.entries(endpoints).map(([ref, spec]) => [nameOf(modeOf(ref)), spec]),
    )
    const isNamed = Object.keys(complete).length > 0 && (mode === 'bridge' || mode in complete)
    return isNamed ? complete : { [mode]: {}, ...complete }
  }

  /** The networks that a container starts on. That of its mode comes first, others by name: `eth0` is the one that a person means. */
  wanted(container: NetworkContainer): { ref: string; spec: EndpointSpec }[] {
    const home = modeOf(container.networkMode)
    const network = this.catalog.lookup(home)
    const isHome = (ref: string) => ref === home || (network && this.catalog.lookup(ref) === network)
    return Object.entries(container.endpoints ?? this.complete(container))
      .map(([ref, spec]) => ({ ref, spec }))
      .sort(
        (a, b) =>
          Number(isHome(b.ref)) - Number(isHome(a.ref)) || (a.ref < b.ref ? -1 : a.ref > b.ref ? 1 : 0),
      )
  }

  /** Forward packets of an IP version. Where that was off, everything that is not ours stays unforwarded. */
  allowForwarding(version: 4 | 6): void {
    const names =
      version === 4
        ? ['net.ipv4.ip_forward']
        : ['net.ipv6.conf.all.forwarding', 'net.ipv6.conf.default.forwarding']
    const before = this.host.forwardingInterfaces(version)
    const changed = names.map(name => this.host.setSysctl(name, '1'))
    if (!changed[0] || this.rules.guards.has(version)) return
    this.rules.guards.set(version, before)
    this.store.saveGuards(this.rules.guards)
    this.rules.rebuild()
  }

  attach(container: NetworkContainer): Sandbox {
    try {
      return this.#attach(container)
    } catch (error) {
      throw new GantryError(kindOf(error), `failed to set up container networking: ${messageOf(error)}`, {
        cause: error,
      })
    }
  }

  #attach(container: NetworkContainer): Sandbox {
    if (this.containers.has(container.id)) throw internal(`container ${container.id} has a network already`)
    const networks = this.wanted(container).map(({ ref, spec }) => ({ network: this.#find(ref), spec }))
    if (networks.some(({ network }) => network.record.configOnly)) {
      throw forbidden('cannot create endpoint on configuration-only network')
    }
    const onHost = networks.some(({ network }) => network.record.driver === 'host')
    const live = new ContainerNetwork(container, onHost ? undefined : this.namespaces.take())
    this.containers.set(container.id, live)
    try {
      for (const { network, spec } of networks) live.join(network, this.driverOf(network), spec)
      live.updateRoutes()
      live.publications = this.published.open(live, portRequests(container))
      for (const member of live.members) this.names.add(live, member)
      const resolv = this.files.resolv(live)
      live.upstreams = resolv.upstreams
      live.resolvConf = resolv.text
      if (this.files.servesNames(live)) this.names.serve(live)
      this.rules.change([
        ...this.published.add(live, live.publications),
        ...restrict(this, live, live.members),
      ])
      this.store.save(live)
    } catch (error) {
      this.drop(live)
      throw error
    }
    this.published.forgetUdp(live.publications)
    for (const member of live.members) this.tell('connect', member, live)
    this.#tellLinking(live)
    return this.sandbox(live)
  }

  sandbox(live: ContainerNetwork): Sandbox {
    return {
      id: live.id,
      key: this.keyOf(live),
      netnsFd: live.namespace?.fd,
      endpoints: this.endpoints(live),
      ports: this.ports(live),
      hosts: this.files.hosts(live),
      resolvConf: live.resolvConf,
      hostnameFile: `${live.container.hostname}\n`,
      linkEnv: this.files.linkEnvironment(live),
      sysctls: Object.assign({}, ...live.members.map(({ endpoint }) => interfaceSysctls(endpoint))),
    }
  }

  keyOf(live: ContainerNetwork): string {
    if (!live.namespace) return '/proc/1/ns/net'
    return live.pid ? `/proc/${live.pid}/ns/net` : ''
  }

  endpoints(live: ContainerNetwork): Sandbox['endpoints'] {
    return Object.fromEntries(
      live.members.map(({ network, endpoint }) => [
        network.record.name,
        describeEndpoint(network.record, live.container, endpoint.spec, endpoint),
      ]),
    )
  }

  /** Published and exposed ports; nothing where the container has no way out. */
  ports(live: ContainerNetwork): PortMap {
    if (!live.gateway(4) && !live.gateway(6)) return {}
    return portMap(live.container.exposedPorts ?? [], live.publications)
  }

  async connect(live: ContainerNetwork, network: Network, spec: EndpointSpec): Promise<void> {
    const before = this.published.target(live)
    const member = live.join(network, this.driverOf(network), spec)
    try {
      live.updateRoutes()
      this.names.add(live, member)
      this.#settle(live, before)
      this.rules.change(restrict(this, live, [member]))
      this.store.save(live)
    } catch (error) {
      this.names.remove(member.endpoint.id)
      await live.leave(member)
      throw error
    }
    this.tell('connect', member, live)
    this.#editFiles(live, [])
  }

  async disconnect(live: ContainerNetwork, member: Member): Promise<void> {
    const before = this.published.target(live)
    const addresses = [addressOf(member.endpoint.ipv4), addressOf(member.endpoint.ipv6)].filter(Boolean)
    this.names.remove(member.endpoint.id)
    const undo = unrestrict(this, [member])
    try {
      await live.leave(member)
    } catch (error) {
      this.names.add(live, member)
      throw error
    }
    if (this.containers.get(live.container.id) !== live) return // it ended meanwhile
    this.rules.change(undo)
    this.#settle(live, before)
    this.store.save(live)
    this.tell('disconnect', member, live)
    this.#editFiles(live, addresses)
  }

  /** The container ended: nothing of it stays. */
  release(live: ContainerNetwork): void {
    const members = [...live.members]
    this.drop(live)
    for (const member of members) this.tell('disconnect', member, live)
  }

  drop(live: ContainerNetwork): void {
    const undo = [
      ...unrestrict(this, live.members),
      ...this.rules.set.removePorts(rulesOf(live.publications)),
      ...this.rules.set.removeReflections(live.reflected),
    ]
    this.containers.delete(live.container.id)
    this.names.stop(live)
    for (const { endpoint } of live.members) this.names.remove(endpoint.id)
    try {
      this.rules.change(undo)
    } catch (error) {
      this.logger.error('removing the packet rules of a container failed', {
        container: live.container.id,
        error: messageOf(error),
      })
    }
    const publications = live.publications
    live.close()
    this.published.forgetUdp(publications)
    this.store.delete(live.container.id)
  }

  tell(action: 'connect' | 'disconnect', { network: { record } }: Member, live: ContainerNetwork): void {
    this.options.onEvent?.(action, record.id, {
      container: live.container.id,
      name: record.name,
      type: record.driver,
    })
  }

  rename(live: ContainerNetwork, name: string): void {
    live.container = { ...live.container, name }
    for (const member of live.members) {
      this.names.remove(member.endpoint.id)
      this.names.add(live, member)
    }
  }

  #find(ref: string): Network {
    const network = this.catalog.lookup(ref)
    return network ?? this.catalog.find(ref)
  }

  /** After a change of endpoints: ports follow the way out, names are served where there are any. */
  #settle(live: ContainerNetwork, before: PortTarget | undefined): void {
    this.published.follow(live, before)
    if (this.files.servesNames(live)) {
      this.names.serve(live)
      live.upstreams = this.files.resolv(live).upstreams
    } else {
      this.names.stop(live)
    }
  }

  /** Own lines of /etc/hosts come and go; resolv.conf changes where it is still as we wrote it. */
  #editFiles(live: ContainerNetwork, goneAddresses: string[]): void {
    const previous = live.resolvConf
    const next = this.files.resolv(live).text
    live.resolvConf = next
    if (next !== previous) this.store.save(live)
    this.options.onFilesChanged?.(live.container.id, {
      hosts: current => editHosts(current, this.files.ownEntries(live), goneAddresses),
      resolvConf: current => (current === previous ? next : current),
    })
  }

  /** Containers that link to this one, which began anew, learn its address. */
  #tellLinking(live: ContainerNetwork): void {
    for (const other of this.containers.values()) {
      if (!other.container.links?.some(({ id }) => id === live.container.id)) continue
      const entries = this.files.linkEntries(other)
      this.options.onFilesChanged?.(other.container.id, {
        hosts: current => replaceNamed(current, entries),
        resolvConf: current => current,
      })
    }
  }

  #ruleState() {
    const bridges = this.catalog
      .all()
      .filter(({ record }) => record.driver === 'bridge' && !record.configOnly)
    const lives = [...this.containers.values()]
    return {
      bridges: bridges.map(({ record }) => bridgeRules(record)),
      ports: lives.flatMap(live => rulesOf(live.publications)),
      reflected: lives.flatMap(live => [...live.reflected]),
      restricted: bridges.some(({ record }) => !bridgeOptions(record).icc),
      isolated: lives.flatMap(live =>
        live.members.filter(isRestricted).flatMap(({ endpoint }) => endpoint.hostInterface ?? []),
      ),
      links: allLinks(this),
    }
  }

  close(): void {
    this.namespaces.close()
    this.names.close()
    for (const live of this.containers.values()) {
      for (const publication of live.publications) publication.release()
      live.namespace?.close()
    }
    this.containers.clear()
    this.host.close()
  }
}

const modeOf = (text: string): string => (text === '' || text === 'default' ? 'bridge' : text)
