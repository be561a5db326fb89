/** What all drivers do to the interface inside a container. */
import { randomBytes } from 'node:crypto'
import { type Cidr, ipBytes } from '../ip.ts'
import { addAddress } from '../netlink/address.ts'
import { formatMac, setLink } from '../netlink/link.ts'
import type { Request } from '../netlink/message.ts'
import type { Attachment } from './driver.ts'

/** Bring the interface up with its addresses. Without an IPv6 address it takes no link-local one either. */
export function addressRequests(index: number, attachment: Attachment): Request[] {
  const { ipv4, ipv6 } = attachment
  return [
    setLink(index, { up: true, ...(ipv6 ? {} : { ipv6LinkLocal: false }) }),
    ...(ipv4 ? [addAddress(index, ipv4)] : []),
    ...(ipv6 ? [addAddress(index, ipv6)] : []),
    ...attachment.linkLocal.map(net => addAddress(index, net)),
  ]
}

/**
 * A locally administered address made of the IPv4 address, so that a neighbour who still remembers the last container of
 * this address finds the new one at once; random where there is no IPv4 address.
 */
export function interfaceMac(ipv4: Cidr | undefined): string {
  const tail = ipv4 ? ipBytes({ family: 4, value: ipv4.address }) : randomBytes(4)
  return formatMac(Uint8Array.from([0x02, 0x42, ...tail]))
}
