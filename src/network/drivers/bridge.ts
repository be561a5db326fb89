/** `bridge`: a switch in the kernel; each container is a port of it, by a pair of virtual interfaces. */
import { randomBytes } from 'node:crypto'
import { forbidden, internal, invalid } from '../../errors.ts'
import type { HostNetwork } from '../host.ts'
import { type Cidr, type Family, formatIp, type Ip, parseCidr, parseIp } from '../ip.ts'
import type { Namespace } from '../namespace.ts'
import { addAddress, deleteAddress } from '../netlink/address.ts'
import { addLink, deleteLink, formatMac, type Link, setBridgePort, setLink } from '../netlink/link.ts'
import { type NetworkRecord, subnetOf, usedConfigs, wayOut } from '../record.ts'
import type { BridgeRules } from '../ruleset.ts'
import type { Attached, Attachment, Driver } from './driver.ts'
import { addressRequests, interfaceMac } from './interface.ts'

const OPTION = 'com.docker.network.bridge.'
const MTU = 'com.docker.network.driver.mtu'
const HOST_IPV4 = 'com.docker.network.host_ipv4'
const IFNAMSIZ = 15

export type GatewayMode = 'nat' | 'nat-unprotected' | 'routed' | 'isolated'

/** Options that a bridge network was given, read. */
export interface BridgeOptions {
  name: string
  mtu: number | undefined
  icc: boolean
  masquerade: boolean
  /** Where ports go that are published without an address. */
  hostBinding: string | undefined
  /** Leave with this address. */
  hostIpv4: string | undefined
  gatewayMode4: GatewayMode
  gatewayMode6: GatewayMode
}

export function bridgeOptions(record: NetworkRecord): BridgeOptions {
  const option = (name: string) => record.options[OPTION + name]
  return {
    name: record.hostInterface ?? option('name') ?? `br-${record.id.slice(0, 12)}`,
    mtu: Number(record.options[MTU]) || undefined,
    icc: parseBool(option('enable_icc')) ?? true,
    masquerade: parseBool(option('enable_ip_masquerade')) ?? true,
    hostBinding: option('host_binding_ipv4') || undefined,
    hostIpv4: record.options[HOST_IPV4] || undefined,
    gatewayMode4: (option('gateway_mode_ipv4') || 'nat') as GatewayMode,
    gatewayMode6: (option('gateway_mode_ipv6') || 'nat') as GatewayMode,
  }
}

/** The packet rules' view of a network. */
export function bridgeRules(record: NetworkRecord): BridgeRules {
  const options = bridgeOptions(record)
  const out = options.masquerade && !record.internal
  const nat = (mode: GatewayMode) => mode === 'nat' || mode === 'nat-unprotected'
  return {
    name: options.name,
    internal: record.internal,
    masquerade4: out && nat(options.gatewayMode4),
    masquerade6: out && nat(options.gatewayMode6),
    sourceAddress4: out ? options.hostIpv4 : undefined,
    open: [options.gatewayMode4, options.gatewayMode6].includes('nat-unprotected'),
  }
}

export class BridgeDriver implements Driver {
  readonly name = 'bridge'
  readonly #host: HostNetwork
  /** What marks an interface as ours: its alias starts so. */
  readonly #mark: string
  /** With br_netfilter a connection that comes back by a published port to where it came from never leaves the switch. */
  readonly #hairpin: boolean

  constructor(host: HostNetwork, mark: string) {
    this.#host = host
    this.#mark = mark
    this.#hairpin = host.sysctl('net.bridge.bridge-nf-call-iptables') === '1'
  }

