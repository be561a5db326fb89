/**
 * All of a host's container networks. One story, in the order in which an engine lives it:
 *
 * 1. {@link Networks.open} reads what is persisted, adopts the bridges that exist, makes those that do not, puts back the
 *    endpoints of the containers that run, removes strays and replaces all packet rules in one transaction.
 * 2. {@link Networks.validate} when a container is created: refuses what could never start.
 * 3. {@link Networks.attach} when it starts: a complete network namespace, before the first process exists.
 * 4. {@link Networks.started} once that process exists: the namespace can be named.
 * 5. {@link Networks.connect}, {@link Networks.disconnect}, {@link Networks.publish} while it runs.
 * 6. {@link Networks.release} when it ended. {@link Networks.forget} when it is removed.
 *
 * Errors are Docker's words in a GantryError. Each change of state is synchronous, so no two can meet half way; only where the
 * kernel takes its time to let an interface go (disconnect, remove), the endpoint or network stays known until it is gone.
 */
import { conflict, forbidden, internal, invalid, messageOf, notImplemented } from '../errors.ts'
import type { Network } from './catalog.ts'
import { copyConfiguration, define } from './define.ts'
import { bridgeOptions, bridgeRules } from './drivers/bridge.ts'
import { addressOf, checkEndpoint, describeEndpoint, interfaceSysctls } from './endpoint.ts'
import { checkNames } from './files.ts'
import { type Filters, filterNetworks, prunableNetworks } from './filters.ts'
import { Live } from './live.ts'
import { portRequests } from './ports.ts'
import type { NetworkRecord } from './record.ts'
import { recover, watchRules } from './recover.ts'
import type {
  EndpointSpec,
  NetworkContainer,
  NetworkInfo,
  NetworkSpec,
  NetworkState,
  NetworksOptions,
  PortMap,
  RunningContainer,
  Sandbox,
} from './types.ts'

export class Networks {
  readonly #live: Live
  readonly #stopWatching: () => void

  private constructor(live: Live) {
    this.#live = live
    this.#stopWatching = watchRules(live)
  }

  /** The one way to begin, after a clean end as after a crash. */
  static async open(options: NetworksOptions, running: RunningContainer[] = []): Promise<Networks> {
    const live = new Live(options)
    try {
      await recover(live, running)
      return new Networks(live)
    } catch (error) {
      live.close()
      throw error
    }
  }

  async create(spec: NetworkSpec): Promise<{ id: string; warning: string }> {
    const live = this.#live
    const { catalog } = live
    const record = define(spec, [...live.drivers.keys()])
    if (catalog.all().some(network => network.record.name === record.name)) {
      throw conflict(`network with name ${record.name} already exists`)
    }
    if (record.configOnly) {
      catalog.add(record, [])
      this.#tell('create', record)
      return { id: record.id, warning: '' }
    }
    if (record.configFrom) copyConfiguration(record, catalog.lookup(record.configFrom)?.record)
    const driver = live.drivers.get(record.driver)!
    driver.validate(
      record,
      catalog.all().map(network => network.record),
    )
    const subnets = catalog.assign(record, { gateway: true })
    let network: Network | undefined
    try {
      driver.create(record)
      if (record.enableIpv6) live.allowForwarding(6)
      network = catalog.add(record, subnets)
      if (record.driver === 'bridge') this.#writeRules(record)
    } catch (error) {
      await driver.remove(record)
      if (network) catalog.remove(network)
      else catalog.release(subnets)
      throw error
    }
    this.#tell('create', record)
    return { id: record.id, warning: '' }
  }

