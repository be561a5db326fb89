/** The engine about itself: ping, version, info, events, disk usage. */
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { EventQuery } from '../../engine/events.ts'
import type { DiskUsageType } from '../../engine/system.ts'
import { invalid } from '../../errors.ts'
import type { Call } from '../call.ts'
import { encodeSummary } from '../wire/containers.ts'
import { encodeEvent } from '../wire/events.ts'
import { encodeImageSummary } from '../wire/images.ts'
import { encodeInfo, encodeVersion } from '../wire/system.ts'
import { encodeVolume } from '../wire/volumes.ts'
import { get, head } from './route.ts'

const ping = (call: Call) => {
  call.res.writeHead(200, {
    'Builder-Version': '2',
    'Cache-Control': 'no-cache, no-store, must-revalidate',
    Pragma: 'no-cache',
    Swarm: 'inactive',
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': call.req.method === 'HEAD' ? 0 : 2,
  })
  call.res.end(call.req.method === 'HEAD' ? undefined : 'OK')
}

const usageTypes: DiskUsageType[] = ['container', 'image', 'volume', 'build-cache']

export const systemRoutes = [
  get('/_ping', ping),
  head('/_ping', ping),

  get('/version', (call, engine) =>
    call.json(200, encodeVersion(engine.system.version(), engine.config.experimental ?? false)),
  ),

  get('/info', async (call, engine) => call.json(200, encodeInfo(await engine.system.info(), call.api))),

  get('/events', async (call, engine) => {
    const query: EventQuery = { filters: call.query.filters(), signal: call.signal }
    const since = call.query.nanoseconds('since')
    const until = call.query.nanoseconds('until')
    if (since !== undefined) query.since = since
    if (until !== undefined) query.until = until
    if (since !== undefined && until !== undefined && since > until) {
      throw invalid(
        `\`since\` time (${call.query.text('since')}) cannot be after \`until\` time (${call.query.text('until')})`,
      )
    }
    const events = engine.events.subscribe(query)
    call.res.writeHead(200, { 'Content-Type': 'application/json' })
    call.res.flushHeaders()
    const lines = (async function* () {
      for await (const event of events) yield `${JSON.stringify(encodeEvent(event, call.api))}\n`
    })()
    await pipeline(Readable.from(lines), call.res)
  }),

  get('/system/df', async (call, engine) => {
    const asked = call.api >= 42 ? call.query.all('type') : []
    for (const type of asked) {
      if (!usageTypes.includes(type as DiskUsageType)) throw invalid(`unknown object type: ${type}`)
    }
    const types = asked.length > 0 ? (asked as DiskUsageType[]) : undefined
    const usage = await engine.system.diskUsage(types)
    const wanted = (type: DiskUsageType) => types === undefined || types.includes(type)
    call.json(200, {
      LayersSize: usage.layersSize,
      Images: wanted('image') ? usage.images.map(image => encodeImageSummary(image, call.api)) : null,
      Containers: wanted('container')
        ? usage.containers.map(summary => encodeSummary(summary, call.api))
        : null,
      Volumes: wanted('volume') ? usage.volumes.map(encodeVolume) : null,
      BuildCache: wanted('build-cache') ? usage.buildCache : null,
      ...(call.api < 42 && { BuilderSize: 0 }),
    })
  }),
]
