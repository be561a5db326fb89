/**
 * Published ports: which are given out, the sockets that hold them against other programs, the elements of the rules'
 * maps that lead them to containers, and the few connections that the daemon has to carry itself.
 */
import * as fs from 'node:fs'
import { hasCode, internal } from '../errors.ts'
import { LinuxError, openSocketInNetns, type SocketKind, setReuseAddress } from '../linux/index.ts'
import { type Forwarder, forwardTcp, forwardUdp } from './forwarder.ts'
import { type PortRequest, PortTable } from './ports.ts'
import type { PortRule } from './ruleset.ts'
import type { Protocol } from './types.ts'

/** Where a container's published ports lead. */
export interface PortTarget {
  ipv4: string | undefined
  ipv6: string | undefined
  /** Not rewritten, only let through (gateway mode `routed`). */
  direct4: boolean
  direct6: boolean
}

/** One host address and port that leads to a container. */
export interface Publication {
  request: PortRequest
  containerPort: number
  protocol: Protocol
  hostIp: string
  hostPort: number
  rule: PortRule | undefined
  release(): void
}

export interface PublisherOptions {
  /** Namespace of the host. */
  netnsFd: number
  /** `--ip`; '' is every address. */
  defaultIp: string
  userlandProxy: boolean
}

export class Publisher {
  readonly #table = new PortTable()
  #resuming = false
  readonly #options: PublisherOptions

  constructor(options: PublisherOptions) {
    this.#options = options
  }

  /**
   * All of `requests`, or Docker's error and none. The rules of the result still have to be written. `resume`: the ports were
   * given out before a crash; who took one meanwhile cannot be heard behind our rules, so it stays the container's.
   */
  open(requests: readonly PortRequest[], target: PortTarget, resume = false): Publication[] {
    const opened: Publication[] = []
    this.#resuming = resume
    try {
      for (const request of requests) opened.push(...this.#openOne(request, target))
    } catch (error) {
      for (const publication of opened) publication.release()
      throw error
    }
    return opened
  }

  #openOne(request: PortRequest, target: PortTarget): Publication[] {
    const addresses = this.#addresses(request, target)
    const [from, to] = request.range
    const any = from === 0
    const candidates = any ? this.#table.ephemeral(request.protocol) : rangeOf(from, to)
    for (const port of candidates) {
      const busy = addresses.find(address => !this.#table.isFree(request.protocol, address, port))
      if (busy !== undefined) {
        if (from === to && !any) {
          throw internal(`Bind for ${bracketed(busy)}:${port} failed: port is already allocated`)
        }
        continue
      }
      try {
        return this.#bind(request, addresses, port, target)
      } catch (error) {
        if (!hasCode(error, 'EADDRINUSE') || (from === to && !any))
          throw bindError(error, request, port, target)
      }
    }
    throw internal('all ports are allocated')
  }

  /** The host addresses of a request: IPv6 only where the host and the way to the container have it. */
  #addresses(request: PortRequest, target: PortTarget): string[] {
    const asked = request.hostIp || this.#options.defaultIp
    if (asked) return [asked]
    const proxied = this.#options.userlandProxy && request.protocol !== 'sctp'
    const six = hasIpv6() && (target.ipv6 !== undefined || proxied)
    return [...(target.ipv4 !== undefined || proxied ? ['0.0.0.0'] : []), ...(six ? ['::'] : [])]
  }

  #bind(request: PortRequest, addresses: string[], hostPort: number, target: PortTarget): Publication[] {
    const opened: Publication[] = []
    try {
      for (const hostIp of addresses) opened.push(this.#bindOne(request, hostIp, hostPort, target))
    } catch (error) {
      for (const publication of opened) publication.release()
      throw error
    }
    return opened
  }

  #bindOne(request: PortRequest, hostIp: string, hostPort: number, target: PortTarget): Publication {
    const { containerPort, protocol } = request
    const family = hostIp.includes(':') ? 6 : 4
    const containerIp = family === 4 ? target.ipv4 : target.ipv6
    const direct = family === 4 ? target.direct4 : target.direct6
    const wildcard = hostIp === '0.0.0.0' || hostIp === '::'
    const rule: PortRule | undefined =
      containerIp === undefined || hostIp === '::1'
        ? undefined
        : {
            family,
            protocol,
            hostIp: wildcard ? undefined : hostIp,
            hostPort,
            containerIp,
            containerPort,
            ...(direct ? { direct } : {}),
          }
    const forwardTo = containerIp ?? target.ipv4 ?? target.ipv6
    const forwards = family === 6 && (wildcard || rule === undefined) && forwardTo !== undefined && !direct
    const held = direct
      ? undefined
      : this.#hold(protocol, hostIp, hostPort, forwards ? forwardTo : undefined, containerPort)
    this.#table.take(protocol, hostIp, hostPort)
    let released = false
    return {
      request,
      containerPort,
      protocol,
      hostIp,
      hostPort,
      rule,
      release: () => {
        if (released) return
        released = true
        this.#table.release(protocol, hostIp, hostPort)
        held?.close()
      },
    }
  }

  /** A bound socket: it keeps other programs away, and forwards to `forwardTo` where that is given. */
  #hold(
    protocol: Protocol,
    hostIp: string,
    port: number,
    forwardTo: string | undefined,
    containerPort: number,
  ): Forwarder | undefined {
    if (protocol === 'sctp') return undefined // no rule of ours needs it, and many kernels have no SCTP sockets
    const forwards = forwardTo !== undefined && this.#options.userlandProxy
    const kind: SocketKind = `${protocol}${hostIp.includes(':') ? 6 : 4}`
    const backlog = forwards && protocol === 'tcp' ? 512 : 0
    let fd: number
    try {
      fd = openSocketInNetns(this.#options.netnsFd, kind, hostIp, port, backlog)
    } catch (error) {
      if (this.#resuming) return undefined
      throw error
    }
    // A listening socket holds its address as it is, and lets its successor in while old connections linger (TIME_WAIT).
    if (backlog === 0) setReuseAddress(fd, false)
    if (!forwards) return { close: () => fs.closeSync(fd) }
    const target = { address: forwardTo, port: containerPort }
    return protocol === 'tcp' ? forwardTcp(fd, target) : forwardUdp(fd, target)
  }
}

function* rangeOf(from: number, to: number): Generator<number> {
  for (let port = from; port <= to; port++) yield port
}

let ipv6: boolean | undefined
function hasIpv6(): boolean {
  ipv6 ??= fs.existsSync('/proc/net/if_inet6')
  return ipv6
}

const bracketed = (address: string): string => (address.includes(':') ? `[${address}]` : address)

/** Docker's words for a socket that could not be bound. The system error says where. */
function bindError(error: unknown, request: PortRequest, port: number, target: PortTarget): unknown {
  const reasons: Record<string, string> = {
    EADDRINUSE: 'address already in use',
    EADDRNOTAVAIL: 'cannot assign requested address',
    EACCES: 'permission denied',
  }
  if (!(error instanceof LinuxError)) return error
  const hostIp = error.path?.replace(/:\d+$/, '') ?? ''
  const container = (hostIp.includes(':') ? target.ipv6 : undefined) ?? target.ipv4 ?? target.ipv6 ?? ''
  return internal(
    `failed to bind host port for ${bracketed(hostIp)}:${port}:${bracketed(container)}:${request.containerPort}/${request.protocol}: ${reasons[error.code] ?? error.message}`,
    error,
  )
}
