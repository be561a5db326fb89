/** Docker's own three networks: `bridge` as daemon.json says, `host` and `none`. */
import { randomBytes } from 'node:crypto'
import { invalid } from '../errors.ts'
import { type BridgeDriver, bridgeOptions } from './drivers/bridge.ts'
import type { HostNetwork } from './host.ts'
import { type Cidr, cidr, contains, formatCidr, formatIp, parseCidr, parseIp, within } from './ip.ts'
import type { NetworkRecord } from './record.ts'
import type { IpamConfig, NetworkConfig } from './types.ts'

const STANDARD_BRIDGE = 'docker0'
const STANDARD_MTU = 1500

/** Records of the three; `known` are those of earlier lives, whose ids stay. `bridge` is missing where daemon.json says `none`. */
export function predefine(
  config: NetworkConfig,
  known: readonly NetworkRecord[],
  host: HostNetwork,
  driver: BridgeDriver,
): NetworkRecord[] {
  const plain = (name: string, kind: string) => earlier(known, name) ?? blank(name, kind)
  const records = [plain('none', 'null'), plain('host', 'host')]
  if (config.bridge !== 'none') {
    const record = earlier(known, 'bridge') ?? blank('bridge', 'bridge')
    configureBridge(record, config, host, driver)
    records.push(record)
  }
  return records
}

const earlier = (known: readonly NetworkRecord[], name: string): NetworkRecord | undefined =>
  known.find(record => record.predefined && record.name === name)

function blank(name: string, driver: string): NetworkRecord {
  return {
    version: 1,
    id: randomBytes(32).toString('hex'),
    created: new Date().toISOString(),
    name,
    driver,
    scope: 'local',
    enableIpv4: true,
    enableIpv6: false,
    internal: false,
    attachable: false,
    ingress: false,
    configOnly: false,
    configFrom: '',
    options: {},
    labels: {},
    ipamDriver: 'default',
    ipamOptions: null,
    ipamConfig: null,
    subnets: [],
    predefined: true,
  }
}

/** What daemon.json says now; the subnet of an earlier life stays where it says nothing. */
function configureBridge(
  record: NetworkRecord,
  config: NetworkConfig,
  host: HostNetwork,
  driver: BridgeDriver,
): void {
  const name = config.bridge || bridgeName(record, host, driver)
  record.hostInterface = name
  record.enableIpv6 = config.ipv6 ?? false
  record.options = {
    'com.docker.network.bridge.default_bridge': 'true',
    'com.docker.network.bridge.enable_icc': String(config.icc ?? true),
    'com.docker.network.bridge.enable_ip_masquerade': String(config.ipMasq ?? true),
    'com.docker.network.bridge.host_binding_ipv4': config.ip ?? '0.0.0.0',
    'com.docker.network.bridge.name': name,
    'com.docker.network.driver.mtu': String(config.mtu || STANDARD_MTU),
  }
  const present = config.bridge ? bridgeAddress(host, config.bridge) : undefined
  const four = configured('bip', config.bip, config.fixedCidr, config.defaultGateway) ?? present
  const six = configured('bip6', config.bip6, config.fixedCidrV6, config.defaultGatewayV6)
  const kept = (family: 4 | 6) =>
    (record.ipamConfig ?? []).filter(one => parseCidr(one.subnet ?? '')?.family === family)
  const configs = [...(four ? [four] : kept(4)), ...(record.enableIpv6 ? (six ? [six] : kept(6)) : [])]
  record.ipamConfig = configs.length > 0 ? configs : null
  record.subnets = []
}

/** `docker0` unless somebody else has it; then the first free of `gantry0`, … The name of an earlier life stays. */
function bridgeName(record: NetworkRecord, host: HostNetwork, driver: BridgeDriver): string {
  const usable = (name: string) => {
    const link = host.link(name)
    return !link || driver.owns(link, record)
  }
  const before = record.subnets.length > 0 ? bridgeOptions(record).name : undefined
  if (before !== undefined && usable(before)) return before
  if (usable(STANDARD_BRIDGE)) return STANDARD_BRIDGE
  for (let index = 0; ; index++) if (usable(`gantry${index}`)) return `gantry${index}`
}

function configured(
  option: string,
  bip: string | undefined,
  fixedCidr: string | undefined,
  gateway: string | undefined,
): IpamConfig | undefined {
  if (!bip && !fixedCidr) {
    if (gateway) throw invalid(`default gateway ${gateway} needs a subnet: set ${option} or fixed-cidr`)
    return undefined
  }
  const own = bip === undefined ? undefined : parseCidr(bip)
  if (bip && !own) throw invalid(`invalid ${option}: ${bip}: invalid CIDR address`)
  const range = fixedCidr === undefined ? undefined : parseCidr(fixedCidr)
  if (fixedCidr && !range) throw invalid(`invalid fixed-cidr: ${fixedCidr}: invalid CIDR address`)
  if (own && range && !within(own, range))
    throw invalid(`fixed-cidr ${fixedCidr} is not in the subnet of ${option} ${bip}`)
  const net = (own ?? range)!
  const hop = gateway ? parseIp(gateway) : undefined
  if (gateway && (!hop || !contains(net, hop)))
    throw invalid(`invalid default gateway ${gateway}: not in ${formatCidr(net)}`)
  const config: IpamConfig = { subnet: formatCidr(net) }
  if (own) config.gateway = formatIp({ family: own.family, value: own.address })
  if (range) config.ipRange = formatCidr(range)
  // Containers leave by another machine.
  if (hop) config.auxiliaryAddresses = { [`DefaultGatewayIPv${hop.family}`]: formatIp(hop) }
  return config
}

/** The subnet of a bridge that an administrator made. */
function bridgeAddress(host: HostNetwork, name: string): IpamConfig | undefined {
  const link = host.link(name)
  if (!link) throw invalid(`bridge device with non default name ${name} must be created manually`)
  const found: Cidr | undefined = host
    .addresses()
    .find(address => address.link === link.index && address.cidr.family === 4)?.cidr
  if (!found) return undefined
  const own = { family: found.family, value: found.address }
  return { subnet: formatCidr(cidr(own, found.prefix)), gateway: formatIp(own) }
}
