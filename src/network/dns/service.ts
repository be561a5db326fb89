/** Names for all containers: the table that they share, and a resolver for each that is on a user-defined network. */

import type { ContainerNetwork, Member } from '../container.ts'
import { addressOf, dnsNames } from '../endpoint.ts'
import { isUserDefined } from '../record.ts'
import { type Named, NameTable } from './names.ts'
import { Resolver } from './resolver.ts'
import { NameServer } from './server.ts'
import { createForward } from './upstream.ts'

export class NameService {
  readonly #table = new NameTable()
  /** By endpoint id. */
  readonly #entries = new Map<string, Named>()
  /** By sandbox id. */
  readonly #servers = new Map<string, NameServer>()

  /** From now on the names of this endpoint resolve. */
  add(live: ContainerNetwork, { network, endpoint }: Member): void {
    if (!isUserDefined(network.record)) return
    const entry: Named = {
      networkId: network.record.id,
      names: dnsNames(live.container, endpoint.spec),
      ipv4: addressOf(endpoint.ipv4) || undefined,
      ipv6: addressOf(endpoint.ipv6) || undefined,
    }
    this.#table.add(entry)
    this.#entries.set(endpoint.id, entry)
  }

  remove(endpointId: string): void {
    const entry = this.#entries.get(endpointId)
    if (!entry) return
    this.#entries.delete(endpointId)
    this.#table.remove(entry)
  }

  /** Sandboxes whose namespaces have had a server. */
  readonly #redirected = new WeakSet<ContainerNetwork>()

  /** The namespace comes from an earlier life of the daemon, with its rules. */
  assumeServed(live: ContainerNetwork): void {
    this.#redirected.add(live)
  }

  /** Serve a container whose `resolvConf` says 127.0.0.11. Once; it sees later changes of `live`. */
  serve(live: ContainerNetwork): void {
    if (!live.namespace || this.#servers.has(live.id)) return
    const { namespace } = live
    let forward: ReturnType<typeof createForward> | undefined
    let forwardFor: ContainerNetwork['upstreams'] | undefined
    const resolver = new Resolver(this.#table, {
      scopes: () =>
        live.members
          .filter(({ network }) => isUserDefined(network.record))
          .map(({ network: { record } }) => ({ networkId: record.id, networkName: record.name })),
      aliases: () => linkAliases(live),
      get forward() {
        if (!live.gateway(4) && !live.gateway(6)) return undefined
        if (forwardFor !== live.upstreams) {
          forwardFor = live.upstreams
          forward = createForward(live.upstreams, namespace.fd)
        }
        return forward
      },
      keepsShortNames: (live.container.dnsOptions ?? []).some(option => /^ndots:[1-9]/.test(option)),
    })
    this.#servers.set(live.id, new NameServer(namespace, resolver, this.#redirected.has(live)))
    this.#redirected.add(live)
  }

  stop(live: ContainerNetwork): void {
    this.#servers.get(live.id)?.close()
    this.#servers.delete(live.id)
  }

  close(): void {
    for (const server of this.#servers.values()) server.close()
    this.#servers.clear()
  }
}

/** `container:alias` of the endpoints' links. */
function linkAliases(live: ContainerNetwork): Map<string, string> {
  const aliases = new Map<string, string>()
  for (const { endpoint } of live.members) {
    for (const link of endpoint.spec.links ?? []) {
      const [name = '', alias = name] = link.split(':')
      aliases.set(alias.toLowerCase(), name.replace(/^\//, ''))
    }
  }
  return aliases
}
