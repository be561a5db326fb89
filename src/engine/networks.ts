/** Networks, as clients of the engine see them: what {@link file://../network/networks.ts} does, and what a container keeps of it. */

import { conflict, notFound } from '../errors.ts'
import type { NetworkInfo, NetworkSpec } from '../network/types.ts'
import type { EngineContext } from './context.ts'
import { networkContainer } from './network-request.ts'
import type { Filters, PruneReport } from './results.ts'
import type { EndpointSpec } from './types.ts'

export type { NetworkInfo, NetworkSpec } from '../network/types.ts'

export class EngineNetworks {
  readonly #context: EngineContext

  constructor(context: EngineContext) {
    this.#context = context
  }

  create(spec: NetworkSpec): Promise<{ id: string; warning: string }> {
    return this.#context.networks.create(spec)
  }

  async list(filters: Filters = {}): Promise<NetworkInfo[]> {
    return this.#context.networks.list(filters)
  }

  async inspect(ref: string): Promise<NetworkInfo> {
    return this.#context.networks.inspect(ref)
  }

  remove(ref: string): Promise<void> {
    return this.#context.networks.remove(ref)
  }

  async prune(filters: Filters = {}): Promise<PruneReport> {
    return { deleted: await this.#context.networks.prune(filters), spaceReclaimed: 0 }
  }

  async connect(ref: string, containerRef: string, endpoint: EndpointSpec = {}): Promise<void> {
    const { store, locks, networks } = this.#context
    const container = store.get(containerRef)
    await locks.run(container.id, async () => {
      const { record } = container
      if (record.state.status === 'removing' || record.state.status === 'dead') {
        throw conflict(
          `container ${container.id} is marked for removal and cannot be connected or disconnected to the network ${ref}`,
        )
      }
      if (record.host.networkMode?.startsWith('container:')) {
        throw conflict(
          'container sharing network namespace with another container or host cannot be connected to any other network',
        )
      }
      const running = container.task !== undefined
      const { network, endpoint: kept } = await networks.connect(
        ref,
        networkContainer(this.#context, record),
        endpoint,
        running,
      )
      record.networks = { ...record.networks, [network]: kept }
      store.write(record, true)
    })
  }

  async disconnect(ref: string, containerRef: string, force = false): Promise<void> {
    const { store, locks, networks } = this.#context
    if (force && !store.find(containerRef)) {
      networks.inspect(ref)
      throw notFound(`endpoint ${containerRef} not found`)
    }
    const container = store.get(containerRef)
    await locks.run(container.id, async () => {
      const { record } = container
      const running = container.task !== undefined
      const network = await networks.disconnect(ref, networkContainer(this.#context, record), {
        running,
        force,
      })
      const { [network]: _gone, ...rest } = record.networks
      record.networks = rest
      store.write(record, true)
    })
  }
}
