/** Networks without `icc`: whose ports are kept apart, and the links that are the only way between them. */
import type { ContainerNetwork, Member } from './container.ts'
import { bridgeOptions } from './drivers/bridge.ts'
import { addressOf } from './endpoint.ts'
import type { LinkRule } from './isolation.ts'
import { parsePort } from './links.ts'
import type { Live } from './live.ts'
import type { Request } from './netlink/message.ts'

type Place = Pick<Live, 'catalog' | 'containers' | 'rules'>

export const isRestricted = ({ network: { record } }: Member): boolean =>
  record.driver === 'bridge' && !bridgeOptions(record).icc

/** What keeps these endpoints of a container apart from others, and lets it and its linked ones through. */
export function restrict(place: Place, live: ContainerNetwork, members: readonly Member[]): Request[] {
  const restricted = members.filter(isRestricted)
  if (restricted.length === 0) return []
  const { isolation } = place.rules
  const own = new Set(live.members.map(({ endpoint }) => endpoint.id))
  return [...isolation.isolatePorts(portsOf(restricted)), ...isolation.addLinks(linksOf(place, own))]
}

/** What undoes {@link restrict}. To be asked before the endpoints go, and carried out after. */
export function unrestrict(place: Place, members: readonly Member[]): Request[] {
  const restricted = members.filter(isRestricted)
  if (restricted.length === 0) return []
  const { isolation } = place.rules
  const gone = new Set(restricted.map(({ endpoint }) => endpoint.id))
  return [...isolation.releasePorts(portsOf(restricted)), ...isolation.removeLinks(linksOf(place, gone))]
}

const portsOf = (members: readonly Member[]): string[] =>
  members.flatMap(({ endpoint }) => endpoint.hostInterface ?? [])

const linksOf = (place: Place, endpoints: ReadonlySet<string>): LinkRule[] =>
  allLinks(place).filter(link => link.endpoints.some(id => endpoints.has(id)))

/** Along `--link` of the default bridge: the exposed ports of the linked container. */
export function allLinks({ catalog, containers }: Place): (LinkRule & { endpoints: string[] })[] {
  const bridge = catalog.lookup('bridge')
  if (!bridge || bridgeOptions(bridge.record).icc) return []
  const { id } = bridge.record
  return [...containers.values()].flatMap(live =>
    (live.container.links ?? []).flatMap(target => {
      const client = live.member(id)?.endpoint
      const server = containers.get(target.id)?.member(id)?.endpoint
      if (!client?.ipv4 || !server?.ipv4) return []
      return target.exposedPorts.map(text => ({
        client: addressOf(client.ipv4),
        server: addressOf(server.ipv4),
        ...parsePort(text),
        endpoints: [client.id, server.id],
      }))
    }),
  )
}