  validate(record: NetworkRecord, others: readonly NetworkRecord[]): void {
    for (const [key, value] of Object.entries(record.options)) {
      const kind = OPTION_KINDS[key]
      if (kind === 'int' && !/^[+-]?\d+$/.test(value)) {
        throw invalid(
          `failed to parse ${key} value: ${value} (strconv.Atoi: parsing ${JSON.stringify(value)}: invalid syntax)`,
        )
      }
      if (kind === 'bool' && parseBool(value) === undefined) {
        throw invalid(
          `failed to parse ${key} value: ${value} (strconv.ParseBool: parsing ${JSON.stringify(value)}: invalid syntax)`,
        )
      }
      if (key === MTU && Number(value) < 0) throw invalid(`invalid MTU number: ${value}`)
      if (kind === 'ipv4' && value !== '' && parseIp(value)?.family !== 4) {
        throw invalid(`failed to parse ${key} value: ${value} (nil ip)`)
      }
      if (kind === 'mode' && value === 'isolated' && !record.internal) {
        throw internal("gateway mode 'isolated' can only be used for an internal network")
      }
      if (kind === 'mode' && !['', 'nat', 'nat-unprotected', 'routed', 'isolated'].includes(value)) {
        throw invalid(`failed to parse ${key} value: ${value} (unknown gateway mode ${value})`)
      }
    }
    for (const family of [4, 6] as const) {
      const subnets = usedConfigs(record).filter(({ subnet = '' }) => parseCidr(subnet)?.family === family)
      if (subnets.length > 1) throw forbidden("bridge driver doesn't support multiple subnets")
    }
    if (record.ipamDriver === 'null') throw forbidden('ipv4 pool is empty')
    const { name } = bridgeOptions(record)
    if (name.length > IFNAMSIZ || /[\s/]/.test(name)) throw invalid(`invalid bridge name: ${name}`)
    const rival = others.find(other => other.driver === 'bridge' && bridgeOptions(other).name === name)
    if (rival) {
      throw forbidden(
        `cannot create network ${record.id} (${name}): conflicts with network ${rival.id} (${name}): networks have same bridge name`,
      )
    }
    record.hostInterface = name
  }

  /** Makes the bridge or adopts it, with its addresses and settings. */
  create(record: NetworkRecord): void {
    const { name, mtu } = bridgeOptions(record)
    let link = this.#host.link(name)
    if (link && link.kind !== 'bridge') throw forbidden(`${name} is not a bridge`)
    if (!link) {
      const mac = formatMac(Uint8Array.from([0x02, 0x42, ...randomBytes(4)]))
      this.#host.route.run(addLink({ kind: 'bridge' }, { name, mac, mtu }))
      link = this.#host.link(name)!
      this.#host.route.run(setLink(link.index, { alias: this.#alias(record) }))
    } else if (!this.owns(link, record)) {
      record.adopted = true
    }
    this.#settle(link, record)
    this.#host.route.run(setLink(link.index, { up: true }))
  }

  /** Whether an interface is this network's, made by this daemon. */
  owns(link: Link, record: NetworkRecord): boolean {
    return link.alias === this.#alias(record)
  }

  async remove(record: NetworkRecord): Promise<void> {
    if (record.adopted) return
    const link = this.#host.link(bridgeOptions(record).name)
    if (link && this.owns(link, record)) await this.#host.removeLink(link.index)
  }

  /** Bridges that carry our mark and belong to no network: what a crash between making and writing left. */
  removeStrays(links: readonly Link[], records: readonly NetworkRecord[]): void {
    const strays = links.filter(
      link =>
        link.kind === 'bridge' &&
        link.alias?.startsWith(`${this.#mark} `) &&
        !records.some(record => this.owns(link, record)),
    )
    this.#host.route.attempt(strays.map(link => deleteLink(link.index)))
  }

  /** Make a port of the bridge what was one before the bridge went away. */
  adoptPort(bridge: string, port: string): void {
    const link = this.#host.link(port)
    const master = this.#bridgeIndex(bridge)
    if (link && link.master !== master) this.#host.route.run(setLink(link.index, { master, up: true }))
  }

  attach(record: NetworkRecord, attachment: Attachment): Attached {
    const { name, mtu } = bridgeOptions(record)
    const bridge = this.#bridgeIndex(name)
    const { namespace, interfaceName } = attachment
    const mac = attachment.mac ?? interfaceMac(attachment.ipv4)
    const hostInterface = `veth${randomBytes(4).toString('hex').slice(0, 7)}`
    this.#host.route.run(
      addLink(
        { kind: 'veth', peer: { name: interfaceName, mac, mtu, netnsFd: namespace.fd } },
        { name: hostInterface, mtu, master: bridge, up: true },
      ),
      ...(this.#hairpin ? [setBridgePort(hostInterface, { hairpin: true })] : []),
    )
    try {
      namespace.route.run(...addressRequests(namespace.link(interfaceName).index, attachment))
      // The kernel learns in its own time that a link is up, and drops packets until then; asking for it makes it learn now
      // (since Linux 6.8).
      namespace.link(interfaceName)
      this.#host.link(hostInterface)
    } catch (error) {
      this.#host.route.attempt([deleteLink(hostInterface)])
      throw error
    }
    return { mac, hostInterface }
  }

