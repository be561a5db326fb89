/** Where a container is (or wants to be) on one network. */
import { invalid } from '../errors.ts'
import { listed } from './define.ts'
import { type Cidr, contains, formatIp, parseCidr, parseIp } from './ip.ts'
import { isUserDefined, type NetworkRecord, usedConfigs, wayOut } from './record.ts'
import type { EndpointDetails, EndpointSpec, NetworkContainer } from './types.ts'

/** A live endpoint. */
export interface Endpoint {
  /** 64 hex digits. */
  id: string
  networkId: string
  spec: EndpointSpec
  ipv4: Cidr | undefined
  ipv6: Cidr | undefined
  mac: string
  interfaceName: string
  hostInterface: string | undefined
}

/** Throws what Docker says of settings that this network cannot give, with `title` before it. */
export function checkEndpoint(network: NetworkRecord, spec: EndpointSpec, title: string): void {
  const complaints: string[] = []
  const configured = usedConfigs(network).flatMap(config => parseCidr(config.subnet ?? '') ?? [])
  const addresses = [
    ['IPv4', 4, spec.ipv4Address],
    ['IPv6', 6, spec.ipv6Address],
  ] as const
  if (!isUserDefined(network)) {
    if (spec.ipv4Address || spec.ipv6Address) {
      complaints.push('user specified IP address is supported on user defined networks only')
    }
    if ((spec.aliases ?? []).length > 0) {
      complaints.push('network-scoped alias is supported only for containers in user defined networks')
    }
  }
  for (const [label, family, text] of addresses) {
    if (text && parseIp(text)?.family !== family) complaints.push(`invalid ${label} address: ${text}`)
  }
  for (const text of spec.linkLocalIps ?? []) {
    const ip = parseIp(text)
    if (!ip || !LINK_LOCAL.some(net => contains(net, ip)))
      complaints.push(`invalid link-local IP address: ${text}`)
  }
  for (const [, family, text] of addresses) {
    if (!text) continue
    const subnets = configured.filter(subnet => subnet.family === family)
    const ip = parseIp(text)
    if (subnets.length === 0 || !isUserDefined(network)) {
      complaints.push(
        'user specified IP address is supported only when connecting to networks with user configured subnets',
      )
    } else if (ip?.family !== family || !subnets.some(subnet => contains(subnet, ip))) {
      complaints.push(`no configured subnet or ip-range contain the IP address ${text}`)
    }
  }
  for (const text of sysctlTexts(spec)) {
    if (!INTERFACE_SYSCTL.test(text)) {
      complaints.push(
        `unrecognised network interface sysctl '${text}'; represent 'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'`,
      )
    }
  }
  if (spec.macAddress && !/^([0-9a-f]{2}[:-]){5}[0-9a-f]{2}$/i.test(spec.macAddress)) {
    throw invalid(`invalid MAC address ${spec.macAddress}`)
  }
  if (complaints.length > 0) throw listed(title, [...new Set(complaints)])
}

const SYSCTLS_OPTION = 'com.docker.network.endpoint.sysctls'
// Clients may have made all of it lower case.
const INTERFACE_SYSCTL = /^(net\.(?:ipv4|ipv6|mpls)\.\w+\.)IFNAME(\.\w+)=(.*)$/i

const sysctlTexts = (spec: EndpointSpec): string[] =>
  (spec.driverOpts?.[SYSCTLS_OPTION] ?? '').split(',').filter(text => text !== '')

/** Kernel settings that were asked for an endpoint's interface, by name: `net.ipv4.conf.eth0.log_martians`. */
export function interfaceSysctls({
  spec,
  interfaceName,
}: Pick<Endpoint, 'spec' | 'interfaceName'>): Record<string, string> {
  return Object.fromEntries(
    sysctlTexts(spec).flatMap(text => {
      const [, before, after, value] = INTERFACE_SYSCTL.exec(text) ?? []
      return before === undefined ? [] : [[`${before}${interfaceName}${after}`, value!]]
    }),
  )
}

/** The names that a container answers to on a user-defined network: its own, its aliases, its short id, its hostname. */
export function dnsNames(container: NetworkContainer, spec: EndpointSpec): string[] {
  const short = container.id.slice(0, 12)
  const names = [container.name, ...(spec.aliases ?? []), short]
  if (container.hostname && container.hostname !== short) names.push(container.hostname)
  return [...new Set(names)]
}

const LINK_LOCAL = ['169.254.0.0/16', 'fe80::/10'].map(text => parseCidr(text)!)

const NOWHERE = {
  endpointId: '',
  gateway: '',
  ipAddress: '',
  ipPrefixLength: 0,
  ipv6Gateway: '',
  globalIpv6Address: '',
  globalIpv6PrefixLength: 0,
  mac: '',
}

/** What inspect shows; `endpoint` is absent while the container does not run. */
export function describeEndpoint(
  network: NetworkRecord | undefined,
  container: NetworkContainer,
  spec: EndpointSpec,
  endpoint?: Endpoint,
): EndpointDetails {
  const base = {
    ...spec,
    ...NOWHERE,
    networkId: network?.id ?? '',
    dnsNames: network && isUserDefined(network) ? dnsNames(container, spec) : null,
  }
  if (!endpoint || !network) return base
  const gateway = (family: 4 | 6) => wayOut(network, family) ?? ''
  return {
    ...base,
    endpointId: endpoint.id,
    gateway: endpoint.ipv4 && !network.internal ? gateway(4) : '',
    ipAddress: addressOf(endpoint.ipv4),
    ipPrefixLength: endpoint.ipv4?.prefix ?? 0,
    ipv6Gateway: endpoint.ipv6 && !network.internal ? gateway(6) : '',
    globalIpv6Address: addressOf(endpoint.ipv6),
    globalIpv6PrefixLength: endpoint.ipv6?.prefix ?? 0,
    mac: endpoint.mac,
  }
}

/** The address of an endpoint as text, '' where it has none. */
export const addressOf = (net: Cidr | undefined): string =>
  net ? formatIp({ family: net.family, value: net.address }) : ''
