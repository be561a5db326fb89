/** The body of `POST /containers/create`: a container's config with what it is asked of the host beside it. */
import type { ContainerConfig, ContainerSpec, EndpointSpec, HostSpec } from '../../engine/types.ts'
import { invalid } from '../../errors.ts'
import { decodeBody, field, map, object, string } from './codec.ts'
import { containerConfigFields } from './container-config.ts'
import { endpointSpec } from './endpoint.ts'
import { hostConfig } from './host-config.ts'

interface Networking {
  endpoints?: Record<string, EndpointSpec>
}
type Request = ContainerConfig & { host?: HostSpec; networking?: Networking; macAddress?: string }

const request = object<Request>('container.CreateRequest', [
  ...containerConfigFields,
  field<Request, 'macAddress'>('MacAddress', 'macAddress', string),
  field<Request, 'host'>('HostConfig', 'host', hostConfig),
  field<Request, 'networking'>(
    'NetworkingConfig',
    'networking',
    object<Networking>('network.NetworkingConfig', [
      field<Networking, 'endpoints'>('EndpointsConfig', 'endpoints', map(endpointSpec)),
    ]),
  ),
])

/** Raises `invalid` for a wrong type, and for a body that says nothing at all. */
export function decodeCreateRequest(body: unknown, api: number): ContainerSpec {
  const { host = {}, networking, macAddress, ...config } = decodeBody(request, body)
  if (body === null || Object.keys(body as object).length === 0) {
    throw invalid('config cannot be empty in order to create a container')
  }
  dropWhatIsNoLimit(host)
  forOlderClients(host, api)
  const spec: ContainerSpec = { config, host }
  const networks = withMacAddress(networking?.endpoints, host.networkMode, macAddress)
  if (networks) spec.networks = networks
  return spec
}

/** Docker's client sends these for what was not asked; inspect shows them as `null`. */
function dropWhatIsNoLimit(host: HostSpec): void {
  if ((host.pidsLimit ?? 0) <= 0) delete host.pidsLimit
  if (host.memorySwappiness === -1) delete host.memorySwappiness
}

/** What clients of an older API did not know, and what they were promised instead. */
function forOlderClients(host: HostSpec, api: number): void {
  if (api < 40) for (const mount of host.mounts ?? []) delete mount.bind?.nonRecursive
  if (api < 41) host.cgroupnsMode ||= 'host'
  if (api < 42) {
    for (const mount of host.mounts ?? []) delete mount.bind?.createMountpoint
  }
  if (api >= 42) delete host.kernelMemory
  if (api < 44) {
    for (const { bind } of host.mounts ?? []) {
      delete bind?.readOnlyNonRecursive
      delete bind?.readOnlyForceRecursive
    }
  }
}

/** Before 1.44 a container had one MAC address; it belongs to the network that the container starts in. */
function withMacAddress(
  endpoints: Record<string, EndpointSpec> | undefined,
  networkMode: string | undefined,
  macAddress: string | undefined,
): Record<string, EndpointSpec> | undefined {
  if (!macAddress) return endpoints
  const name = networkMode || 'default'
  if (['host', 'none'].includes(name) || name.startsWith('container:')) return endpoints
  return { ...endpoints, [name]: { ...endpoints?.[name], macAddress } }
}