  retire(_namespace: Namespace, _interfaceName: string, { hostInterface }: Attached): void {
    if (hostInterface !== undefined) this.#host.route.attempt([setLink(hostInterface, { up: false })])
  }

  async detach(
    _record: NetworkRecord,
    _namespace: Namespace,
    _interfaceName: string,
    { hostInterface }: Attached,
  ): Promise<void> {
    const link = hostInterface === undefined ? undefined : this.#host.link(hostInterface)
    if (link) await this.#host.removeLink(link.index)
  }

  defaultRoute(record: NetworkRecord, family: Family): { gateway: Ip | undefined } | undefined {
    if (record.internal) return undefined
    const options = bridgeOptions(record)
    if ((family === 4 ? options.gatewayMode4 : options.gatewayMode6) === 'isolated') return undefined
    const gateway = parseIp(wayOut(record, family) ?? '')
    return gateway && { gateway }
  }

  #alias(record: NetworkRecord): string {
    return `${this.#mark} ${record.id}`
  }

  readonly #indices = new Map<string, number>()

  /** Remembered: a bridge keeps its index. Forgotten where it went away and came back. */
  #bridgeIndex(name: string): number {
    const index = this.#indices.get(name)
    if (index !== undefined) return index
    const link = this.#host.link(name)
    if (!link) throw new Error(`bridge ${name} is gone`)
    this.#indices.set(name, link.index)
    return link.index
  }

  /** Addresses and kernel settings of the bridge itself. */
  #settle(link: Link, record: NetworkRecord): void {
    this.#indices.set(link.name, link.index)
    const host = this.#host
    const wanted = ([4, 6] as const).flatMap(family => {
      const subnet = subnetOf(record, family)
      if (!subnet?.gateway) return []
      return [parseCidr(`${formatIp(subnet.gateway)}/${subnet.net.prefix}`)!]
    })
    const present = host.addresses().filter(address => address.link === link.index)
    const same = (a: Cidr, b: Cidr) =>
      a.family === b.family && a.address === b.address && a.prefix === b.prefix
    const setting = (version: 4 | 6, name: string) => `net/ipv${version}/conf/${link.name}/${name}`
    if (record.enableIpv6) {
      host.setSysctl(setting(6, 'disable_ipv6'), '0')
      wanted.push(parseCidr('fe80::1/64')!)
    }
    host.setSysctl(setting(6, 'accept_ra'), '0')
    // Lets a connection from the host's 127.0.0.1 leave by this bridge; what could come in by it is dropped in `raw`.
    if (!record.internal) host.setSysctl(setting(4, 'route_localnet'), '1')
    const stale = record.adopted
      ? []
      : present.filter(({ cidr, scope }) => scope === 0 && !wanted.some(want => same(want, cidr)))
    host.route.run(
      ...stale.map(({ cidr }) => deleteAddress(link.index, cidr)),
      ...wanted
        .filter(want => !present.some(({ cidr }) => same(want, cidr)))
        .map(want => addAddress(link.index, want)),
    )
  }
}

const OPTION_KINDS: Record<string, 'bool' | 'int' | 'mode' | 'ipv4'> = {
  [`${OPTION}enable_icc`]: 'bool',
  [`${OPTION}enable_ip_masquerade`]: 'bool',
  [`${OPTION}inhibit_ipv4`]: 'bool',
  [`${OPTION}default_bridge`]: 'bool',
  [`${OPTION}gateway_mode_ipv4`]: 'mode',
  [`${OPTION}gateway_mode_ipv6`]: 'mode',
  [`${OPTION}host_binding_ipv4`]: 'ipv4',
  [HOST_IPV4]: 'ipv4',
  [MTU]: 'int',
}

/** Go's strconv.ParseBool. */
function parseBool(text: string | undefined): boolean | undefined {
  if (text === undefined) return undefined
  if (['1', 't', 'T', 'TRUE', 'true', 'True'].includes(text)) return true
  if (['0', 'f', 'F', 'FALSE', 'false', 'False'].includes(text)) return false
  return undefined
}
