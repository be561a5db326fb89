/** The networks there are: what is persisted of them, the addresses they hand out, and how they are found. */
import { randomBytes } from 'node:crypto'
import { forbidden, internal, invalid, notFound } from '../errors.ts'
import { contains, type Family, formatCidr, formatIp, type Ip, parseCidr, parseIp } from './ip.ts'
import { AddressSpace, Subnet } from './ipam.ts'
import { type NetworkRecord, NetworkStore, usedConfigs } from './record.ts'
import type { AddressPool, IpamConfig } from './types.ts'

export interface Network {
  record: NetworkRecord
  subnets: Subnet[]
  /** It is being removed: its name and its subnets are taken until that is done, and nobody finds it any more. */
  leaving?: boolean
}

export class Catalog {
  readonly #networks = new Map<string, Network>()
  readonly #store: NetworkStore
  readonly #space: AddressSpace
  readonly #routed: () => ReturnType<typeof parseCidr>[]

  /** `routed` tells which subnets the host reaches already. */
  constructor(
    dataRoot: string,
    pools: AddressPool[] | undefined,
    routed: () => ReturnType<typeof parseCidr>[],
  ) {
    this.#store = new NetworkStore(dataRoot)
    this.#space = new AddressSpace(
      pools,
      this.#store.uniqueLocalPrefix(() => randomBytes(5)),
    )
    this.#routed = routed
  }

  /** What earlier lives of the daemon left. */
  load(): NetworkRecord[] {
    return this.#store.load()
  }

  all(): Network[] {
    return [...this.#networks.values()]
  }

  get(id: string): Network | undefined {
    return this.#networks.get(id)
  }

  /** By full id, name, or a prefix of the id, in this order. */
  find(ref: string): Network {
    const exact = this.lookup(ref)
    if (exact) return exact
    const matching =
      ref === '' ? [] : this.all().filter(({ record, leaving }) => !leaving && record.id.startsWith(ref))
    if (matching.length > 1) {
      throw invalid(`network ${ref} is ambiguous (${matching.length} matches found based on ID prefix)`)
    }
    if (!matching[0]) throw notFound(`network ${ref} not found`)
    return matching[0]
  }

  /** {@link find} without the error. */
  lookup(ref: string): Network | undefined {
    const found = this.#networks.get(ref) ?? this.all().find(network => network.record.name === ref)
    return found?.leaving ? undefined : found
  }

  /**
   * Decide the subnets of a record that has none: those of `ipamConfig`, and one from the pools for each IP version that it does
   * not cover. The record is changed; on an error nothing stays taken.
   */
  assign(record: NetworkRecord, options: { gateway: boolean }): Subnet[] {
    const subnets: Subnet[] = []
    const configs = usedConfigs(record)
    try {
      for (const config of configs) {
        const net = parseCidr(config.subnet ?? '')
        if (!net) throw invalid(`invalid subnet ${config.subnet ?? ''}: invalid CIDR block notation`)
        this.#space.take(net)
        try {
          subnets.push(new Subnet(net, config, options))
        } catch (error) {
          this.#space.release(net)
          throw error
        }
      }
      const covered = (family: Family) => subnets.some(subnet => subnet.net.family === family)
      const routed = this.#routed().filter(net => net !== undefined)
      const chosen: IpamConfig[] = []
      for (const family of [4, 6] as const) {
        if (!(family === 4 ? record.enableIpv4 : record.enableIpv6) || covered(family)) continue
        const subnet = new Subnet(this.#space.takeAny(family, routed), {}, options)
        subnets.push(subnet)
        chosen.push({
          subnet: formatCidr(subnet.net),
          ...(subnet.gateway ? { gateway: formatIp(subnet.gateway) } : {}),
        })
      }
      if (chosen.length > 0) record.ipamConfig = [...(record.ipamConfig ?? []), ...chosen]
      configs.push(...chosen)
    } catch (error) {
      for (const subnet of subnets) this.#space.release(subnet.net)
      throw error
    }
    record.subnets = subnets.map((subnet, index) => {
      const config = configs[index]
      return {
        subnet: formatCidr(subnet.net),
        ...(subnet.gateway ? { gateway: formatIp(subnet.gateway) } : {}),
        ...(config?.ipRange ? { ipRange: config.ipRange } : {}),
        ...(config?.auxiliaryAddresses ? { auxiliaryAddresses: config.auxiliaryAddresses } : {}),
      }
    })
    return subnets
  }

  /** Take the subnets of a record that an earlier life decided. */
  resume(record: NetworkRecord): Subnet[] {
    return record.subnets.map(config => {
      const net = parseCidr(config.subnet)
      if (!net) throw internal(`network ${record.name} has an unreadable subnet: ${config.subnet}`)
      this.#space.take(net)
      return new Subnet(net, config, { gateway: false })
    })
  }

  /** Now it exists: written, then known. */
  add(record: NetworkRecord, subnets: Subnet[]): Network {
    this.#store.save(record)
    const network = { record, subnets }
    this.#networks.set(record.id, network)
    return network
  }

  release(subnets: readonly Subnet[]): void {
    for (const subnet of subnets) this.#space.release(subnet.net)
  }

  remove(network: Network): void {
    this.#networks.delete(network.record.id)
    this.#store.delete(network.record.id)
    this.release(network.subnets)
  }
}

/** An address of `family` for an endpoint: the asked one or the next free one; undefined where the network has none of that family. */
export function allocateAddress(network: Network, family: Family, asked: string | undefined): Ip | undefined {
  const subnets = network.subnets.filter(subnet => subnet.net.family === family)
  if (subnets.length === 0) return undefined
  if (asked) {
    const ip = parseIp(asked)
    const home = ip && subnets.find(subnet => contains(subnet.net, ip))
    if (!home || !ip) throw invalid(`no configured subnet or ip-range contain the IP address ${asked}`)
    home.claim(ip)
    return ip
  }
  for (const subnet of subnets) {
    const ip = subnet.allocate()
    if (ip) return ip
  }
  const { name, id } = network.record
  throw forbidden(`no available IPv${family} addresses on this network's address pools: ${name} (${id})`)
}

/** The subnet that an address of this network belongs to. */
export function homeOf(network: Network, ip: Ip): Subnet | undefined {
  return network.subnets.find(subnet => contains(subnet.net, ip))
}
