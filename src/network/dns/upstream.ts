/** Questions to resolvers outside, from the host's namespace or from the container's. Each has a socket of its own: a port that nobody can guess. */
import * as dgram from 'node:dgram'
import * as fs from 'node:fs'
import * as net from 'node:net'
import { openSocketInNetns } from '../../linux/index.ts'
import type { Upstream } from '../files.ts'
import type { Forward } from './resolver.ts'

/** For each resolver in turn. */
const TIMEOUT_MS = 2500
const MAX_UPSTREAMS = 3
/** Questions of one container that are under way; more are refused, as by a resolver that is too busy. */
const MAX_PENDING = 512
const PORT = 53
const SERVFAIL = 2
const REFUSED = 5

/** Asks `upstreams` in order until one answers with more than a shrug. `netnsFd`: the container's namespace. */
export function createForward(upstreams: readonly Upstream[], netnsFd: number, port = PORT): Forward {
  let pending = 0
  return async (query, overTcp) => {
    if (pending >= MAX_PENDING) return undefined
    pending++
    try {
      let shrug: Buffer | undefined
      for (const upstream of upstreams.slice(0, MAX_UPSTREAMS)) {
        const ask = overTcp ? askTcp : askUdp
        const reply = await ask(query, upstream, netnsFd, port).catch(() => undefined)
        if (!reply) continue
        const code = reply[3]! & 0xf
        if (code !== SERVFAIL && code !== REFUSED) return reply
        shrug = reply
      }
      return shrug
    } finally {
      pending--
    }
  }
}

/** Whether `reply` is to `query`: the same number and the same question, byte for byte but for case. */
function answers(reply: Buffer, query: Buffer): boolean {
  if (reply.length < 12 || (reply[2]! & 0x80) === 0 || reply.readUInt16BE(0) !== query.readUInt16BE(0))
    return false
  if (reply.readUInt16BE(4) === 0) return true
  let end = 12
  while (end < query.length && query[end] !== 0) end += query[end]! + 1
  end += 5
  const question = (packet: Buffer) => packet.subarray(12, end).toString('latin1').toLowerCase()
  return question(reply) === question(query)
}

function localSocket(kind: 'udp' | 'tcp', upstream: Upstream, netnsFd: number): number {
  const six = net.isIPv6(upstream.address)
  return openSocketInNetns(netnsFd, `${kind}${six ? 6 : 4}`, six ? '::' : '0.0.0.0', 0, 0)
}

function askUdp(query: Buffer, upstream: Upstream, netnsFd: number, port: number): Promise<Buffer> {
  const socket = dgram.createSocket(net.isIPv6(upstream.address) ? 'udp6' : 'udp4')
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  const timer = setTimeout(() => reject(new Error('timeout')), TIMEOUT_MS)
  const id = query.readUInt16BE(0)
  const own = Buffer.from(query)
  own.writeUInt16BE(Math.floor(Math.random() * 0x10000), 0)
  socket.on('error', reject)
  socket.on('message', (data, from) => {
    if (from.port !== port || from.address !== upstream.address || !answers(data, own)) return
    data.writeUInt16BE(id, 0)
    resolve(data)
  })
  const send = () => socket.send(own, port, upstream.address, error => error && reject(error))
  if (upstream.fromHost) send()
  else socket.bind({ fd: localSocket('udp', upstream, netnsFd) }, send)
  return promise.finally(() => {
    clearTimeout(timer)
    socket.close()
  })
}

function askTcp(query: Buffer, upstream: Upstream, netnsFd: number, port: number): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  let fd: number | undefined
  let socket: net.Socket
  try {
    if (!upstream.fromHost) fd = localSocket('tcp', upstream, netnsFd)
    socket = fd === undefined ? new net.Socket() : new net.Socket({ fd, readable: true, writable: true })
  } catch (error) {
    if (fd !== undefined) fs.closeSync(fd)
    return Promise.reject(error)
  }
  const timer = setTimeout(() => reject(new Error('timeout')), TIMEOUT_MS)
  let received = Buffer.alloc(0)
  socket.on('error', reject)
  socket.on('close', () => reject(new Error('closed')))
  socket.on('data', (data: Buffer) => {
    received = Buffer.concat([received, data])
    if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return
    const reply = received.subarray(2, 2 + received.readUInt16BE(0))
    if (answers(reply, query)) resolve(reply)
    else reject(new Error('not an answer'))
  })
  socket.connect(port, upstream.address, () => {
    const length = Buffer.alloc(2)
    length.writeUInt16BE(query.length)
    socket.write(Buffer.concat([length, query]))
  })
  return promise.finally(() => {
    clearTimeout(timer)
    socket.destroy()
  })
}
