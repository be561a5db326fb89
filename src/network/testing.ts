/**
 * For this room's tests: a host of their own (the test runs again in a network namespace of its own), a second host beside
 * it, and sockets in any namespace, without a process there.
 */
import { spawn, spawnSync } from 'node:child_process'
import * as dgram from 'node:dgram'
import * as fs from 'node:fs'
import * as net from 'node:net'
import * as os from 'node:os'
import * as path from 'node:path'
import { test } from 'node:test'
import { NETLINK_ROUTE, openSocketInNetns, type SocketKind } from '../linux/index.ts'
import { parseCidr, parseIp } from './ip.ts'
import { Namespace } from './namespace.ts'
import { addAddress } from './netlink/address.ts'
import { Netlink } from './netlink/connection.ts'
import { addLink, getLink, readLink, setLink } from './netlink/link.ts'
import { addRoute } from './netlink/route.ts'
import type { NetworkContainer } from './types.ts'

const MARK = 'GANTRY_TEST_NETNS'

/** Runs the tests of `file` in a network namespace of their own; `define` is called there. Skips, with the reason, where that cannot be. */
export function inOwnNamespace(file: string, define: () => void): void {
  if (process.env[MARK]) {
    // Its own namespace: `lo` is down.
    const route = Netlink.open(NETLINK_ROUTE)
    route.run(setLink(1, { up: true }))
    route.close()
    define()
    return
  }
  const name = path.basename(file)
  const skip =
    process.getuid?.() !== 0
      ? 'needs root'
      : spawnSync('unshare', ['--net', 'true']).status !== 0
        ? 'needs unshare(1) and network namespaces'
        : false
  test(`${name}, in a network namespace of its own`, { skip, timeout: 300_000 }, async () => {
    const child = spawn(
      'unshare',
      ['--net', process.execPath, '--disable-warning=ExperimentalWarning', '--test-timeout=30000', file],
      {
        env: { ...process.env, [MARK]: '1', NODE_TEST_CONTEXT: undefined },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    )
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', data => (output += data))
    const code = await new Promise(resolve => child.on('close', resolve))
    if (code !== 0) throw new Error(`failed with ${code}:\n${output}`)
  })
}

/** A folder that goes away with the test. */
export function temporaryFolder(): { path: string; [Symbol.dispose](): void } {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gantry-network-'))
  return { path: folder, [Symbol.dispose]: () => fs.rmSync(folder, { recursive: true, force: true }) }
}

let containers = 0

/** A container as the engine would describe it, with an id of its own. */
export function container(name: string, rest: Partial<NetworkContainer> = {}): NetworkContainer {
  const id = (++containers).toString(16).padStart(12, '0').padEnd(64, 'c')
  return { id, name, hostname: id.slice(0, 12), networkMode: 'default', ...rest }
}

export const OUTSIDE = {
  host4: '198.51.100.1',
  peer4: '198.51.100.2',
  host6: '2001:db8:51::1',
  peer6: '2001:db8:51::2',
}

/** Another host, joined to ours by a cable: a namespace whose default route is our host. */
export function secondHost(): Namespace {
  const peer = Namespace.create()
  const here = Netlink.open(NETLINK_ROUTE)
  here.run(
    addLink({ kind: 'veth', peer: { name: 'cable', netnsFd: peer.fd } }, { name: 'outside', up: true }),
  )
  const inside = readLink(here.get(getLink('outside'))).index
  const there = peer.link('cable').index
  here.run(
    addAddress(inside, parseCidr(`${OUTSIDE.host4}/24`)!),
    addAddress(inside, parseCidr(`${OUTSIDE.host6}/64`)!),
  )
  peer.route.run(
    setLink(there, { up: true }),
    addAddress(there, parseCidr(`${OUTSIDE.peer4}/24`)!),
    addAddress(there, parseCidr(`${OUTSIDE.peer6}/64`)!),
    addRoute({ family: 4, gateway: parseIp(OUTSIDE.host4)! }),
    addRoute({ family: 6, gateway: parseIp(OUTSIDE.host6)! }),
  )
  here.close()
  return peer
}

const any = (address: string): string => (net.isIPv6(address) ? '::' : '0.0.0.0')
const kind = (protocol: 'tcp' | 'udp', address: string): SocketKind =>
  `${protocol}${net.isIPv6(address) ? 6 : 4}`

/** A TCP server in a namespace that tells each client its name and where it sees the client, then echoes. */
export function serve(netnsFd: number, port: number, name: string, address = '0.0.0.0'): { close(): void } {
  const fd = openSocketInNetns(netnsFd, kind('tcp', address), address, port)
  const sockets = new Set<net.Socket>()
  const server = net.createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.write(`${name} ${socket.remoteAddress}\n`)
    socket.pipe(socket)
  })
  server.listen({ fd })
  return {
    close() {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

/** A connection out of a namespace. */
export function connectFrom(netnsFd: number, address: string, port: number): net.Socket {
  const fd = openSocketInNetns(netnsFd, kind('tcp', address), any(address), 0, 0)
  const socket = new net.Socket({ fd, readable: true, writable: true })
  socket.on('error', () => {})
  socket.connect(port, address)
  return socket
}

/** Milliseconds until what must be answered counts as unanswered: long, since a busy machine is slow. */
const PATIENCE = 20_000

/** Milliseconds after which what must not be answered has not been. */
export const UNANSWERED = 600

/** The first line that a server says, or how the attempt failed: `timeout`, `ECONNREFUSED`, … */
export async function ask(
  netnsFd: number,
  address: string,
  port: number,
  timeoutMs = PATIENCE,
): Promise<string> {
  const socket = connectFrom(netnsFd, address, port)
  try {
    return await new Promise<string>(resolve => {
      const timer = setTimeout(() => resolve('timeout'), timeoutMs)
      socket.once('data', data => {
        clearTimeout(timer)
        resolve(data.toString().trim())
      })
      socket.once('error', error => {
        clearTimeout(timer)
        resolve((error as NodeJS.ErrnoException).code ?? error.message)
      })
      socket.once('end', () => {
        clearTimeout(timer)
        resolve('closed')
      })
    })
  } finally {
    socket.destroy()
  }
}

/** A UDP server that answers with its name and where it sees the asker. */
export function serveUdp(
  netnsFd: number,
  port: number,
  name: string,
  address = '0.0.0.0',
): { close(): void } {
  const socket = dgram.createSocket(net.isIPv6(address) ? 'udp6' : 'udp4')
  socket.on('message', (_data, from) => socket.send(`${name} ${from.address}`, from.port, from.address))
  socket.bind({ fd: openSocketInNetns(netnsFd, kind('udp', address), address, port) })
  return { close: () => socket.close() }
}

/** Sends a datagram and answers what comes back, or `timeout`. */
export async function askUdp(
  netnsFd: number,
  address: string,
  port: number,
  data: string | Uint8Array = 'hello',
  timeoutMs = PATIENCE,
): Promise<Buffer | 'timeout'> {
  const socket = dgram.createSocket(net.isIPv6(address) ? 'udp6' : 'udp4')
  socket.on('error', () => {})
  socket.bind({ fd: openSocketInNetns(netnsFd, kind('udp', address), any(address), 0) })
  try {
    return await new Promise(resolve => {
      const timer = setTimeout(() => resolve('timeout'), timeoutMs)
      socket.once('message', reply => {
        clearTimeout(timer)
        resolve(reply)
      })
      socket.send(data, port, address)
    })
  } finally {
    socket.close()
  }
}

/** A process that does nothing, in a namespace: what a running container is to this room. */
export function idleProcess(netnsFd: number): { pid: number; end(): Promise<void> } {
  const child = spawn('nsenter', [`--net=/proc/${process.pid}/fd/${netnsFd}`, 'sleep', '600'], {
    stdio: 'ignore',
  })
  const ended = new Promise<void>(resolve => child.on('close', () => resolve()))
  return {
    pid: child.pid!,
    async end() {
      child.kill('SIGKILL')
      await ended
    },
  }
}
