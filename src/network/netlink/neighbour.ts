/** Neighbours: which hardware address an IP address has (ARP, NDP), and a bridge's forwarding entries. linux/neighbour.h */
import { formatIp, type Ip, ipBytes, ipFromBytes } from '../ip.ts'
import { formatMac, macBytes } from './link.ts'
import {
  Attributes,
  type Message,
  NLM_F_CREATE,
  NLM_F_REPLACE,
  type Request,
  type Writer,
} from './message.ts'

export const RTM_NEWNEIGH = 28
export const RTM_DELNEIGH = 29
const RTM_GETNEIGH = 30

const NDA_DST = 1
const NDA_LLADDR = 2
export const NUD_REACHABLE = 0x02
export const NUD_PERMANENT = 0x80
const AF_BRIDGE = 7
const NTF_SELF = 0x02
const NTF_MASTER = 0x04

export interface Neighbour {
  /** ifindex */
  link: number
  address: Ip
  mac: string | undefined
  state: number
}

/** Set an entry, whatever was there. */
export function setNeighbour(link: number, address: Ip, mac: string, state = NUD_PERMANENT): Request {
  return {
    type: RTM_NEWNEIGH,
    flags: NLM_F_CREATE | NLM_F_REPLACE,
    what: `set neighbour ${formatIp(address)} of link ${link} to ${mac}`,
    write(writer) {
      header(writer, address.family === 4 ? 2 : 10, link, state, 0)
      writer.attrBytes(NDA_DST, ipBytes(address))
      writer.attrBytes(NDA_LLADDR, macBytes(mac))
    },
  }
}

/** ENOENT where there is none. */
export function deleteNeighbour(link: number, address: Ip): Request {
  return {
    type: RTM_DELNEIGH,
    flags: 0,
    what: `delete neighbour ${formatIp(address)} of link ${link}`,
    write(writer) {
      header(writer, address.family === 4 ? 2 : 10, link, 0, 0)
      writer.attrBytes(NDA_DST, ipBytes(address))
    },
  }
}

/** Tell a bridge that `mac` is behind its port `link`. */
export function setForwarding(link: number, mac: string, where: 'master' | 'self' = 'master'): Request {
  return {
    type: RTM_NEWNEIGH,
    flags: NLM_F_CREATE | NLM_F_REPLACE,
    what: `set forwarding of ${mac} to link ${link}`,
    write(writer) {
      header(writer, AF_BRIDGE, link, NUD_REACHABLE, where === 'master' ? NTF_MASTER : NTF_SELF)
      writer.attrBytes(NDA_LLADDR, macBytes(mac))
    },
  }
}

/** For a dump: the IP neighbours of all links. */
export const listNeighbours: Request = {
  type: RTM_GETNEIGH,
  flags: 0,
  what: 'list neighbours',
  write: writer => writer.zeros(12),
}

export function readNeighbour(message: Message): Neighbour | undefined {
  const view = new DataView(message.body.buffer, message.body.byteOffset, message.body.byteLength)
  const attrs = new Attributes(message.body, 12)
  const address = attrs.bytes(NDA_DST)
  if (!address || (address.length !== 4 && address.length !== 16)) return undefined
  const mac = attrs.bytes(NDA_LLADDR)
  return {
    link: view.getUint32(4, true),
    address: ipFromBytes(address),
    mac: mac && formatMac(mac),
    state: view.getUint16(8, true),
  }
}

/** struct ndmsg */
function header(writer: Writer, family: number, link: number, state: number, flags: number): void {
  writer.u8(family)
  writer.u8(0)
  writer.u16(0)
  writer.u32(link)
  writer.u16(state)
  writer.u8(flags)
  writer.u8(0)
}
