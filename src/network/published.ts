/** The published ports of containers that run: opened and closed, following the container's way out, written into the rules. */
import { GantryError, kindOf, messageOf } from '../errors.ts'
import type { ContainerNetwork } from './container.ts'
import { bridgeOptions } from './drivers/bridge.ts'
import { addressOf } from './endpoint.ts'
import type { Live } from './live.ts'
import type { Request } from './netlink/message.ts'
import { type PortRequest, portRequests } from './ports.ts'
import { type PortTarget, type Publication, Publisher } from './publisher.ts'
import type { PortRule } from './ruleset.ts'

export class PublishedPorts {
  readonly #place: Pick<Live, 'bridges' | 'host' | 'logger' | 'rules' | 'store'>
  readonly #publisher: Publisher

  constructor(place: Pick<Live, 'bridges' | 'config' | 'host' | 'logger' | 'rules' | 'store'>) {
    this.#place = place
    const { ip, userlandProxy = true } = place.config
    this.#publisher = new Publisher({
      netnsFd: place.host.netnsFd,
      defaultIp: ip && ip !== '0.0.0.0' ? ip : '',
      userlandProxy,
    })
  }

  /** Where published ports lead now; undefined where nothing leads to the container from outside. */
  target(live: ContainerNetwork): PortTarget | undefined {
    const way = (family: 4 | 6) => {
      const member = live.gateway(family)
      return member?.driver === this.#place.bridges ? member : undefined
    }
    const [four, six] = [way(4), way(6)]
    if (!four && !six) return undefined
    return {
      ipv4: four ? addressOf(four.endpoint.ipv4) : undefined,
      ipv6: six ? addressOf(six.endpoint.ipv6) : undefined,
      direct4: four ? bridgeOptions(four.network.record).gatewayMode4 === 'routed' : false,
      direct6: six ? bridgeOptions(six.network.record).gatewayMode6 === 'routed' : false,
    }
  }

  /** Opens `requests` where the container's way out is a bridge. Docker's words, with the endpoint's name, on an error. */
  open(live: ContainerNetwork, requests: readonly PortRequest[], resume = false): Publication[] {
    const target = this.target(live)
    if (!target || requests.length === 0) return []
    try {
      return this.#publisher.open(requests, target, resume)
    } catch (error) {
      const { endpoint } = live.gateway(4) ?? live.gateway(6) ?? live.members[0]!
      throw new GantryError(
        kindOf(error),
        `driver failed programming external connectivity on endpoint ${live.container.name} (${endpoint.id}): ${messageOf(error)}`,
        { cause: error },
      )
    }
  }

  /** What writes them into the rules. */
  add(live: ContainerNetwork, publications: readonly Publication[]): Request[] {
    const { set } = this.#place.rules
    const rules = rulesOf(publications)
    const fresh = [...new Set(rules.map(rule => rule.containerIp))].filter(
      address => !live.reflected.has(address),
    )
    for (const address of fresh) live.reflected.add(address)
    return [...set.addPorts(rules), ...set.addReflections(fresh)]
  }

  /** Replaces a running container's ports by `requests`; publications that are asked for again are not touched. */
  replace(live: ContainerNetwork, requests: readonly PortRequest[]): void {
    const { rules, store } = this.#place
    const wanted = new Set(requests.map(key))
    const kept = live.publications.filter(({ request }) => wanted.has(key(request)))
    const had = new Set(kept.map(({ request }) => key(request)))
    const gone = live.publications.filter(({ request }) => !wanted.has(key(request)))
    // What goes frees its port first: 8080 may move from one port of the container to another.
    for (const publication of gone) publication.release()
    let opened: Publication[]
    try {
      opened = this.open(
        live,
        requests.filter(request => !had.has(key(request))),
      )
    } catch (error) {
      const former = [...new Map(gone.map(({ request }) => [key(request), request])).values()]
      live.publications = [...kept, ...this.open(live, former)]
      throw error
    }
    live.publications = [...kept, ...opened]
    rules.change([...rules.set.removePorts(rulesOf(gone)), ...this.add(live, opened)])
    this.forgetUdp([...gone, ...opened])
    store.save(live)
  }

  /** After a change of endpoints: ports lead where the way out is now. Those that were given out stay the same ones. */
  follow(live: ContainerNetwork, before: PortTarget | undefined): void {
    if (JSON.stringify(before) === JSON.stringify(this.target(live))) return
    const { rules } = this.#place
    const gone = live.publications
    for (const publication of gone) publication.release()
    live.publications = []
    rules.change(rules.set.removePorts(rulesOf(gone)))
    if (gone.length > 0) this.reopen(live, gone)
    else live.publications = this.open(live, portRequests(live.container))
    rules.change(this.add(live, live.publications))
    this.forgetUdp(live.publications)
  }

  /** Opens the very ports that had been given out. The requests stay the user's, so that a later change recognises them. */
  reopen(
    live: ContainerNetwork,
    former: readonly Pick<Publication, 'request' | 'hostPort'>[],
    resume = false,
  ): void {
    const ports = new Map(former.map(({ request, hostPort }) => [key(request), { request, hostPort }]))
    for (const { request, hostPort } of ports.values()) {
      const opened = this.open(live, [{ ...request, range: [hostPort, hostPort] }], resume)
      live.publications.push(...opened.map(publication => ({ ...publication, request })))
    }
  }

  /** UDP conversations to these ports go where they lead from now on. */
  forgetUdp(publications: readonly Publication[]): void {
    const ports = publications.filter(({ protocol }) => protocol === 'udp').map(({ hostPort }) => hostPort)
    if (ports.length === 0) return
    try {
      this.#place.host.forgetUdp(new Set(ports))
    } catch (error) {
      this.#place.logger.warn('old UDP conversations could not be forgotten', { error: messageOf(error) })
    }
  }
}

const key = (request: PortRequest): string => JSON.stringify(request)

export const rulesOf = (publications: readonly Publication[]): PortRule[] =>
  publications.flatMap(({ rule }) => rule ?? [])
