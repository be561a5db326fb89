/** `docker inspect` of a container. */
import { NEVER } from './clock.ts'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'
import { describeLinks } from './links.ts'
import { networkContainer } from './network-request.ts'
import { pathsOf } from './paths.ts'
import type { ContainerDetails, EndpointDetails, NetworkDetails } from './results.ts'
import type { ContainerRecord } from './types.ts'

const NOTHING: NetworkDetails = { sandboxId: '', sandboxKey: '', ports: {}, endpoints: {} }

/** What the networks say of it; nothing where it shares another container's. */
export function networkDetails(context: EngineContext, record: ContainerRecord): NetworkDetails {
  if (record.host.networkMode?.startsWith('container:')) return NOTHING
  const { sandboxId, sandboxKey, ports, endpoints } = context.networks.state(
    networkContainer(context, record),
  )
  // A network is looked up when a container first starts: until then it has a name and no id.
  const shown =
    record.state.startedAt === NEVER && sandboxId === ''
      ? Object.fromEntries(Object.entries(endpoints).map(([name, one]) => [name, { ...one, networkId: '' }]))
      : endpoints
  return { sandboxId, sandboxKey, ports, endpoints: shown as Record<string, EndpointDetails> }
}

export async function inspectContainer(
  context: EngineContext,
  container: Container,
  { size = false }: { size?: boolean },
): Promise<ContainerDetails> {
  const { record } = container
  const usage = size ? await context.snapshots.usage(container.snapshot) : undefined
  const donor = record.host.networkMode?.startsWith('container:')
    ? context.store.find(record.host.networkMode.slice('container:'.length))
    : undefined
  const paths = pathsOf(context, donor?.id ?? record.id)
  const descriptor = context.images.get(record.imageId)?.image.descriptor
  const links = describeLinks(context, record)
  return {
    record: record.host.links ? { ...record, host: { ...record.host, links } } : record,
    resolvConfPath: paths.resolvConf,
    hostnamePath: paths.hostname,
    hostsPath: paths.hosts,
    execIds: container.execIds.size > 0 ? [...container.execIds] : null,
    network: networkDetails(context, record),
    ...(descriptor && { imageManifest: descriptor }),
    storage: { driver: record.driver, data: context.snapshots.graphDriverData(container.snapshot) },
    appArmorProfile: '',
    ...(usage && { sizeRw: usage.rw, sizeRootFs: usage.rootFs }),
  }
}
