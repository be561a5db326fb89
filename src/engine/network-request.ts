/** What the networks have to know of a container, made from its record. */
import { invalid } from '../errors.ts'
import type { LinkTarget, NetworkContainer } from '../network/types.ts'
import type { EngineContext } from './context.ts'
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
    portBindings: host.portBindings,
    publishAllPorts: host.publishAllPorts,
    links: linkTargets(context, host.links ?? []),
    dns: host.dns,
    dnsSearch: host.dnsSearch,
    dnsOptions: host.dnsOptions,
    extraHosts: host.extraHosts,
  }
}

/** `name:alias`. Raises invalid for a container that is not there. */
function linkTargets({ store }: Pick<EngineContext, 'store'>, links: readonly string[]): LinkTarget[] {
  return links.map(link => {
    const [ref = '', alias] = link.split(':')
    const target = store.find(ref)
    if (!target) throw invalid(`could not get container for ${ref}: No such container: ${ref}`)
    const { record } = target
    return {
      id: record.id,
      name: record.name,
      alias: (alias || ref).replace(/^.*\//, ''),
      hostname: record.config.hostname ?? '',
      env: record.config.env ?? [],
      exposedPorts: record.config.exposedPorts ?? [],
    }
  })
}
