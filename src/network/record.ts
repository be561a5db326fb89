/** What is kept of a network: one JSON file each, in `<data-root>/networks/`. */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { readJson, sweepTemporary, syncFolder, writeJsonDurable } from '../durable.ts'
import { type Cidr, type Ip, parseCidr, parseIp } from './ip.ts'
import type { IpamConfig, NetworkSpec } from './types.ts'

/** One subnet as it was decided. */
export interface SubnetRecord {
  /** CIDR */
  subnet: string
  /** Absent where there is none (internal macvlan for example). */
  gateway?: string
  ipRange?: string
  auxiliaryAddresses?: Record<string, string>
}

export interface NetworkRecord {
  version: 1
  /** 64 hex digits. */
  id: string
  /** RFC 3339 */
  created: string
  name: string
  driver: string
  scope: string
  enableIpv4: boolean
  enableIpv6: boolean
  internal: boolean
  attachable: boolean
  ingress: boolean
  configOnly: boolean
  configFrom: string
  options: Record<string, string>
  labels: Record<string, string>
  ipamDriver: string
  ipamOptions: Record<string, string> | null
  /** As the user said it, which is what inspect shows; null where they said nothing. */
  ipamConfig: IpamConfig[] | null
  /** As it was decided. */
  subnets: SubnetRecord[]
  /** The bridge, or a parent interface that was made for this network. */
  hostInterface?: string
  /** The interface was there before the network and stays after it. */
  adopted?: boolean
  /** One of Docker's own three. */
  predefined?: boolean
}

/** Subnets that were asked for, without those of an IP version that the network does not have: those are only shown. */
export const usedConfigs = (
  record: Pick<NetworkRecord, 'ipamConfig' | 'enableIpv4' | 'enableIpv6'>,
): IpamConfig[] =>
  (record.ipamConfig ?? []).filter(({ subnet = '' }) => {
    const family = parseCidr(subnet)?.family
    return family === 4 ? record.enableIpv4 : family === 6 ? record.enableIpv6 : true
  })

export const subnetOf = (
  record: NetworkRecord,
  family: 4 | 6,
): { net: Cidr; gateway: Ip | undefined } | undefined => {
  for (const subnet of record.subnets) {
    const net = parseCidr(subnet.subnet)
    if (net?.family === family) return { net, gateway: subnet.gateway ? parseIp(subnet.gateway) : undefined }
  }
  return undefined
}

/** Where containers leave a bridge network: the machine that was named for it, or the bridge itself. */
export function wayOut(record: NetworkRecord, family: 4 | 6): string | undefined {
  const subnet = record.subnets.find(one => parseCidr(one.subnet)?.family === family)
  return subnet?.auxiliaryAddresses?.[`DefaultGatewayIPv${family}`] ?? subnet?.gateway
}

/** Whether names are served on it: everything but Docker's own three. */
export const isUserDefined = (record: NetworkRecord): boolean => !record.predefined

export type { NetworkSpec }

export class NetworkStore {
  readonly #folder: string

  constructor(dataRoot: string) {
    this.#folder = path.join(dataRoot, 'networks')
    fs.mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
    sweepTemporary(this.#folder)
  }

  /** Oldest first. */
  load(): NetworkRecord[] {
    return fs
      .readdirSync(this.#folder)
      .filter(name => /^[0-9a-f]{64}\.json$/.test(name))
      .flatMap(name => readJson<NetworkRecord>(path.join(this.#folder, name)) ?? [])
      .sort((a, b) => (a.created < b.created ? -1 : 1))
  }

  save(record: NetworkRecord): void {
    writeJsonDurable(this.#file(record.id), record)
  }

  delete(id: string): void {
    fs.rmSync(this.#file(id), { force: true })
    syncFolder(this.#folder)
  }

  /** The random /48 of this host's own IPv6 networks (RFC 4193), chosen once. */
  uniqueLocalPrefix(random: () => Uint8Array): Cidr {
    const file = path.join(this.#folder, 'ula.json')
    const known = readJson<{ prefix: string }>(file)
    if (known) return parseCidr(known.prefix)!
    const hex = Buffer.from(random()).toString('hex')
    const prefix = `fd${hex.slice(0, 2)}:${hex.slice(2, 6)}:${hex.slice(6, 10)}::/48`
    writeJsonDurable(file, { prefix })
    return parseCidr(prefix)!
  }

  #file(id: string): string {
    return path.join(this.#folder, `${id}.json`)
  }
}
