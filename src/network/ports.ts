/** The words of `-p`: what was asked for, read; and which host ports are taken. */
import * as fs from 'node:fs'
import { invalid } from '../errors.ts'
import { parseIp } from './ip.ts'
import type { PortBinding, PortMap, Protocol } from './types.ts'

/** One published port as asked for. */
export interface PortRequest {
  containerPort: number
  protocol: Protocol
  /** '' is the default address. */
  hostIp: string
  /** [0, 0] is any free one. */
  range: [from: number, to: number]
}

const PROTOCOLS: readonly string[] = ['tcp', 'udp', 'sctp']

/** `80/tcp`, refused with Docker's words where it is no port. */
function parseContainerPort(text: string): { port: number; protocol: Protocol } {
  const [number = '', protocol = 'tcp', ...rest] = text.split('/')
  if (!/^\d{1,5}$/.test(number) || Number(number) > 65535 || rest.length > 0) {
    throw invalid(`invalid port specification: ${JSON.stringify(number)}`)
  }
  if (!PROTOCOLS.includes(protocol.toLowerCase())) throw invalid(`invalid proto: ${protocol}`)
  return { port: Number(number), protocol: protocol.toLowerCase() as Protocol }
}

function parseRange(text: string): [number, number] {
  if (text === '') return [0, 0]
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text)
  const from = Number(match?.[1] ?? -1)
  const to = Number(match?.[2] ?? from)
  if (from < 0 || to > 65535 || from > to)
    throw invalid(`invalid port specification: ${JSON.stringify(text)}`)
  return [from, to]
}

/** All that a container asks for; fixed host ports before those that may be any. Raises invalid. */
export function portRequests(options: {
  exposedPorts?: readonly string[]
  portBindings?: Record<string, PortBinding[]>
  publishAllPorts?: boolean
}): PortRequest[] {
  const requests: PortRequest[] = []
  const add = (key: string, bindings: readonly PortBinding[]) => {
    const { port, protocol } = parseContainerPort(key)
    for (const { hostIp, hostPort } of bindings) {
      if (hostIp !== '' && !parseIp(hostIp)) throw invalid(`invalid IP address: ${hostIp}`)
      requests.push({ containerPort: port, protocol, hostIp, range: parseRange(hostPort) })
    }
  }
  const anyPort = [{ hostIp: '', hostPort: '' }]
  for (const [key, bindings] of Object.entries(options.portBindings ?? {})) add(key, bindings)
  if (options.publishAllPorts) {
    for (const key of options.exposedPorts ?? []) {
      if (!options.portBindings?.[key]?.length) add(key, anyPort)
    }
  }
  const fixed = (request: PortRequest) => request.range[0] !== 0
  return requests.sort((a, b) => Number(fixed(b)) - Number(fixed(a)) || a.containerPort - b.containerPort)
}

/** `80` and `80/TCP` are `80/tcp`. */
export const portKey = (text: string): string => (text.includes('/') ? text : `${text}/tcp`).toLowerCase()

/** The answer's shape: exposed ports are there even where they are not published. */
export function portMap(
  exposed: readonly string[],
  published: readonly { containerPort: number; protocol: Protocol; hostIp: string; hostPort: number }[],
): PortMap {
  const map: PortMap = {}
  for (const key of exposed) map[portKey(key)] = null
  for (const { containerPort, protocol, hostIp, hostPort } of published) {
    const key = `${containerPort}/${protocol}`
    ;(map[key] ??= []).push({ hostIp, hostPort: String(hostPort) })
  }
  return map
}

/** Which host ports Gantry has given out. An address conflicts with itself and with the one that stands for all. */
export class PortTable {
  /** By `tcp/4/8080`: the addresses. */
  readonly #taken = new Map<string, Set<string>>()
  readonly #last = new Map<string, number>()

  isFree(protocol: Protocol, hostIp: string, port: number): boolean {
    const taken = this.#taken.get(slot(protocol, hostIp, port))
    if (!taken || taken.size === 0) return true
    return !(isWildcard(hostIp) || taken.has(hostIp) || taken.has('0.0.0.0') || taken.has('::'))
  }

  take(protocol: Protocol, hostIp: string, port: number): void {
    const key = slot(protocol, hostIp, port)
    const taken = this.#taken.get(key)
    if (taken) taken.add(hostIp)
    else this.#taken.set(key, new Set([hostIp]))
  }

  release(protocol: Protocol, hostIp: string, port: number): void {
    const key = slot(protocol, hostIp, port)
    const taken = this.#taken.get(key)
    taken?.delete(hostIp)
    if (taken?.size === 0) this.#taken.delete(key)
  }

  /** Candidates for a port that may be any: onward from the last one given out, once around the kernel's ephemeral range. */
  *ephemeral(protocol: Protocol): Generator<number> {
    const [from, to] = ephemeralRange()
    const start = (this.#last.get(protocol) ?? from - 1) + 1
    for (let step = 0; step <= to - from; step++) {
      const port = from + ((start - from + step) % (to - from + 1))
      this.#last.set(protocol, port)
      yield port
    }
  }
}

const isWildcard = (address: string): boolean => address === '0.0.0.0' || address === '::'
const slot = (protocol: Protocol, hostIp: string, port: number): string =>
  `${protocol}/${hostIp.includes(':') ? 6 : 4}/${port}`

function ephemeralRange(): [number, number] {
  try {
    const [from, to] = fs
      .readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8')
      .trim()
      .split(/\s+/)
      .map(Number)
    if (from && to && from <= to) return [from, to]
  } catch {
    // Without it, Docker's own range.
  }
  return [49153, 65535]
}
