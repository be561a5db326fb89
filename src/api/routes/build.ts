/**
 * Building images: the classic build, its cache, and the doors of BuildKit's clients. What stands behind the doors is half of all
 * modules (gRPC among them), so it is loaded when the first one knocks: most daemons never build.
 */
import { post } from './route.ts'

const classic = () => import('../build-classic.ts')

export const buildRoutes = [
  post('/build', async (call, engine) => (await classic()).buildClassic(call, engine)),
  post('/build/prune', async (call, engine) => (await classic()).pruneBuilds(call, engine)),
  post('/build/cancel', async (call, engine) => (await classic()).cancelBuild(call, engine)),
  post('/session', async call => (await import('../session.ts')).openSession(call)),
  post('/grpc', async (call, engine) => (await import('../grpc.ts')).openGrpc(call, engine)),
]
