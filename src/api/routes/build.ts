/** Building images: the classic build, and the doors of BuildKit's clients. */
import { notImplemented } from '../../errors.ts'
import { type Handler, post } from './route.ts'

const notBuilt: Handler = () => {
  throw notImplemented('image builds are not implemented')
}

export const buildRoutes = [
  post('/build', notBuilt),
  post('/build/prune', notBuilt),
  post('/build/cancel', notBuilt),
  post('/session', notBuilt),
  post('/grpc', notBuilt),
]
