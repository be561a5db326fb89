/** Building images: the classic build, its cache, and the doors of BuildKit's clients. */
import { buildClassic, cancelBuild, pruneBuilds } from '../build-classic.ts'
import { openGrpc } from '../grpc.ts'
import { openSession } from '../session.ts'
import { post } from './route.ts'

export const buildRoutes = [
  post('/build', buildClassic),
  post('/build/prune', pruneBuilds),
  post('/build/cancel', cancelBuild),
  post('/session', openSession),
  post('/grpc', openGrpc),
]
