/** What the networks have to know of a container, made from its record. */
import { portKey } from '../network/ports.ts'
import type { LinkTarget, NetworkContainer, PortBinding } from '../network/types.ts'
import type { EngineContext } from './context.ts'
import { parseLink } from './links.ts'
import type { ContainerRecord } from './types.ts'

export function networkContainer(
  context: Pick<EngineContext, 'store'>,
  record: ContainerRecord,
): NetworkContainer {
  const { config, host } = record
  return {
    id: record.id,
    name: record.name,
    hostname: config.hostname ?? '',
    ...(config.domainname && { domainname: config.domainname }),
    networkMode: host.networkMode ?? 'bridge',
    endpoints: record.networks,
    exposedPorts: config.exposedPorts,
    portBindings: publishedPorts(record),
    publishAllPorts: host.publishAllPorts,
    links: linkTargets(context, host.links ?? []),
    dns: host.dns,
    dnsSearch: host.dnsSearch,
    dnsOptions: host.dnsOptions,
    extraHosts: host.extraHosts,
  }
}

/** moby: a binding publishes nothing unless its port is exposed, which a client that knows `-p` does by itself. */
function publishedPorts({ config, host }: ContainerRecord): Record<string, PortBinding[]> {
  const exposed = new Set(config.exposedPorts?.map(portKey))
  return Object.fromEntries(
    Object.entries(host.portBindings ?? {}).filter(
      ([port, bindings]) => exposed.has(portKey(port)) && bindings.length > 0,
    ),
  )
}

/** What `links` lead to. A container that was removed since takes its links along. */
function linkTargets({ store }: Pick<EngineContext, 'store'>, links: readonly string[]): LinkTarget[] {
  return links.flatMap(link => {
    const { ref, alias } = parseLink(link)
    const target = store.find(ref)
    if (!target) return []
    const { record } = target
    return {
      id: record.id,
      name: record.name,
      alias,
      hostname: record.config.hostname ?? '',
      env: record.config.env ?? [],
      exposedPorts: record.config.exposedPorts ?? [],
    }
  })
}
