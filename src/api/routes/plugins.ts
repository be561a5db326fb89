/** There are no managed plugins: none are listed, none can be installed. */
import { notFound, notImplemented } from '../../errors.ts'
import { del, get, type Handler, post } from './route.ts'

const unknown: Handler = call => {
  throw notFound(`plugin ${JSON.stringify(call.params['name'])} not found`)
}
const notBuilt: Handler = () => {
  throw notImplemented('managed plugins are not implemented')
}

export const pluginRoutes = [
  get('/plugins', call => call.json(200, [])),
  get('/plugins/privileges', notBuilt),
  post('/plugins/pull', notBuilt),
  post('/plugins/create', notBuilt),
  get('/plugins/{name...}/json', unknown),
  del('/plugins/{name...}', unknown),
  ...['enable', 'disable', 'upgrade', 'push', 'set'].map(action =>
    post(`/plugins/{name...}/${action}`, unknown),
  ),
]