  /** `filters` by key: driver, id, label, name, scope, type, dangling. Raises invalid for others. */
  list(filters: Filters = {}): NetworkInfo[] {
    return filterNetworks(
      this.#live.catalog.all(),
      filters,
      network => this.#members(network).length > 0,
    ).map(network => this.#describe(network))
  }

  /** By name, id, or a prefix of the id. Raises notFound, or invalid where a prefix is ambiguous. */
  inspect(ref: string): NetworkInfo {
    return this.#describe(this.#live.catalog.find(ref))
  }

  /** Raises forbidden for Docker's own three and where containers are on it. */
  async remove(ref: string): Promise<void> {
    const { catalog } = this.#live
    const network = catalog.find(ref)
    const { record } = network
    if (record.predefined) throw forbidden(`${record.name} is a pre-defined network and cannot be removed`)
    if (record.configOnly && catalog.all().some(other => other.record.configFrom === record.name)) {
      throw forbidden(
        `error while removing network: configuration network ${JSON.stringify(record.name)} is in use`,
      )
    }
    const members = this.#members(network)
    if (members.length > 0) {
      const names = members.map(
        ({ live, member }) => `name:"${live.container.name}" id:"${member.endpoint.id.slice(0, 12)}"`,
      )
      throw forbidden(
        `error while removing network: network ${record.name} has active endpoints (${names.join(', ')})`,
      )
    }
    await this.#removeNow(network)
    this.#tell('destroy', record)
  }

  /** Names of what was removed. A network that only a stopped container names is unused, as in Docker. */
  async prune(filters: Filters = {}): Promise<string[]> {
    const networks = prunableNetworks(this.#live.catalog.all(), filters)
    const removed: string[] = []
    for (const network of networks) {
      const { record } = network
      // While one is removed, others may change.
      if (this.#live.catalog.lookup(record.id) !== network || this.#members(network).length > 0) continue
      if (this.#live.catalog.all().some(other => other.record.configFrom === record.name)) continue
      await this.#removeNow(network)
      this.#tell('destroy', record)
      removed.push(record.name)
    }
    this.#live.options.onEvent?.('prune', '', { reclaimed: '0' })
    return removed
  }

  /**
   * The networks of a new container, which its record keeps from then on: those of the request by their names, and the one of its
   * network mode.
   */
  complete(container: NetworkContainer): Record<string, EndpointSpec> {
    return this.#live.complete(container)
  }

  /** At container create: raises what Docker raises there. Allocates nothing; networks that do not exist yet pass. */
  validate(container: NetworkContainer): void {
    portRequests(container)
    checkNames(container)
    for (const { ref, spec } of this.#live.wanted(container)) {
      const record = this.#live.catalog.lookup(ref)?.record
      if (!record) continue
      try {
        checkEndpoint(record, spec, 'invalid endpoint settings')
      } catch (error) {
        throw invalid(`invalid config for network ${record.name}: ${messageOf(error)}`, error)
      }
    }
  }

  /** Everything a start needs. On an error nothing is left behind. */
  async attach(container: NetworkContainer): Promise<Sandbox> {
    return this.#live.attach(container)
  }

  /** The container's first process exists; from now its namespace is reachable as /proc/PID/ns/net. */
  started(containerId: string, pid: number): void {
    const live = this.#live.containers.get(containerId)
    if (live) live.pid = pid
  }

  /** The container ended (or never started): gives everything back. Harmless for a container that has nothing. */
  async release(containerId: string): Promise<void> {
    const live = this.#live.containers.get(containerId)
    if (live) this.#live.release(live)
  }

  /** The container is removed. Nothing is kept of a stopped one, so there is nothing but a start that nobody ended. */
  forget(containerId: string): void {
    void this.release(containerId)
  }

  /** The open namespace of a running container, to launch another into (`--network container:`). undefined for host. */
  netnsFd(containerId: string): number | undefined {
    return this.#live.containers.get(containerId)?.namespace?.fd
  }

  /** What inspect shows, of a running container and of a stopped one. */
  state(container: NetworkContainer): NetworkState {
    const live = this.#live.containers.get(container.id)
    if (live) {
      return {
        sandboxId: live.id,
        sandboxKey: this.#live.keyOf(live),
        ports: this.#live.ports(live),
        endpoints: this.#live.endpoints(live),
      }
    }
    const endpoints = this.#live.wanted(container).map(({ ref, spec }) => {
      const record = this.#live.catalog.lookup(ref)?.record
      return [record?.name ?? ref, describeEndpoint(record, container, spec)] as const
    })
    return { sandboxId: '', sandboxKey: '', ports: {}, endpoints: Object.fromEntries(endpoints) }
  }

  /**
   * Adds a network to a container, running or not. Answers what the engine keeps: the network's name and the endpoint's
   * settings.
   */
  async connect(
    ref: string,
    container: NetworkContainer,
    endpoint: EndpointSpec = {},
    running = false,
  ): Promise<{ network: string; endpoint: EndpointSpec }> {
    const network = this.#live.catalog.find(ref)
    const { record } = network
    const present = this.#live.wanted(container).map(wanted => this.#live.catalog.lookup(wanted.ref)?.record)
    const connected = running ? present.filter(one => one && this.#isOn(container.id, one.id)) : present
    checkEndpoint(record, endpoint, 'invalid endpoint settings')
    if (record.driver === 'host') {
      throw invalid(
        'cannot connect container to host network - container must be created in host network mode',
      )
    }
    if (container.networkMode === 'host' || container.networkMode.startsWith('container:')) {
      throw invalid(
        'container sharing network namespace with another container or host cannot be connected to any other network',
      )
    }
    if (connected.some(one => one?.id === record.id)) {
      throw forbidden(`endpoint with name ${container.name} already exists in network ${record.name}`)
    }
    const isNone = (one: NetworkRecord | undefined) => one?.driver === 'null'
    if (connected.some(isNone) || (isNone(record) && connected.length > 0)) {
      throw invalid(
        'container cannot be connected to multiple networks with one of the networks in private (none) mode',
      )
    }
    if (record.configOnly) throw forbidden(`cannot connect to configuration network ${record.name}`)
    const live = running ? this.#live.containers.get(container.id) : undefined
    if (live && Object.keys(interfaceSysctls({ spec: endpoint, interfaceName: '' })).length > 0) {
      throw notImplemented('sysctls of an endpoint are set when its container starts, not while it runs')
    }
    if (live) await this.#live.connect(live, network, endpoint)
    return { network: record.name, endpoint }
  }

  /** Answers the network's name, by which the engine drops the endpoint from its record. */
  async disconnect(
    ref: string,
    container: NetworkContainer,
    options: { running: boolean; force?: boolean },
  ): Promise<string> {
    const network = this.#live.catalog.find(ref)
    const { record } = network
    const live = options.running ? this.#live.containers.get(container.id) : undefined
    const member = live?.member(record.id)
    const listed = this.#live.wanted(container).some(one => this.#live.catalog.lookup(one.ref) === network)
    if (!(live ? member : listed)) {
      const the = options.running ? '' : 'the '
      throw internal(`container ${container.id} is not connected to ${the}network ${record.name}`)
    }
    if (record.driver === 'host') {
      throw invalid(
        'cannot disconnect container from host network - container was created in host network mode',
      )
    }
    if (live && member) await this.#live.disconnect(live, member)
    return record.name
  }

  /** Makes a running container's published ports what `wanted` says; what stays is not disturbed. Answers what is now. */
  async publish(
    containerId: string,
    {
      portBindings = {},
      publishAllPorts = false,
    }: Pick<NetworkContainer, 'portBindings' | 'publishAllPorts'>,
  ): Promise<PortMap> {
    const live = this.#live.containers.get(containerId)
    if (!live) throw internal(`container ${containerId} has no network`)
    if (!live.namespace) throw invalid('published ports are discarded when using host network mode')
    const container = { ...live.container, portBindings, publishAllPorts }
    this.#live.published.replace(live, portRequests(container))
    live.container = container
    return this.#live.ports(live)
  }

  /** A container's name changed: its old name stops resolving, its new one resolves. */
  rename(containerId: string, name: string): void {
    const live = this.#live.containers.get(containerId)
    if (live) this.#live.rename(live, name)
  }

  /** Lets go of sockets and namespaces. Containers keep their networks. */
  async close(): Promise<void> {
    this.#stopWatching()
    this.#live.close()
  }

  #isOn(containerId: string, networkId: string): boolean {
    return this.#live.containers.get(containerId)?.member(networkId) !== undefined
  }

  #members(network: Network) {
    return [...this.#live.containers.values()].flatMap(live => {
      const member = live.member(network.record.id)
      return member ? [{ live, member }] : []
    })
  }

