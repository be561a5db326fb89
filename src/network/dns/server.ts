/**
 * The resolver's sockets inside a container's namespace. They listen on 127.0.0.11 at ports of the kernel's choice, so that
 * port 53 stays the container's own; packet rules in there rewrite 53 to them and back, without tracking connections.
 */
import * as dgram from 'node:dgram'
import * as net from 'node:net'
import { openSocketInNetns } from '../../linux/index.ts'
import type { Namespace } from '../namespace.ts'
import type { Request } from '../netlink/message.ts'
import {
  compare,
  type Expression,
  immediate,
  meta,
  notrack,
  payload,
  setPayload,
} from '../netlink/nft-expressions.ts'
import * as nft from '../netlink/nftables.ts'
import type { Resolver } from './resolver.ts'

const ADDRESS = '127.0.0.11'
const PORT = 53
const MAX_TCP_CLIENTS = 64
const TCP_IDLE_MS = 10_000

export class NameServer {
  readonly #udp: dgram.Socket
  readonly #tcp: net.Server
  readonly #clients = new Set<net.Socket>()

  /** `resolver` answers. `replace` where the namespace has the rules of an earlier server: they name ports that are gone. */
  constructor(namespace: Namespace, resolver: Resolver, replace: boolean) {
    const udpFd = openSocketInNetns(namespace.fd, 'udp4', ADDRESS, 0)
    this.#udp = dgram.createSocket('udp4')
    this.#udp.on('error', () => {})
    this.#udp.on('message', (query, from) => {
      const send = (reply: Buffer | undefined) => {
        if (reply && !this.#closed) this.#udp.send(reply, from.port, from.address, () => {})
      }
      const reply = resolver.answer(query, false)
      if (reply instanceof Promise) reply.then(send)
      else send(reply)
    })
    this.#udp.bind({ fd: udpFd })
    const tcpFd = openSocketInNetns(namespace.fd, 'tcp4', ADDRESS, 0)
    this.#tcp = net.createServer(client => this.#serve(client, resolver))
    this.#tcp.maxConnections = MAX_TCP_CLIENTS
    this.#tcp.on('error', () => {})
    this.#tcp.listen({ fd: tcpFd })
    namespace.rules([...(replace ? CLEAR : []), ...redirect(portOf(this.#udp), portOf(this.#tcp))])
  }

  #closed = false

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#udp.close()
    this.#tcp.close()
    for (const client of this.#clients) client.destroy()
  }

  #serve(client: net.Socket, resolver: Resolver): void {
    this.#clients.add(client)
    client.on('close', () => this.#clients.delete(client))
    client.on('error', () => {})
    client.setTimeout(TCP_IDLE_MS, () => client.destroy())
    let received = Buffer.alloc(0)
    client.on('data', (data: Buffer) => {
      received = Buffer.concat([received, data])
      while (received.length >= 2) {
        const length = received.readUInt16BE(0)
        if (received.length < 2 + length) return
        const query = received.subarray(2, 2 + length)
        received = received.subarray(2 + length)
        void Promise.resolve(resolver.answer(query, true)).then(reply => {
          if (!reply || client.destroyed) return
          const prefix = Buffer.alloc(2)
          prefix.writeUInt16BE(reply.length)
          client.write(Buffer.concat([prefix, reply]))
        })
      }
    })
  }
}

const portOf = (socket: dgram.Socket | net.Server): number => (socket.address() as net.AddressInfo).port

const portBytes = (port: number): Uint8Array => Uint8Array.of(port >> 8, port & 0xff)
const addressBytes = Uint8Array.from(ADDRESS.split('.'), Number)
const table: nft.TableRef = { family: 'ip', table: 'gantry-dns' }
const CLEAR = [nft.addTable(table), nft.deleteTable(table)]
/** Number, and where in its header the checksum is. */
const TRANSPORTS = { udp: [17, 6], tcp: [6, 16] } as const
const SOURCE = { address: 12, port: 0 }
const DESTINATION = { address: 16, port: 2 }

function redirect(udpPort: number, tcpPort: number): Request[] {
  const rewrite = (protocol: 'udp' | 'tcp', side: typeof SOURCE, from: number, to: number) => {
    const [number, checksum] = TRANSPORTS[protocol]
    const expressions: Expression[] = [
      meta('l4proto'),
      compare('==', Uint8Array.of(number)),
      payload('network', side.address, 4),
      compare('==', addressBytes),
      payload('transport', side.port, 2),
      compare('==', portBytes(from)),
      notrack,
      immediate(portBytes(to)),
      setPayload('transport', side.port, 2, checksum),
    ]
    return nft.addRule(table, 'output', expressions)
  }
  return [
    nft.addTable(table),
    nft.addChain(table, 'output', { type: 'filter', hook: 'output', priority: -300 }),
    rewrite('udp', DESTINATION, PORT, udpPort),
    rewrite('tcp', DESTINATION, PORT, tcpPort),
    rewrite('udp', SOURCE, udpPort, PORT),
    rewrite('tcp', SOURCE, tcpPort, PORT),
  ]
}
