/** From the words of `network create` to a {@link NetworkRecord}, with Docker's checks and sentences. */
import { randomBytes } from 'node:crypto'
import { forbidden, type GantryError, invalid, notFound } from '../errors.ts'
import { contains, formatCidr, parseCidr, parseIp, within } from './ip.ts'
import { type NetworkRecord, usedConfigs } from './record.ts'
import type { IpamConfig, NetworkSpec } from './types.ts'

const RESERVED = ['bridge', 'host', 'none', 'default']
const SINGLE_INSTANCE = ['host', 'null']

/** A record without subnets, or Docker's refusal. `drivers` are the names there are. */
export function define(spec: NetworkSpec, drivers: readonly string[]): NetworkRecord {
  if (spec.name.trim() === '') throw invalid('invalid name: name is empty')
  if (RESERVED.includes(spec.name)) {
    throw forbidden(`operation is not permitted on predefined ${spec.name} network `)
  }
  if (spec.scope === 'swarm' || spec.driver === 'overlay') {
    throw forbidden(
      spec.driver === 'overlay'
        ? 'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.'
        : 'cannot create a swarm scoped network when swarm is not active',
    )
  }
  if (spec.ingress) throw forbidden('Ingress network can only be global scope network')
  const driver = spec.configOnly ? 'null' : spec.driver || 'bridge'
  if (SINGLE_INSTANCE.includes(driver) && !spec.configOnly) {
    throw forbidden(`only one instance of "${driver}" network is allowed`)
  }
  if (!drivers.includes(driver)) throw notFound(`plugin ${JSON.stringify(driver)} not found`)
  const ipamDriver = spec.ipam?.driver || 'default'
  if (!['default', 'null'].includes(ipamDriver))
    throw notFound(`plugin ${JSON.stringify(ipamDriver)} not found`)
  const enableIpv4 = spec.enableIpv4 ?? true
  const enableIpv6 = spec.enableIpv6 ?? false
  if (!enableIpv4 && !enableIpv6 && !spec.configOnly) throw invalid('IPv4 or IPv6 must be enabled')
  const config = spec.ipam?.config ?? []
  const ipamConfig = config.length > 0 ? config : null
  const complaints = usedConfigs({ ipamConfig, enableIpv4, enableIpv6 }).flatMap(one => checkSubnet(one))
  if (complaints.length > 0) throw listed('invalid network config', complaints)
  return {
    version: 1,
    id: randomBytes(32).toString('hex'),
    created: new Date().toISOString(),
    name: spec.name,
    driver,
    scope: 'local',
    enableIpv4,
    enableIpv6,
    internal: spec.internal ?? false,
    attachable: spec.attachable ?? false,
    ingress: false,
    configOnly: spec.configOnly ?? false,
    configFrom: spec.configFrom ?? '',
    options: { ...spec.options },
    labels: { ...spec.labels },
    ipamDriver,
    ipamOptions: spec.ipam?.options ?? null,
    ipamConfig,
    subnets: [],
  }
}

/** `--config-from`: options and subnets of a configuration network, which is `source`. */
export function copyConfiguration(record: NetworkRecord, source: NetworkRecord | undefined): void {
  if (!source) {
    throw notFound(`configuration network ${JSON.stringify(record.configFrom)} does not exist`)
  }
  if (!source.configOnly) {
    throw forbidden(`network ${record.configFrom} is not a configuration-only network`)
  }
  record.ipamConfig = source.ipamConfig && [...source.ipamConfig]
  record.options = { ...source.options }
  record.internal = source.internal
  record.enableIpv4 = source.enableIpv4
  record.enableIpv6 = source.enableIpv6
  record.ipamDriver = source.ipamDriver
  record.ipamOptions = source.ipamOptions
  for (const [key, value] of Object.entries(source.labels)) record.labels[key] ??= value
}

/** What is wrong with one subnet of a request, in Docker's words. */
function checkSubnet(config: IpamConfig): string[] {
  const text = config.subnet ?? ''
  const subnet = parseCidr(text)
  if (!subnet) return [`invalid subnet ${text}: invalid CIDR block notation`]
  const canonical = formatCidr(subnet)
  if (subnet.address !== subnet.base) return [`invalid subnet ${text}: it should be ${canonical}`]
  const complaints: string[] = []
  if (config.ipRange) {
    const range = parseCidr(config.ipRange)
    if (!range) complaints.push(`invalid ip-range ${config.ipRange}: invalid CIDR block notation`)
    else if (range.address !== range.base) {
      complaints.push(`invalid ip-range ${config.ipRange}: it should be ${formatCidr(range)}`)
    } else if (!within(subnet, range)) {
      complaints.push(`invalid ip-range ${config.ipRange}: parent subnet ${text} doesn't contain ip-range`)
    }
  }
  const inside = (label: string, address: string) => {
    const ip = parseIp(address)
    if (!ip) complaints.push(`invalid ${label}: invalid address`)
    else if (!contains(subnet, ip)) {
      complaints.push(`invalid ${label}: parent subnet ${text} doesn't contain this address`)
    }
  }
  if (config.gateway) inside(`gateway ${config.gateway}`, config.gateway)
  for (const [name, address] of Object.entries(config.auxiliaryAddresses ?? {})) {
    inside(`auxiliary address ${name}`, address)
  }
  return complaints
}

/** Docker's form of several errors at once. */
export function listed(title: string, complaints: readonly string[]): GantryError {
  if (complaints.length === 1) return invalid(`${title}:\n${complaints[0]}`)
  return invalid(`${title}:\n${complaints.map(complaint => `* ${complaint}`).join('\n')}`)
}
