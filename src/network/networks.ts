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
 * Errors are Docker's words in a GantryError.
 */
import { notFound, notImplemented } from '../errors.ts'
import type {
  EndpointSpec,
  InterfaceStats,
  NetworkContainer,
  NetworkInfo,
  NetworkSpec,
  NetworkState,
  NetworksOptions,
  PortBinding,
  PortMap,
  RunningContainer,
  Sandbox,
} from './types.ts'

export class Networks {
  static async open(_options: NetworksOptions, _running: RunningContainer[] = []): Promise<Networks> {
    return new Networks()
  }

  async create(_spec: NetworkSpec): Promise<{ id: string; warning: string }> {
    throw notImplemented('network create is not implemented')
  }

  /** `filters` by key: driver, id, label, name, scope, type, dangling. Raises invalid for others. */
  list(_filters: Record<string, string[]> = {}): NetworkInfo[] {
    return []
  }

  /** By name, id, or a prefix of the id. Raises notFound, or invalid where a prefix is ambiguous. */
  inspect(ref: string): NetworkInfo {
    throw notFound(`network ${ref} not found`)
  }

  /** Raises forbidden for Docker's own three and where containers are on it. */
  async remove(ref: string): Promise<void> {
    throw notFound(`network ${ref} not found`)
  }

  /** Names of what was removed. A network that only a stopped container names is unused, as in Docker. */
  async prune(_filters: Record<string, string[]> = {}): Promise<string[]> {
    return []
  }

  /** At container create: raises what Docker raises there. Allocates nothing. */
  validate(_container: NetworkContainer): void {}

  /** Everything a start needs. On an error nothing is left behind. */
  async attach(_container: NetworkContainer): Promise<Sandbox> {
    throw notImplemented('networks are not implemented')
  }

  /** The container's first process exists; from now its namespace is reachable as /proc/PID/ns/net. */
  started(_containerId: string, _pid: number): void {}

  /** The container ended (or never started): gives everything back. Harmless for a container that has nothing. */
  async release(_containerId: string): Promise<void> {}

  /** The container is removed: its stopped endpoints are forgotten. */
  forget(_containerId: string): void {}

  /** The open namespace of a running container, to launch another into (`--network container:`). undefined for host. */
  netnsFd(_containerId: string): number | undefined {
    return undefined
  }

  /** What inspect shows, of a running container and of a stopped one. */
  state(_container: NetworkContainer): NetworkState {
    throw notImplemented('networks are not implemented')
  }

  /** Counters by interface, as `docker stats` wants them. Empty for host and none. */
  stats(_containerId: string): Record<string, InterfaceStats> {
    return {}
  }

  /**
   * Adds a network to a container, running or not. `container.endpoints` must not have it yet; what the engine keeps of it is
   * the answer (aliases with the short id as Docker adds them).
   */
  async connect(
    _ref: string,
    _container: NetworkContainer,
    _endpoint: EndpointSpec = {},
    _running = false,
  ): Promise<{ network: string; endpoint: EndpointSpec }> {
    throw notImplemented('network connect is not implemented')
  }

  /** Answers the network's name, by which the engine drops the endpoint from its record. */
  async disconnect(
    _ref: string,
    _container: NetworkContainer,
    _options: { running: boolean; force?: boolean },
  ): Promise<string> {
    throw notImplemented('network disconnect is not implemented')
  }

  /** Makes a running container's published ports what `bindings` says; what stays is not disturbed. Answers what is now. */
  async publish(_containerId: string, _bindings: Record<string, PortBinding[]>): Promise<PortMap> {
    throw notImplemented('publishing ports of a running container is not implemented')
  }

  /** A container's name changed: its old name stops resolving, its new one resolves. */
  rename(_containerId: string, _name: string): void {}

  /** Lets go of sockets and namespaces. Containers keep their networks. */
  async close(): Promise<void> {}
}
