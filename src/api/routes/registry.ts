/** What concerns registries and no image of ours: login, search, what a name stands for elsewhere. */
import { notImplemented } from '../../errors.ts'
import { get, type Handler, post } from './route.ts'

const notBuilt =
  (what: string): Handler =>
  () => {
    throw notImplemented(`${what} is not implemented`)
  }

export const registryRoutes = [
  post('/auth', notBuilt('login to a registry')),
  get('/images/search', notBuilt('search of a registry')),
  get('/distribution/{name...}/json', notBuilt('distribution inspect')),
]
