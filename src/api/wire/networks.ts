/** How networks look on the wire, and what clients send to make one. */
import type { NetworkInfo, NetworkSpec } from '../../engine/networks.ts'
import { bool, field, list, map, nullable, object, string } from './codec.ts'

type Ipam = NonNullable<NetworkSpec['ipam']>
type IpamConfig = Ipam['config'][number]
const omit = { omit: true }
const ipamConfig = object<IpamConfig>('network.IPAMConfig', [
  field<IpamConfig, 'subnet'>('Subnet', 'subnet', string, omit),
  field<IpamConfig, 'ipRange'>('IPRange', 'ipRange', string, omit),
  field<IpamConfig, 'gateway'>('Gateway', 'gateway', string, omit),
  field<IpamConfig, 'auxiliaryAddresses'>('AuxiliaryAddresses', 'auxiliaryAddresses', map(string), omit),
])
const ipam = object<Ipam>('network.IPAM', [
  field<Ipam, 'driver'>('Driver', 'driver', string),
  field<Ipam, 'options'>('Options', 'options', map(string)),
  field<Ipam, 'config'>('Config', 'config', list(ipamConfig)),
])

interface ConfigFrom {
  network?: string
}
type Request = Omit<NetworkSpec, 'configFrom'> & { from?: ConfigFrom }
const request = object<Request>('network.CreateRequest', [
  field<Request, 'name'>('Name', 'name', string),
  field<Request, 'driver'>('Driver', 'driver', string),
  field<Request, 'scope'>('Scope', 'scope', string),
  field<Request, 'enableIpv4'>('EnableIPv4', 'enableIpv4', nullable(bool)),
  field<Request, 'enableIpv6'>('EnableIPv6', 'enableIpv6', nullable(bool)),
  field<Request, 'ipam'>('IPAM', 'ipam', ipam),
  field<Request, 'internal'>('Internal', 'internal', bool),
  field<Request, 'attachable'>('Attachable', 'attachable', bool),
  field<Request, 'ingress'>('Ingress', 'ingress', bool),
  field<Request, 'configOnly'>('ConfigOnly', 'configOnly', bool),
  field<Request, 'from'>(
    'ConfigFrom',
    'from',
    object<ConfigFrom>('network.ConfigReference', [
      field<ConfigFrom, 'network'>('Network', 'network', string),
    ]),
  ),
  field<Request, 'options'>('Options', 'options', map(string)),
  field<Request, 'labels'>('Labels', 'labels', map(string)),
])

export function decodeNetworkRequest(body: unknown): NetworkSpec {
  const { from, ...spec } = request.decode(body ?? {}, '') as Request
  const whole: NetworkSpec = { ...spec, name: spec.name ?? '' }
  if (spec.ipam) whole.ipam = { ...spec.ipam, config: spec.ipam.config ?? [] }
  if (from?.network) whole.configFrom = from.network
  return whole
}

export function encodeNetwork(network: NetworkInfo, api: number): Record<string, unknown> {
  return {
    Name: network.name,
    Id: network.id,
    Created: network.created,
    Scope: network.scope,
    Driver: network.driver,
    ...(api >= 47 && { EnableIPv4: network.enableIpv4 }),
    EnableIPv6: network.enableIpv6,
    IPAM: {
      Driver: network.ipam.driver,
      Options: network.ipam.options,
      Config: network.ipam.config?.map(config => ipamConfig.encode(config)) ?? null,
    },
    Internal: network.internal,
    Attachable: network.attachable,
    Ingress: network.ingress,
    ConfigFrom: { Network: network.configFrom },
    ConfigOnly: network.configOnly,
    Containers: Object.fromEntries(
      Object.entries(network.containers).map(([id, entry]) => [
        id,
        {
          Name: entry.name,
          EndpointID: entry.endpointId,
          MacAddress: entry.macAddress,
          IPv4Address: entry.ipv4Address,
          IPv6Address: entry.ipv6Address,
        },
      ]),
    ),
    Options: network.options,
    Labels: network.labels,
  }
}
