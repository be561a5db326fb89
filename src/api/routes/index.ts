/** Every endpoint. */
import { archiveRoutes } from './archive.ts'
import { buildRoutes } from './build.ts'
import { containerRoutes } from './containers.ts'
import { execRoutes } from './exec.ts'
import { imageRoutes } from './images.ts'
import { networkRoutes } from './networks.ts'
import { pluginRoutes } from './plugins.ts'
import { registryRoutes } from './registry.ts'
import type { Route } from './route.ts'
import { streamRoutes } from './streams.ts'
import { swarmRoutes } from './swarm.ts'
import { systemRoutes } from './system.ts'
import { volumeRoutes } from './volumes.ts'

export type { Handler, Route } from './route.ts'

export const routes: Route[] = [
  ...systemRoutes,
  ...containerRoutes,
  ...streamRoutes,
  ...archiveRoutes,
  ...execRoutes,
  ...registryRoutes,
  ...imageRoutes,
  ...networkRoutes,
  ...volumeRoutes,
  ...buildRoutes,
  ...swarmRoutes,
  ...pluginRoutes,
]
