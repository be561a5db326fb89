/** A container's place on a network: `EndpointSettings`, which a client sends and inspect shows. */
import type { EndpointDetails } from '../../engine/results.ts'
import type { EndpointSpec } from '../../engine/types.ts'
import { type Codec, field, int, map, object, string, strings } from './codec.ts'

type IpamConfig = Pick<EndpointSpec, 'ipv4Address' | 'ipv6Address' | 'linkLocalIps'>
const omit = { omit: true }
const ipamConfig = object<IpamConfig>('network.EndpointIPAMConfig', [
  field<IpamConfig, 'ipv4Address'>('IPv4Address', 'ipv4Address', string, omit),
  field<IpamConfig, 'ipv6Address'>('IPv6Address', 'ipv6Address', string, omit),
  field<IpamConfig, 'linkLocalIps'>('LinkLocalIPs', 'linkLocalIps', strings, omit),
])

type Nested = EndpointSpec & { ipam?: IpamConfig }
type N = Nested
const settings = object<Nested>('network.EndpointSettings', [
  field<N, 'ipam'>('IPAMConfig', 'ipam', ipamConfig),
  field<N, 'links'>('Links', 'links', strings),
  field<N, 'aliases'>('Aliases', 'aliases', strings),
  field<N, 'macAddress'>('MacAddress', 'macAddress', string),
  field<N, 'driverOpts'>('DriverOpts', 'driverOpts', map(string)),
  field<N, 'gatewayPriority'>('GwPriority', 'gatewayPriority', int),
])

/** The domain has the addresses beside the rest. */
export const endpointSpec: Codec<EndpointSpec> = {
  ...settings,
  decode(value, path) {
    const { ipam, ...rest } = settings.decode(value, path) as Nested
    return { ...rest, ...ipam }
  },
  encode(value) {
    return settings.encode(nested(value))
  },
}

function nested(value: EndpointSpec): Nested {
  const { ipv4Address, ipv6Address, linkLocalIps, ...rest } = value
  const given = { ipv4Address, ipv6Address, linkLocalIps }
  return Object.values(given).some(entry => entry !== undefined) ? { ...rest, ipam: given } : rest
}

/** What `NetworkSettings.Networks` of inspect and list hold. */
export function endpointDetails(value: EndpointDetails): Record<string, unknown> {
  return {
    ...settings.encode(nested(value)),
    MacAddress: value.mac,
    NetworkID: value.networkId,
    EndpointID: value.endpointId,
    Gateway: value.gateway,
    IPAddress: value.ipAddress,
    IPPrefixLen: value.ipPrefixLength,
    IPv6Gateway: value.ipv6Gateway,
    GlobalIPv6Address: value.globalIpv6Address,
    GlobalIPv6PrefixLen: value.globalIpv6PrefixLength,
    DNSNames: value.dnsNames ?? null,
  }
}
