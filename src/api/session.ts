/** Sessions: what the clients of running builds offer, by the session's id. */
import * as fs from 'node:fs'
import * as net from 'node:net'
import * as os from 'node:os'
import * as path from 'node:path'
import type { Duplex } from 'node:stream'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { invalid } from '../errors.ts'
import type { RegistryAuth } from '../registry/types.ts'
import type { Call } from './call.ts'
import { RpcConnection, RpcError } from './grpc-client.ts'
import { GetSecretRequestSchema, GetSecretResponseSchema } from './proto/gen/secrets_pb.js'
import {
  BytesMessageSchema,
  CredentialsRequestSchema,
  CredentialsResponseSchema,
} from './proto/gen/session_pb.js'
import { CheckAgentRequestSchema, CheckAgentResponseSchema } from './proto/gen/ssh_pb.js'

export class Session {
  readonly id: string
  /** Names the same folders of the same client in every build. */
  readonly sharedKey: string
  readonly rpc: RpcConnection
  readonly #methods: ReadonlySet<string>

  constructor(id: string, sharedKey: string, methods: string[], rpc: RpcConnection) {
    this.id = id
    this.sharedKey = sharedKey
    this.rpc = rpc
    this.#methods = new Set(methods)
  }

  offers(method: string): boolean {
    return this.#methods.has(method)
  }

  async secret(id: string): Promise<Uint8Array | undefined> {
    const method = '/moby.buildkit.secrets.v1.Secrets/GetSecret'
    if (!this.offers(method)) return undefined
    return absent(async () => {
      const answer = await this.rpc.unary(method, GetSecretRequestSchema, GetSecretResponseSchema, { ID: id })
      return answer.data
    })
  }

  /** Credentials for a registry; `undefined` for none. */
  async credentials(host: string): Promise<RegistryAuth | undefined> {
    const method = '/moby.filesync.v1.Auth/Credentials'
    if (!this.offers(method)) return undefined
    const asked = host === 'docker.io' ? 'registry-1.docker.io' : host
    return absent(async () => {
      const message = { Host: asked }
      const found = await this.rpc.unary(method, CredentialsRequestSchema, CredentialsResponseSchema, message)
      if (!found.Username && !found.Secret) return undefined
      return found.Username
        ? { username: found.Username, password: found.Secret }
        : { identityToken: found.Secret }
    })
  }

  /** A socket on this host behind which the client's agent listens. */
  async ssh(id: string): Promise<{ path: string; release(): void } | undefined> {
    const method = '/moby.sshforward.v1.SSH/CheckAgent'
    if (!this.offers(method)) return undefined
    try {
      await this.rpc.unary(method, CheckAgentRequestSchema, CheckAgentResponseSchema, { ID: id })
    } catch (error) {
      if (error instanceof RpcError) return undefined // the client says so in many ways
      throw error
    }
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gantry-ssh-'))
    const place = path.join(folder, 'agent.sock')
    const server = net.createServer(socket => this.#forward(id, socket))
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(place, resolve)
    })
    return {
      path: place,
      release() {
        server.close()
        fs.rmSync(folder, { recursive: true, force: true })
      },
    }
  }

  #forward(id: string, socket: net.Socket): void {
    const stream = this.rpc.stream(
      '/moby.sshforward.v1.SSH/ForwardAgent',
      { 'buildkit.ssh.id': id },
      bytes => {
        socket.write(fromBinary(BytesMessageSchema, bytes).data)
      },
    )
    socket.on('data', (data: Buffer) =>
      stream.send(toBinary(BytesMessageSchema, create(BytesMessageSchema, { data }))),
    )
    socket.on('end', () => stream.end())
    socket.on('error', () => stream.cancel())
    stream.ended.then(
      () => socket.end(),
      () => socket.destroy(),
    )
  }
}

/** `undefined` where the client has no such thing. */
async function absent<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof RpcError && error.isAbsent) return undefined
    throw error
  }
}

const sessions = new Map<string, Session>()
const waiting = new Map<string, Set<(session: Session) => void>>()

/** Milliseconds that a build waits for its session. */
const PATIENCE = 10_000

/** The session, which may be just coming. Raises invalid where it does not come. */
export function findSession(id: string): Promise<Session> {
  const known = sessions.get(id)
  if (known) return Promise.resolve(known)
  return new Promise((resolve, reject) => {
    const others = waiting.get(id) ?? new Set()
    waiting.set(id, others)
    const timer = setTimeout(() => {
      others.delete(take)
      reject(invalid(`no active session for ${id}: context deadline exceeded`))
    }, PATIENCE)
    const take = (session: Session): void => {
      clearTimeout(timer)
      resolve(session)
    }
    others.add(take)
  })
}

/** `POST /session` */
export async function openSession(call: Call): Promise<void> {
  const { headers } = call.req
  const upgrade = call.upgrade
  if (upgrade !== 'h2c') throw invalid('no upgrade proto in request')
  const text = (name: string) => String(headers[name] ?? '')
  if (text(SESSION_ID) === '') throw invalid('no session ID in the request')
  const { socket, head } = call.takeSocket()
  socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n')
  if (head.length > 0) socket.unshift(head)
  acceptSession(socket, text)
}

export const SESSION_ID = 'x-docker-expose-session-uuid'

/** A client serves on `socket`; `header` says how it introduced itself. */
export function acceptSession(socket: Duplex, header: (name: string) => string): void {
  const id = header(SESSION_ID)
  const rpc = new RpcConnection(socket)
  const list = header('x-docker-expose-session-grpc-method')
    .split(',')
    .map(method => method.trim())
  const session = new Session(id, header('x-docker-expose-session-sharedkey'), list, rpc)
  sessions.set(id, session)
  rpc.onClose(() => {
    if (sessions.get(id) === session) sessions.delete(id)
  })
  for (const take of waiting.get(id) ?? []) take(session)
  waiting.delete(id)
}