  #describe(network: Network): NetworkInfo {
    const { record } = network
    const withPrefix = (net: Parameters<typeof addressOf>[0]) =>
      net ? `${addressOf(net)}/${net.prefix}` : ''
    return {
      id: record.id,
      name: record.name,
      created: record.created,
      scope: record.scope,
      driver: record.driver,
      enableIpv4: record.enableIpv4,
      enableIpv6: record.enableIpv6,
      ipam: { driver: record.ipamDriver, options: record.ipamOptions, config: record.ipamConfig },
      internal: record.internal,
      attachable: record.attachable,
      ingress: record.ingress,
      configFrom: record.configFrom,
      configOnly: record.configOnly,
      options: record.options,
      labels: record.labels,
      containers: Object.fromEntries(
        this.#members(network).map(({ live, member: { endpoint } }) => [
          live.container.id,
          {
            name: live.container.name,
            endpointId: endpoint.id,
            macAddress: endpoint.mac,
            ipv4Address: withPrefix(endpoint.ipv4),
            ipv6Address: withPrefix(endpoint.ipv6),
          },
        ]),
      ),
    }
  }

  #writeRules(record: NetworkRecord): void {
    const { rules } = this.#live
    if (bridgeOptions(record).icc) rules.change(rules.set.addBridge(bridgeRules(record)))
    else rules.rebuild()
  }

  async #removeNow(network: Network): Promise<void> {
    const { record } = network
    const { rules, drivers, catalog } = this.#live
    network.leaving = true
    try {
      if (!record.configOnly) await drivers.get(record.driver)?.remove(record)
    } catch (error) {
      network.leaving = false
      throw error
    }
    catalog.remove(network)
    if (record.driver !== 'bridge' || record.configOnly) return
    rules.change(rules.set.removeBridge(bridgeRules(record)))
    const more = catalog.all().some(other => other.record.driver === 'bridge' && !other.record.configOnly)
    if (!more || !bridgeOptions(record).icc) rules.rebuild()
  }

  #tell(action: 'create' | 'destroy', record: NetworkRecord): void {
    this.#live.options.onEvent?.(action, record.id, { name: record.name, type: record.driver })
  }
}
