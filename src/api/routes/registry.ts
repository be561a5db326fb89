/** What concerns registries and no image of ours: login, search, what a name stands for elsewhere. */
import { invalid, messageOf } from '../../errors.ts'
import { authFromWire, decodeAuthHeader } from '../../registry/auth-header.ts'
import type { RegistryAuth, SearchOptions } from '../../registry/types.ts'
import type { Call } from '../call.ts'
import type { Query } from '../query.ts'
import { get, post } from './route.ts'

export const registryRoutes = [
  post('/auth', async (call, engine) => {
    const { status, identityToken } = await engine.registries.login(
      authFromWire(await call.body()),
      call.signal,
    )
    call.json(200, { Status: status, IdentityToken: identityToken })
  }),

  get('/images/search', async (call, engine) => {
    const { query } = call
    const limit = searchLimit(query)
    const options: SearchOptions = { filters: query.filters(), signal: call.signal, ...credentials(call) }
    if (limit) options.limit = limit
    call.json(200, await engine.registries.search(query.text('term') ?? '', options))
  }),

  get('/distribution/{name...}/json', async (call, engine) => {
    const { descriptor, platforms } = await engine.registries.distributionInspect(call.params['name']!, {
      signal: call.signal,
      ...credentials(call),
    })
    call.json(200, { Descriptor: descriptor, Platforms: platforms })
  }),
]

/** Here a bad number is the client's mistake. */
function searchLimit(query: Query): number | undefined {
  try {
    return query.integer('limit', 'Atoi')
  } catch (error) {
    throw invalid(`invalid limit specified: ${messageOf(error)}`, error)
  }
}

/** What `X-Registry-Auth` says, if it is there. */
export function credentials(call: Call): { auth?: RegistryAuth } {
  const header = call.req.headers['x-registry-auth']
  return typeof header === 'string' ? { auth: decodeAuthHeader(header) } : {}
}
