/** Networks. */
import type { EndpointSpec } from '../../engine/types.ts'
import { bool, decodeBody, field, object, string } from '../wire/codec.ts'
import { endpointSpec } from '../wire/endpoint.ts'
import { decodeNetworkRequest, encodeNetwork } from '../wire/networks.ts'
import { del, get, type Handler, post } from './route.ts'

interface ConnectRequest {
  container?: string
  endpoint?: EndpointSpec
  force?: boolean
}
const connectRequest = object<ConnectRequest>('network.ConnectOptions', [
  field<ConnectRequest, 'container'>('Container', 'container', string),
  field<ConnectRequest, 'endpoint'>('EndpointConfig', 'endpoint', endpointSpec),
  field<ConnectRequest, 'force'>('Force', 'force', bool),
])

/** Lists do not say who is on a network, as Docker's since 1.28. */
const list: Handler = async (call, engine) => {
  const networks = await engine.networks.list(call.query.filters())
  call.json(
    200,
    networks.map(network =>
      encodeNetwork(call.api < 28 ? network : { ...network, containers: {} }, call.api),
    ),
  )
}

export const networkRoutes = [
  get('/networks', list),
  get('/networks/', list),

  post('/networks/create', async (call, engine) => {
    const { id, warning } = await engine.networks.create(decodeNetworkRequest(await call.body()))
    call.json(201, { Id: id, Warning: warning })
  }),

  post('/networks/prune', async (call, engine) => {
    const { deleted } = await engine.networks.prune(call.query.filters())
    call.json(200, { NetworksDeleted: deleted.length > 0 ? deleted : null })
  }),

  get('/networks/{id...}', async (call, engine) => {
    call.json(200, encodeNetwork(await engine.networks.inspect(call.params['id']!), call.api))
  }),

  post('/networks/{id...}/connect', async (call, engine) => {
    const { container = '', endpoint } = decodeBody(connectRequest, await call.body())
    await engine.networks.connect(call.params['id']!, container, endpoint)
    call.empty(200)
  }),

  post('/networks/{id...}/disconnect', async (call, engine) => {
    const { container = '', force } = decodeBody(connectRequest, await call.body())
    await engine.networks.disconnect(call.params['id']!, container, force)
    call.empty(200)
  }),

  del('/networks/{id...}', async (call, engine) => {
    await engine.networks.remove(call.params['id']!)
    call.empty(204)
  }),
]
