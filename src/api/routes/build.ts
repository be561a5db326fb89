/** Building images: the classic build, its cache, and the doors of BuildKit's clients. */

import { notImplemented } from '../../errors.ts'
import { buildClassic, cancelBuild, pruneBuilds } from '../build-classic.ts'
import { type Handler, post } from './route.ts'

const notBuilt: Handler = () => {
  throw notImplemented('BuildKit sessions are not implemented')
}

export const buildRoutes = [
  post('/build', buildClassic),
  post('/build/prune', pruneBuilds),
  post('/build/cancel', cancelBuild),
  post('/session', notBuilt),
  post('/grpc', notBuilt),
]
