/**
 * Connections that packet rules cannot carry, carried by the daemon: from ::1, which cannot leave `lo`, and from IPv6 to a
 * container that has only IPv4. They end when the daemon does; all others do not pass through here.
 */
import * as dgram from 'node:dgram'
import * as net from 'node:net'

export interface Forwarder {
  close(): void
}

export interface ForwardTarget {
  address: string
  port: number
}

/** Takes over the listening socket `fd`. */
export function forwardTcp(fd: number, target: ForwardTarget): Forwarder {
  const open = new Set<net.Socket>()
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true }, client => {
    const upstream = net.connect({ host: target.address, port: target.port, allowHalfOpen: true })
    for (const socket of [client, upstream]) {
      open.add(socket)
      socket.setNoDelay(true)
      socket.on('close', () => open.delete(socket))
    }
    client.on('error', () => upstream.destroy())
    upstream.on('error', () => client.destroy())
    upstream.on('connect', () => {
      client.pipe(upstream)
      upstream.pipe(client)
    })
    client.on('close', () => upstream.destroy())
  })
  server.on('error', () => {})
  server.listen({ fd })
  return {
    close() {
      server.close()
      for (const socket of open) socket.destroy()
    },
  }
}

/** After so long without a datagram a client's way back is forgotten. */
const IDLE_MS = 90_000
/** A flood of spoofed sources must not take all fds. */
const MAX_CLIENTS = 1024

/** Takes over the bound socket `fd`. */
export function forwardUdp(fd: number, target: ForwardTarget): Forwarder {
  const server = dgram.createSocket({ type: 'udp6', ipv6Only: true })
  const clients = new Map<string, { socket: dgram.Socket; timer: NodeJS.Timeout }>()
  const forget = (key: string) => {
    const client = clients.get(key)
    if (!client) return
    clients.delete(key)
    clearTimeout(client.timer)
    client.socket.close()
  }
  server.on('error', () => {})
  server.on('message', (data, from) => {
    const key = `${from.address} ${from.port}`
    let client = clients.get(key)
    if (!client) {
      if (clients.size >= MAX_CLIENTS) forget(clients.keys().next().value!)
      const socket = dgram.createSocket(net.isIPv6(target.address) ? 'udp6' : 'udp4')
      const timer = setTimeout(() => forget(key), IDLE_MS)
      timer.unref()
      socket.on('error', () => forget(key))
      socket.on('message', reply => server.send(reply, from.port, from.address, () => {}))
      socket.connect(target.port, target.address)
      socket.once('connect', () => socket.send(data))
      client = { socket, timer }
      clients.set(key, client)
      return
    }
    client.timer.refresh()
    try {
      client.socket.send(data)
    } catch {
      // Not connected yet: a datagram may be lost.
    }
  })
  server.bind({ fd })
  return {
    close() {
      for (const key of [...clients.keys()]) forget(key)
      server.close()
    },
  }
}
