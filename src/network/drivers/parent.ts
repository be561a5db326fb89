/**
 * `macvlan` and `ipvlan`: a container's interface sits directly on one of the host's, so that the network outside sees it.
 * They differ in what the kernel makes of it, and hardly here.
 */
import { forbidden, internal } from '../../errors.ts'
import type { HostNetwork } from '../host.ts'
import type { Family, Ip } from '../ip.ts'
import type { Namespace } from '../namespace.ts'
import { addLink, deleteLink, type LinkKind, setLink } from '../netlink/link.ts'
import { type NetworkRecord, subnetOf } from '../record.ts'
import type { Attached, Attachment, Driver } from './driver.ts'
import { addressRequests, interfaceMac } from './interface.ts'

const MACVLAN_MODES = ['private', 'vepa', 'bridge', 'passthru'] as const
const IPVLAN_MODES = ['l2', 'l3', 'l3s'] as const
const IPVLAN_FLAGS = ['bridge', 'private', 'vepa'] as const

type Kind = 'macvlan' | 'ipvlan'

export class ParentDriver implements Driver {
  readonly name: Kind
  readonly #host: HostNetwork
  readonly #mark: string

  constructor(name: Kind, host: HostNetwork, mark: string) {
    this.name = name
    this.#host = host
    this.#mark = mark
  }

  validate(record: NetworkRecord, others: readonly NetworkRecord[]): void {
    const mode = this.#mode(record)
    const modes: readonly string[] = this.name === 'macvlan' ? MACVLAN_MODES : IPVLAN_MODES
    if (!modes.includes(mode)) {
      const standard = this.name === 'macvlan' ? 'bridge' : 'l2'
      throw internal(
        `requested ${this.name} mode '${mode}' is not valid, '${standard}' mode is the ${this.name} driver default`,
      )
    }
    const flag = record.options['ipvlan_flag'] || 'bridge'
    if (this.name === 'ipvlan' && !(IPVLAN_FLAGS as readonly string[]).includes(flag)) {
      throw internal(`requested ipvlan flag '${flag}' is not valid, 'bridge' is the ipvlan driver default`)
    }
    const parent = record.options['parent']
    if (parent === 'lo') throw internal(`loopback interface is not a valid ${this.name} parent link`)
    record.hostInterface = parent || `${this.name === 'macvlan' ? 'dm' : 'di'}-${record.id.slice(0, 12)}`
    const rival = others.find(
      other =>
        other.hostInterface === record.hostInterface &&
        ((other.driver === this.name && (mode === 'passthru' || this.#mode(other) === 'passthru')) ||
          (other.driver !== this.name && ['macvlan', 'ipvlan'].includes(other.driver))),
    )
    if (rival) {
      throw forbidden(
        `network ${rival.id.slice(0, 12)} is already using parent interface ${record.hostInterface}`,
      )
    }
  }

  /** The parent: one that is there, a VLAN of one that is there (`eth0.10`), or, without a name, a link to nowhere. */
  create(record: NetworkRecord): void {
    const name = record.hostInterface!
    if (this.#host.link(name)) {
      record.adopted ??= true
      return
    }
    record.adopted = false
    if (record.options['parent']) {
      const [, base = '', id = ''] = /^(.+)\.(\d+)$/.exec(name) ?? []
      if (id === '') throw internal(`invalid subinterface vlan name ${name}, example formatting is eth0.10`)
      const parent = this.#host.link(base)
      if (!parent) throw internal(`the requested parent interface ${base} was not found on the Docker host`)
      if (Number(id) < 1 || Number(id) > 4094) {
        throw internal(`vlan id must be between 1-4094, received: ${Number(id)}`)
      }
      this.#host.route.run(
        addLink({ kind: 'vlan', id: Number(id) }, { name, parent: parent.index, up: true }),
      )
    } else {
      this.#host.route.run(addLink({ kind: 'dummy' }, { name, up: true }))
    }
    this.#host.route.run(setLink(this.#host.link(name)!.index, { alias: `${this.#mark} ${record.id}` }))
  }

  async remove(record: NetworkRecord): Promise<void> {
    if (record.adopted) return
    const link = this.#host.link(record.hostInterface!)
    if (link?.alias === `${this.#mark} ${record.id}`) await this.#host.removeLink(link.index)
  }

  attach(record: NetworkRecord, attachment: Attachment): Attached {
    const { namespace, interfaceName } = attachment
    const parent = this.#host.link(record.hostInterface!)
    if (!parent)
      throw internal(`the parent interface ${record.hostInterface} was not found on the Docker host`)
    const mac = this.name === 'macvlan' ? (attachment.mac ?? interfaceMac(attachment.ipv4)) : undefined
    this.#host.route.run(
      addLink(this.#kind(record), { name: interfaceName, parent: parent.index, mac, netnsFd: namespace.fd }),
    )
    const inside = namespace.link(interfaceName)
    try {
      namespace.route.run(...addressRequests(inside.index, attachment))
    } catch (error) {
      namespace.route.attempt([deleteLink(inside.index)])
      throw error
    }
    return { mac: inside.mac ?? mac ?? '', hostInterface: undefined }
  }

  retire(namespace: Namespace, interfaceName: string): void {
    namespace.route.attempt([setLink(interfaceName, { up: false })])
  }

  detach(_record: NetworkRecord, namespace: Namespace, interfaceName: string): Promise<void> {
    return this.#host.removeLink(namespace.link(interfaceName).index, namespace.fd)
  }

  defaultRoute(record: NetworkRecord, family: Family): { gateway: Ip | undefined } | undefined {
    if (record.internal || !record.options['parent']) return undefined
    if (this.name === 'ipvlan' && this.#mode(record) !== 'l2') return { gateway: undefined }
    const gateway = subnetOf(record, family)?.gateway
    return gateway && { gateway }
  }

  #mode(record: NetworkRecord): string {
    if (this.name === 'macvlan') return record.options['macvlan_mode'] || 'bridge'
    return record.options['ipvlan_mode'] || 'l2'
  }

  #kind(record: NetworkRecord): LinkKind {
    const mode = this.#mode(record)
    if (this.name === 'macvlan') return { kind: 'macvlan', mode: mode as (typeof MACVLAN_MODES)[number] }
    const flag = (record.options['ipvlan_flag'] || 'bridge') as (typeof IPVLAN_FLAGS)[number]
    return { kind: 'ipvlan', mode: mode as (typeof IPVLAN_MODES)[number], flag }
  }
}
