/** Addresses of links. rtnetlink(7), linux/if_addr.h. */
import { type Cidr, cidr, formatIp, ipBytes, ipFromBytes, last } from '../ip.ts'
import { Attributes, type Message, NLM_F_CREATE, NLM_F_EXCL, type Request, type Writer } from './message.ts'

const RTM_NEWADDR = 20
const RTM_DELADDR = 21
const RTM_GETADDR = 22

const IFA_ADDRESS = 1
const IFA_LOCAL = 2
const IFA_BROADCAST = 4
/** No duplicate address detection: usable at once. */
const IFA_F_NODAD = 0x02

export interface Address {
  /** ifindex */
  link: number
  cidr: Cidr
  /** 0 universe, 253 link, 254 host */
  scope: number
}

/** Give `link` an address with its subnet; IPv4 also the subnet's broadcast address, IPv6 without waiting for detection. */
export function addAddress(link: number, net: Cidr): Request {
  return {
    type: RTM_NEWADDR,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    what: `add address ${text(net)} to link ${link}`,
    write(writer) {
      header(writer, link, net)
      if (net.family === 4 && net.prefix < 31) {
        writer.attrBytes(IFA_BROADCAST, ipBytes({ family: 4, value: last(net) }))
      }
    },
  }
}

export function deleteAddress(link: number, net: Cidr): Request {
  return {
    type: RTM_DELADDR,
    flags: 0,
    what: `delete address ${text(net)} of link ${link}`,
    write: writer => header(writer, link, net),
  }
}

/** For a dump: all addresses of the namespace. */
export const listAddresses: Request = {
  type: RTM_GETADDR,
  flags: 0,
  what: 'list addresses',
  write: writer => writer.zeros(8),
}

export function readAddress(message: Message): Address | undefined {
  const body = message.body
  const attrs = new Attributes(body, 8)
  const bytes = attrs.bytes(IFA_LOCAL) ?? attrs.bytes(IFA_ADDRESS)
  if (!bytes || (bytes.length !== 4 && bytes.length !== 16)) return undefined
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength)
  return { link: view.getUint32(4, true), cidr: cidr(ipFromBytes(bytes), body[1]!), scope: body[3]! }
}

/** struct ifaddrmsg and the address itself */
function header(writer: Writer, link: number, net: Cidr): void {
  writer.u8(net.family === 4 ? 2 : 10)
  writer.u8(net.prefix)
  writer.u8(net.family === 4 ? 0 : IFA_F_NODAD)
  writer.u8(0)
  writer.u32(link)
  const bytes = ipBytes({ family: net.family, value: net.address })
  writer.attrBytes(IFA_LOCAL, bytes)
  writer.attrBytes(IFA_ADDRESS, bytes)
}

const text = (net: Cidr): string => `${formatIp({ family: net.family, value: net.address })}/${net.prefix}`
