/** The places where the API listens: `unix://`, `tcp://`, `fd://`. */
import * as fs from 'node:fs'
import type { Server } from 'node:http'
import * as net from 'node:net'
import * as path from 'node:path'
import * as tls from 'node:tls'
import { hasCode, invalid } from '../errors.ts'
import type { Logger } from '../logger.ts'

export interface TlsOptions {
  /** Ask clients for a certificate of {@link ca}. */
  verify: boolean
  ca?: string
  cert: string
  key: string
}

export interface ListenOptions {
  /** Owns unix sockets together with root. The group `docker`, if there is one, unless told. */
  group?: string
  tls?: TlsOptions
  logger: Logger
}

/** One place where the API listens, and who came in through it. */
export interface Listener {
  /** No one comes in any more; who is in has `grace` milliseconds to finish. */
  stop(grace: number): Promise<void>
}

/** Ports that Docker gives `tcp://` without one. */
const PLAIN_PORT = 2375
const TLS_PORT = 2376

/**
 * Listens at `host` and feeds `server` with what connects. Raises `invalid` for a form that is not known; a TCP socket without
 * verified clients gives its callers root on this machine, so it is warned about.
 */
export async function listen(server: Server, host: string, options: ListenOptions): Promise<Listener[]> {
  const [scheme = '', rest = ''] = host.split(/:\/\/(.*)/s)
  switch (scheme) {
    case 'unix':
      return [await listenUnix(server, rest || '/var/run/docker.sock', options)]
    case 'tcp':
      return [await listenTcp(server, rest, options)]
    case 'fd':
      return listenInherited(server, rest)
    default:
      throw invalid(`unable to parse bind address (${host}): the protocol must be unix, tcp or fd`)
  }
}

const connections = new WeakMap<net.Server, Set<net.Socket>>()

/** A listener that hands its connections to the HTTP server. */
function feeder(server: Server, secure?: TlsOptions): net.Server {
  const sockets = new Set<net.Socket>()
  const listener = feederOf(secure, socket => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    server.emit('connection', socket)
  })
  connections.set(listener, sockets)
  return listener
}

function feederOf(secure: TlsOptions | undefined, feed: (socket: net.Socket) => void): net.Server {
  if (!secure) return net.createServer({ allowHalfOpen: true, noDelay: true }, feed)
  const { ca, cert, key, verify } = secure
  return tls.createServer(
    {
      allowHalfOpen: true,
      noDelay: true,
      ...(ca && { ca: fs.readFileSync(ca) }),
      cert: fs.readFileSync(cert),
      key: fs.readFileSync(key),
      requestCert: verify,
      rejectUnauthorized: verify,
      minVersion: 'TLSv1.2',
    },
    feed,
  )
}

function started(listener: net.Server, where: net.ListenOptions | { fd: number }): Promise<Listener> {
  return new Promise((resolve, reject) => {
    listener.once('error', reject)
    listener.listen({ backlog: 4096, ...where }, () => {
      listener.off('error', reject)
      resolve({ stop: grace => stop(listener, grace) })
    })
  })
}

async function stop(listener: net.Server, grace: number): Promise<void> {
  const closed = new Promise<void>(resolve => listener.close(() => resolve()))
  const sockets = connections.get(listener) ?? new Set()
  const timer = setTimeout(() => {
    for (const socket of sockets) socket.destroy()
  }, grace)
  await closed
  clearTimeout(timer)
}

async function listenUnix(server: Server, socket: string, options: ListenOptions): Promise<Listener> {
  fs.mkdirSync(path.dirname(socket), { recursive: true })
  await removeDeadSocket(socket)
  // From the first moment on no one but root (and then the group) may connect.
  const mask = process.umask(0o177)
  let listener: Listener
  try {
    const starting = started(feeder(server), { path: socket })
    process.umask(mask)
    listener = await starting
  } finally {
    process.umask(mask)
  }
  const gid = groupId(options.group, options.logger)
  if (gid !== undefined) fs.chownSync(socket, 0, gid)
  fs.chmodSync(socket, 0o660)
  return listener
}

/** A socket that nobody answers at is what a daemon left that was killed. */
async function removeDeadSocket(socket: string): Promise<void> {
  const alive = await new Promise<boolean>(resolve => {
    const probe = net.connect(socket)
    probe.once('connect', () => {
      probe.destroy()
      resolve(true)
    })
    probe.once('error', error => resolve(!hasCode(error, 'ECONNREFUSED', 'ENOENT')))
  })
  if (alive) throw invalid(`can't create unix socket ${socket}: another process listens there`)
  fs.rmSync(socket, { force: true })
}

/** undefined where there is no such group and none was asked for. */
function groupId(asked: string | undefined, logger: Logger): number | undefined {
  const name = asked ?? 'docker'
  if (name === '') return undefined
  if (/^\d+$/.test(name)) return Number(name)
  const line = fs
    .readFileSync('/etc/group', 'utf8')
    .split('\n')
    .find(entry => entry.startsWith(`${name}:`))
  const gid = line?.split(':')[2]
  if (gid !== undefined) return Number(gid)
  if (asked !== undefined) throw invalid(`group ${asked} not found`)
  logger.debug('The group docker does not exist: only root may use the socket')
  return undefined
}

async function listenTcp(server: Server, address: string, options: ListenOptions): Promise<Listener> {
  const { tls: secure, logger } = options
  const match = /^(?:\[([^\]]+)\]|([^:/]*))(?::(\d+))?\/?$/.exec(address)
  if (!match) throw invalid(`invalid bind address (${address}): should be host:port`)
  const host = match[1] ?? (match[2] || 'localhost')
  const port = Number(match[3] ?? (secure ? TLS_PORT : PLAIN_PORT))
  if (port > 65535) throw invalid(`invalid bind address (${address}): port ${port} is out of range`)
  if (!secure?.verify) {
    logger.warn(
      '[DEPRECATION NOTICE] API is accessible over TCP without client verification: ' +
        'whoever reaches this address is root on this machine. Use --tlsverify.',
      { host: `tcp://${address}` },
    )
  }
  return started(feeder(server, secure), { host, port })
}

/** systemd's sd_listen_fds(3): sockets from descriptor 3 on, named by LISTEN_FDS for the process LISTEN_PID. */
function listenInherited(server: Server, which: string): Promise<Listener[]> {
  const count = Number(process.env['LISTEN_PID'] === String(process.pid) ? process.env['LISTEN_FDS'] : 0)
  const all = Array.from({ length: count || 0 }, (_, index) => index + 3)
  const wanted = which === '' || which === '*' ? all : all.filter(fd => fd === Number(which))
  if (wanted.length === 0)
    throw invalid('no sockets found via socket activation: make sure the service was started by systemd')
  return Promise.all(wanted.map(fd => started(feeder(server), { fd })))
}
