/** The kernel's table of connections, as far as published UDP ports need it. linux/netfilter/nfnetlink_conntrack.h */
import { type Family, formatIp, type Ip, ipBytes, ipFromBytes } from '../ip.ts'
import { Attributes, type Message, type Request, type Writer } from './message.ts'

const NFNL_SUBSYS_CTNETLINK = 1
const CT_GET = (NFNL_SUBSYS_CTNETLINK << 8) | 1
const CT_DELETE = (NFNL_SUBSYS_CTNETLINK << 8) | 2

const CTA_TUPLE_ORIG = 1
const CTA_TUPLE_REPLY = 2
const CTA_TUPLE_IP = 1
const CTA_TUPLE_PROTO = 2
const CTA_PROTO_NUM = 1
const CTA_PROTO_SRC_PORT = 2
const CTA_PROTO_DST_PORT = 3
/** Source and destination, by IP version. */
const CTA_IP = { 4: [1, 2], 6: [3, 4] } as const

export interface Tuple {
  source: Ip
  destination: Ip
  protocol: number
  sourcePort: number
  destinationPort: number
}

export interface Connection {
  original: Tuple
  reply: Tuple
}

/** For a dump: all connections of an IP version. */
export const listConnections = (family: Family): Request => ({
  type: CT_GET,
  flags: 0,
  what: 'list connections',
  write: writer => header(writer, family),
})

/** Forget a connection; ENOENT where it is gone. */
export const deleteConnection = ({ original }: Connection): Request => ({
  type: CT_DELETE,
  flags: 0,
  what: `forget the connection from ${formatIp(original.source)} to ${formatIp(original.destination)}:${original.destinationPort}`,
  write(writer) {
    const [source, destination] = CTA_IP[original.source.family]
    header(writer, original.source.family)
    writer.nest(CTA_TUPLE_ORIG, () => {
      writer.nest(CTA_TUPLE_IP, () => {
        writer.attrBytes(source, ipBytes(original.source))
        writer.attrBytes(destination, ipBytes(original.destination))
      })
      writer.nest(CTA_TUPLE_PROTO, () => {
        writer.attrU8(CTA_PROTO_NUM, original.protocol)
        writer.attrBe16(CTA_PROTO_SRC_PORT, original.sourcePort)
        writer.attrBe16(CTA_PROTO_DST_PORT, original.destinationPort)
      })
    })
  },
})

/** undefined for protocols without ports. */
export function readConnection(message: Message): Connection | undefined {
  const attrs = new Attributes(message.body, 4)
  const original = readTuple(attrs.nested(CTA_TUPLE_ORIG))
  const reply = readTuple(attrs.nested(CTA_TUPLE_REPLY))
  return original && reply && { original, reply }
}

function readTuple(tuple: Attributes | undefined): Tuple | undefined {
  const ip = tuple?.nested(CTA_TUPLE_IP)
  const transport = tuple?.nested(CTA_TUPLE_PROTO)
  const source = ip?.bytes(CTA_IP[4][0]) ?? ip?.bytes(CTA_IP[6][0])
  const destination = ip?.bytes(CTA_IP[4][1]) ?? ip?.bytes(CTA_IP[6][1])
  const protocol = transport?.u8(CTA_PROTO_NUM)
  const sourcePort = transport?.be16(CTA_PROTO_SRC_PORT)
  const destinationPort = transport?.be16(CTA_PROTO_DST_PORT)
  if (
    !source ||
    !destination ||
    protocol === undefined ||
    sourcePort === undefined ||
    destinationPort === undefined
  ) {
    return undefined
  }
  return {
    source: ipFromBytes(source),
    destination: ipFromBytes(destination),
    protocol,
    sourcePort,
    destinationPort,
  }
}

/** struct nfgenmsg */
function header(writer: Writer, family: Family): void {
  writer.u8(family === 4 ? 2 : 10)
  writer.u8(0)
  writer.be16(0)
}
