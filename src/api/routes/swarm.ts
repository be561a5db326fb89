/** There is no swarm here; a node that is in none answers like this. */
import { notImplemented, unavailable } from '../../errors.ts'
import { del, get, type Handler, post } from './route.ts'

export const noManager: Handler = () => {
  throw unavailable(
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.',
  )
}
const noSwarm: Handler = () => {
  throw unavailable('This node is not part of a swarm')
}
const notBuilt: Handler = () => {
  throw notImplemented('swarm mode is not implemented: Gantry runs on one host')
}

const kinds = ['nodes', 'services', 'tasks', 'secrets', 'configs']

export const swarmRoutes = [
  get('/swarm', noManager),
  post('/swarm/init', notBuilt),
  post('/swarm/join', notBuilt),
  post('/swarm/leave', noSwarm),
  post('/swarm/update', noManager),
  get('/swarm/unlockkey', noManager),
  post('/swarm/unlock', noSwarm),
  ...kinds.flatMap(kind => [
    get(`/${kind}`, noManager),
    get(`/${kind}/{id}`, noManager),
    get(`/${kind}/{id}/logs`, noManager),
    post(`/${kind}/create`, noManager),
    post(`/${kind}/{id}/update`, noManager),
    del(`/${kind}/{id}`, noManager),
  ]),
]
