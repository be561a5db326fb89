/** Links: network interfaces of every kind that containers need. rtnetlink(7), linux/if_link.h. */
import { Attributes, type Message, NLM_F_CREATE, NLM_F_EXCL, type Request, type Writer } from './message.ts'

export const RTM_NEWLINK = 16
const RTM_DELLINK = 17
export const RTM_GETLINK = 18
const RTM_SETLINK = 19

const IFLA_ADDRESS = 1
const IFLA_IFNAME = 3
const IFLA_MTU = 4
const IFLA_LINK = 5
const IFLA_MASTER = 10
const IFLA_LINKINFO = 18
const IFLA_IFALIAS = 20
const IFLA_AF_SPEC = 26
const IFLA_NET_NS_FD = 28
const IFLA_LINK_NETNSID = 37

const IFLA_INFO_KIND = 1
const IFLA_INFO_DATA = 2
const IFLA_INFO_SLAVE_KIND = 4
const IFLA_INFO_SLAVE_DATA = 5
const VETH_INFO_PEER = 1
const IFLA_BR_FORWARD_DELAY = 1
const IFLA_BR_STP_STATE = 5
const IFLA_BR_MCAST_SNOOPING = 23
const IFLA_MACVLAN_MODE = 1
const IFLA_IPVLAN_MODE = 1
const IFLA_IPVLAN_FLAGS = 2
const IFLA_VLAN_ID = 1
const IFLA_INET6_ADDR_GEN_MODE = 8
const IFLA_BRPORT_MODE = 4
const IFLA_BRPORT_LEARNING = 8
const IFLA_BRPORT_UNICAST_FLOOD = 9
const IFLA_BRPORT_ISOLATED = 33

export const IFF_UP = 0x1
const AF_INET6 = 10

/** The kinds of links, with what each needs. */
export type LinkKind =
  | { kind: 'bridge'; stp?: boolean; multicastSnooping?: boolean; forwardDelay?: number }
  | { kind: 'veth'; peer: LinkSpec }
  | { kind: 'macvlan'; mode: 'private' | 'vepa' | 'bridge' | 'passthru' }
  | { kind: 'ipvlan'; mode: 'l2' | 'l3' | 'l3s'; flag?: 'bridge' | 'private' | 'vepa' }
  | { kind: 'vlan'; id: number }
  | { kind: 'dummy' }

/** What a link is to have. What is absent stays as it is, or is the kernel's choice. */
export interface LinkSpec {
  name?: string
  /** `02:42:ac:11:00:02` */
  mac?: string
  mtu?: number
  up?: boolean
  /** The ifindex of a bridge to join; 0 leaves it. */
  master?: number
  /** The ifindex of the link that this one sits on (macvlan, ipvlan, vlan). */
  parent?: number
  /** The open network namespace to make it in, or to move it to. */
  netnsFd?: number
  /** Free text that the kernel keeps; up to 255 bytes. Only where a link is changed, not where it is made. */
  alias?: string
  /** Whether IPv6 makes itself a link-local address. Only where a link is changed. */
  ipv6LinkLocal?: boolean
}

export interface Link {
  index: number
  name: string
  flags: number
  kind: string | undefined
  mac: string | undefined
  mtu: number | undefined
  /** ifindex of the bridge it is a port of. */
  master: number | undefined
  parent: number | undefined
  alias: string | undefined
  /** Where the other end of a veth is in another namespace. */
  peerNetnsId: number | undefined
}

/** Make a link; EEXIST where the name is taken. */
export function addLink(kind: LinkKind, spec: LinkSpec): Request {
  return {
    type: RTM_NEWLINK,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    what: `create ${kind.kind} ${spec.name ?? ''}`.trimEnd(),
    write(writer) {
      header(writer, 0, spec)
      attributes(writer, spec)
      writer.nest(IFLA_LINKINFO, () => {
        writer.attrString(IFLA_INFO_KIND, kind.kind)
        if (hasData(kind)) writer.nest(IFLA_INFO_DATA, () => data(writer, kind))
      })
    },
  }
}

/** Change a link, by ifindex or by name (which then cannot be changed). */
export function setLink(link: number | string, spec: LinkSpec): Request {
  return {
    type: RTM_SETLINK,
    flags: 0,
    what: `change link ${link}`,
    write(writer) {
      header(writer, typeof link === 'number' ? link : 0, spec)
      if (typeof link === 'string') writer.attrString(IFLA_IFNAME, link)
      attributes(writer, spec)
      if (spec.alias !== undefined) writer.attrString(IFLA_IFALIAS, spec.alias)
      if (spec.ipv6LinkLocal !== undefined) {
        writer.nest(IFLA_AF_SPEC, () => {
          writer.nest(AF_INET6, () => writer.attrU8(IFLA_INET6_ADDR_GEN_MODE, spec.ipv6LinkLocal ? 0 : 1))
        })
      }
    },
  }
}

export interface BridgePortSpec {
  hairpin?: boolean
  /** Isolated ports do not reach each other. */
  isolated?: boolean
  learning?: boolean
  unicastFlood?: boolean
}

