/** Volumes. */
import type { VolumeSpec } from '../../engine/volumes.ts'
import { decodeBody, field, map, object, string } from '../wire/codec.ts'
import { encodeVolume } from '../wire/volumes.ts'
import { del, get, post } from './route.ts'
import { noManager } from './swarm.ts'

const createRequest = object<VolumeSpec>('volume.CreateOptions', [
  field<VolumeSpec, 'name'>('Name', 'name', string),
  field<VolumeSpec, 'driver'>('Driver', 'driver', string),
  field<VolumeSpec, 'options'>('DriverOpts', 'options', map(string)),
  field<VolumeSpec, 'labels'>('Labels', 'labels', map(string)),
])

export const volumeRoutes = [
  get('/volumes', async (call, engine) => {
    const { volumes, warnings } = await engine.volumes.list(call.query.filters())
    call.json(200, { Volumes: volumes.map(encodeVolume), Warnings: warnings.length > 0 ? warnings : null })
  }),

  post('/volumes/create', async (call, engine) => {
    const body = await call.body({ optional: true })
    if ((body as { ClusterVolumeSpec?: unknown } | undefined)?.ClusterVolumeSpec) noManager(call, engine)
    const spec = decodeBody(createRequest, body)
    call.json(201, encodeVolume(await engine.volumes.create(spec)))
  }),

  /** Since 1.42 only anonymous volumes go unless all are asked for. */
  post('/volumes/prune', async (call, engine) => {
    const filters = call.query.filters()
    if (call.api < 42) filters['all'] = ['true']
    const { deleted, spaceReclaimed } = await engine.volumes.prune(filters)
    call.json(200, { VolumesDeleted: deleted.length > 0 ? deleted : null, SpaceReclaimed: spaceReclaimed })
  }),

  get('/volumes/{name...}', async (call, engine) => {
    call.json(200, encodeVolume(await engine.volumes.inspect(call.params['name']!)))
  }),

  del('/volumes/{name...}', async (call, engine) => {
    await engine.volumes.remove(call.params['name']!, call.query.flag('force'))
    call.empty(204)
  }),
]
