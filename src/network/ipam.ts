/**
 * Who has which address. An {@link AddressSpace} holds the subnets of all networks, which never overlap each other; a
 * {@link Subnet} hands out the addresses of one of them, the lowest free one first, as Docker does.
 */
import { forbidden, invalid } from '../errors.ts'
import {
  type Cidr,
  contains,
  type Family,
  formatIp,
  type Ip,
  last,
  overlaps,
  parseCidr,
  parseIp,
  width,
} from './ip.ts'
import type { AddressPool, IpamConfig } from './types.ts'

/** Docker's own default pools for IPv4. */
const defaultPools: AddressPool[] = [
  { base: '172.17.0.0/16', size: 16 },
  { base: '172.18.0.0/16', size: 16 },
  { base: '172.19.0.0/16', size: 16 },
  { base: '172.20.0.0/14', size: 16 },
  { base: '172.24.0.0/14', size: 16 },
  { base: '172.28.0.0/14', size: 16 },
  { base: '192.168.0.0/16', size: 20 },
]

export class AddressSpace {
  readonly #pools: { base: Cidr; size: number }[]
  readonly #taken = new Set<Cidr>()

  /** `pools` without one of a family get Docker's: for IPv6 the /48 `ula` of this host, in pieces of /64. */
  constructor(pools: AddressPool[] | undefined, ula: Cidr) {
    const parsed = (pools ?? []).map(pool => {
      const base = parseCidr(pool.base)
      if (!base || base.prefix > pool.size || pool.size > width(base.family)) {
        throw invalid(`invalid default address pool: ${pool.base} size ${pool.size}`)
      }
      return { base, size: pool.size }
    })
    const has = (family: Family) => parsed.some(pool => pool.base.family === family)
    if (!has(4)) parsed.push(...defaultPools.map(pool => ({ base: parseCidr(pool.base)!, size: pool.size })))
    if (!has(6)) parsed.push({ base: ula, size: 64 })
    this.#pools = parsed
  }

  /** Take exactly `net`. Raises forbidden where another network has part of it. */
  take(net: Cidr): void {
    for (const other of this.#taken) {
      if (overlaps(other, net)) {
        throw forbidden('invalid pool request: Pool overlaps with other one on this address space')
      }
    }
    this.#taken.add(net)
  }

  /** Take the first subnet of the default pools that neither a network nor `inUse` (the host's routes) overlaps. */
  takeAny(family: Family, inUse: readonly Cidr[]): Cidr {
    const busy = [...this.#taken, ...inUse].filter(net => net.family === family)
    for (const { base, size } of this.#pools) {
      if (base.family !== family) continue
      const free = firstFree(base, size, busy)
      if (!free) continue
      this.#taken.add(free)
      return free
    }
    throw invalid('all predefined address pools have been fully subnetted')
  }

  release(net: Cidr): void {
    this.#taken.delete(net)
  }
}

/** The first subnet of `prefix` bits in `pool` that is clear of `busy`. Steps over what is busy, however large it is. */
function firstFree(pool: Cidr, prefix: number, busy: readonly Cidr[]): Cidr | undefined {
  const step = 1n << BigInt(width(pool.family) - prefix)
  let base = pool.base
  while (base + step - 1n <= last(pool)) {
    const candidate: Cidr = { family: pool.family, address: base, base, prefix }
    const obstacle = busy.find(net => overlaps(net, candidate))
    if (!obstacle) return candidate
    const beyond = last(obstacle) + 1n
    base = beyond % step === 0n ? beyond : beyond + step - (beyond % step)
  }
  return undefined
}

export class Subnet {
  readonly net: Cidr
  readonly gateway: Ip | undefined
  readonly #range: Cidr
  readonly #used = new Set<bigint>()
  #hint: bigint

  /** `config` was checked before: its texts are addresses of `net`. `gateway`: whether one is reserved where none is named. */
  constructor(net: Cidr, config: IpamConfig, options: { gateway: boolean }) {
    this.net = net
    this.#range = (config.ipRange !== undefined && parseCidr(config.ipRange)) || net
    this.#hint = this.#range.base
    const whole = width(net.family) - net.prefix
    // The subnet's own address and IPv4's broadcast address belong to nobody, unless there is nothing else (RFC 3021).
    if (whole > 1) {
      this.#used.add(net.base)
      if (net.family === 4) this.#used.add(last(net))
    }
    const named = config.gateway === undefined ? undefined : parseIp(config.gateway.split('/')[0]!)
    for (const [name, text] of Object.entries(config.auxiliaryAddresses ?? {})) {
      const ip = parseIp(text)
      if (ip && ip.value === named?.value) {
        throw forbidden(`failed to allocate secondary ip address (${name}:${text}): Address already in use`)
      }
      if (ip) this.#used.add(ip.value)
    }
    this.gateway = named ?? (options.gateway ? this.#firstFree() : undefined)
    if (this.gateway) this.#used.add(this.gateway.value)
  }

  /** The lowest free address; undefined where there is none. */
  allocate(): Ip | undefined {
    const ip = this.#firstFree()
    if (ip) this.#used.add(ip.value)
    return ip
  }

  /** Take exactly `ip`. Raises forbidden where someone has it, invalid where it is outside. */
  claim(ip: Ip): void {
    if (!contains(this.net, ip)) throw invalid(`Requested address is out of range: ${formatIp(ip)}`)
    if (this.#used.has(ip.value)) throw forbidden('Address already in use')
    this.#used.add(ip.value)
  }

  release(ip: Ip): void {
    if (!contains(this.net, ip) || this.gateway?.value === ip.value) return
    this.#used.delete(ip.value)
    if (ip.value < this.#hint && ip.value >= this.#range.base) this.#hint = ip.value
  }

  #firstFree(): Ip | undefined {
    const end = last(this.#range)
    let value = this.#hint
    while (value <= end && this.#used.has(value)) value++
    this.#hint = value
    return value <= end ? { family: this.net.family, value } : undefined
  }
}
