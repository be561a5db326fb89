/** `POST /grpc`: the connection becomes HTTP/2, on which BuildKit's clients speak gRPC. */
import * as http2 from 'node:http2'
import * as path from 'node:path'
import { connectNodeAdapter } from '@connectrpc/connect-node'
import { type Builder, builderOf } from '../build/index.ts'
import type { Engine } from '../engine/engine.ts'
import { invalid } from '../errors.ts'
import type { Call } from './call.ts'
import { controlService } from './grpc-control.ts'
import { Gateways, gatewayService } from './grpc-gateway.ts'
import { Health, HealthCheckResponse_ServingStatus } from './proto/gen/health_pb.js'
import { LocalFolders } from './session-locals.ts'

export interface GrpcContext {
  builder: Builder
  gateways: Gateways
  folders: LocalFolders
}

/** Bytes that a client may send before it waits. */
const WINDOW = 4 * 1024 * 1024

const servers = new WeakMap<Engine, http2.Http2Server>()

function serverOf(engine: Engine): http2.Http2Server {
  const known = servers.get(engine)
  if (known) return known
  const builder = builderOf(engine)
  const folders = new LocalFolders(path.join(engine.context.dataRoot, 'build', 'local'))
  builder.cache.include(folders)
  const context: GrpcContext = { builder, gateways: new Gateways(), folders }
  const handler = connectNodeAdapter({
    connect: false,
    grpcWeb: false,
    routes(router) {
      controlService(router, context)
      gatewayService(router, context)
      router.service(Health, { check: () => ({ status: HealthCheckResponse_ServingStatus.SERVING }) })
    },
  })
  const server = http2.createServer({ settings: { initialWindowSize: WINDOW } }, handler)
  server.on('sessionError', () => {})
  servers.set(engine, server)
  return server
}

export async function openGrpc(call: Call, engine: Engine): Promise<void> {
  if (call.upgrade !== 'h2c') throw invalid('no upgrade proto in request')
  const server = serverOf(engine)
  const { socket, head } = call.takeSocket()
  socket.write('HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n')
  if (head.length > 0) socket.unshift(head)
  server.emit('connection', socket)
}