/** Change what a link (by ifindex or name) is allowed as a port of its bridge. */
export function setBridgePort(link: number | string, spec: BridgePortSpec): Request {
  const flag = (writer: Writer, type: number, value: boolean | undefined) => {
    if (value !== undefined) writer.attrU8(type, value ? 1 : 0)
  }
  return {
    type: RTM_NEWLINK,
    flags: 0,
    what: `change bridge port ${link}`,
    write(writer) {
      header(writer, typeof link === 'number' ? link : 0, {})
      if (typeof link === 'string') writer.attrString(IFLA_IFNAME, link)
      writer.nest(IFLA_LINKINFO, () => {
        writer.attrString(IFLA_INFO_SLAVE_KIND, 'bridge')
        writer.nest(IFLA_INFO_SLAVE_DATA, () => {
          flag(writer, IFLA_BRPORT_MODE, spec.hairpin)
          flag(writer, IFLA_BRPORT_LEARNING, spec.learning)
          flag(writer, IFLA_BRPORT_UNICAST_FLOOD, spec.unicastFlood)
          flag(writer, IFLA_BRPORT_ISOLATED, spec.isolated)
        })
      })
    },
  }
}

export function deleteLink(link: number | string): Request {
  return {
    type: RTM_DELLINK,
    flags: 0,
    what: `delete link ${link}`,
    write(writer) {
      header(writer, typeof link === 'number' ? link : 0, {})
      if (typeof link === 'string') writer.attrString(IFLA_IFNAME, link)
    },
  }
}

/** One link, by ifindex or name. */
export function getLink(link: number | string): Request {
  return { ...deleteLink(link), type: RTM_GETLINK, what: `find link ${link}` }
}

/** For a dump. */
export const listLinks: Request = {
  type: RTM_GETLINK,
  flags: 0,
  what: 'list links',
  write: writer => header(writer, 0, {}),
}

export function readLink(message: Message): Link {
  const view = new DataView(message.body.buffer, message.body.byteOffset, message.body.byteLength)
  const attrs = new Attributes(message.body, 16)
  const mac = attrs.bytes(IFLA_ADDRESS)
  return {
    index: view.getInt32(4, true),
    name: attrs.string(IFLA_IFNAME) ?? '',
    flags: view.getUint32(8, true),
    kind: attrs.nested(IFLA_LINKINFO)?.string(IFLA_INFO_KIND),
    mac: mac && formatMac(mac),
    mtu: attrs.u32(IFLA_MTU),
    master: attrs.u32(IFLA_MASTER),
    parent: attrs.u32(IFLA_LINK),
    alias: attrs.string(IFLA_IFALIAS),
    peerNetnsId: attrs.u32(IFLA_LINK_NETNSID),
  }
}

export const formatMac = (bytes: Uint8Array): string =>
  Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join(':')

const macBytes = (text: string): Uint8Array =>
  Uint8Array.from(text.split(/[:-]/), part => Number.parseInt(part, 16))

/** struct ifinfomsg */
function header(writer: Writer, index: number, spec: LinkSpec): void {
  writer.u8(0)
  writer.u8(0)
  writer.u16(0)
  writer.u32(index)
  writer.u32(spec.up ? IFF_UP : 0)
  writer.u32(spec.up === undefined ? 0 : IFF_UP)
}

function attributes(writer: Writer, spec: LinkSpec): void {
  if (spec.name !== undefined) writer.attrString(IFLA_IFNAME, spec.name)
  if (spec.mac !== undefined) writer.attrBytes(IFLA_ADDRESS, macBytes(spec.mac))
  if (spec.mtu !== undefined) writer.attrU32(IFLA_MTU, spec.mtu)
  if (spec.parent !== undefined) writer.attrU32(IFLA_LINK, spec.parent)
  if (spec.master !== undefined) writer.attrU32(IFLA_MASTER, spec.master)
  if (spec.netnsFd !== undefined) writer.attrU32(IFLA_NET_NS_FD, spec.netnsFd)
}

const MACVLAN_MODES = { private: 1, vepa: 2, bridge: 4, passthru: 8 }
const IPVLAN_MODES = { l2: 0, l3: 1, l3s: 2 }
const IPVLAN_FLAGS = { bridge: 0, private: 1, vepa: 2 }

function hasData(kind: LinkKind): boolean {
  if (kind.kind === 'dummy') return false
  if (kind.kind !== 'bridge') return true
  return kind.stp !== undefined || kind.multicastSnooping !== undefined || kind.forwardDelay !== undefined
}

function data(writer: Writer, kind: LinkKind): void {
  switch (kind.kind) {
    case 'bridge':
      if (kind.forwardDelay !== undefined) writer.attrU32(IFLA_BR_FORWARD_DELAY, kind.forwardDelay)
      if (kind.stp !== undefined) writer.attrU32(IFLA_BR_STP_STATE, kind.stp ? 1 : 0)
      if (kind.multicastSnooping !== undefined) {
        writer.attrU8(IFLA_BR_MCAST_SNOOPING, kind.multicastSnooping ? 1 : 0)
      }
      break
    case 'veth':
      writer.nest(VETH_INFO_PEER, () => {
        header(writer, 0, kind.peer)
        attributes(writer, kind.peer)
      })
      break
    case 'macvlan':
      writer.attrU32(IFLA_MACVLAN_MODE, MACVLAN_MODES[kind.mode])
      break
    case 'ipvlan':
      writer.attrU16(IFLA_IPVLAN_MODE, IPVLAN_MODES[kind.mode])
      if (kind.flag !== undefined) writer.attrU16(IFLA_IPVLAN_FLAGS, IPVLAN_FLAGS[kind.flag])
      break
    case 'vlan':
      writer.attrU16(IFLA_VLAN_ID, kind.id)
      break
    case 'dummy':
      break
  }
}
