/** `--link` on the default bridge: the variables that tell a container of the one it is linked to. */
import type { LinkTarget, Protocol } from './types.ts'

/** Variables of the image build, which say nothing to a linked container. */
const PRIVATE = ['HOME', 'PATH']

interface Port {
  port: number
  protocol: Protocol
}

/** `80/tcp`; tcp where nothing is said. */
export function parsePort(text: string): Port {
  const [port, protocol = 'tcp'] = text.split('/')
  return { port: Number(port), protocol: protocol as Protocol }
}

/** `NAME=value` of one link. `parent` is the name of the container that gets them. */
export function linkEnvironment(parent: string, target: LinkTarget, address: string): string[] {
  const prefix = target.alias.toUpperCase().replaceAll('-', '_')
  const ports = target.exposedPorts.map(parsePort).sort(byPort)
  const url = ({ port, protocol }: Port) => `${protocol}://${address}:${port}`
  const env = [`${prefix}_NAME=/${parent}/${target.alias}`]
  if (ports[0]) env.push(`${prefix}_PORT=${url(ports[0])}`)
  for (const [start, end] of consecutive(ports)) {
    if (start === end) continue
    const one = `${prefix}_PORT_${start.port}_${start.protocol.toUpperCase()}`
    env.push(`${one}_START=${url(start)}`, `${one}_PORT_START=${start.port}`)
    env.push(`${one}_END=${url(end)}`, `${one}_PORT_END=${end.port}`)
  }
  for (const port of ports) {
    const one = `${prefix}_PORT_${port.port}_${port.protocol.toUpperCase()}`
    env.push(`${one}=${url(port)}`, `${one}_ADDR=${address}`, `${one}_PORT=${port.port}`)
    env.push(`${one}_PROTO=${port.protocol}`)
  }
  for (const variable of target.env) {
    const [name] = variable.split('=')
    if (variable.includes('=') && !PRIVATE.includes(name!)) env.push(`${prefix}_ENV_${variable}`)
  }
  return env
}

const ORDER: Protocol[] = ['tcp', 'udp', 'sctp']
const byPort = (a: Port, b: Port): number =>
  a.port - b.port || ORDER.indexOf(a.protocol) - ORDER.indexOf(b.protocol)

/** Runs of neighbouring ports of one protocol. */
function consecutive(ports: readonly Port[]): [start: Port, end: Port][] {
  const runs: [Port, Port][] = []
  for (const port of ports) {
    const run = runs.findLast(([, end]) => end.protocol === port.protocol)
    if (run && run[1].port + 1 === port.port) run[1] = port
    else runs.push([port, port])
  }
  return runs
}
