/** Containers: making, listing, changing, ending. */
import type { CommitOptions, UpdateOptions } from '../../engine/results.ts'
import type { ContainerConfig, RestartPolicy } from '../../engine/types.ts'
import { invalid } from '../../errors.ts'
import type { Call } from '../call.ts'
import { decodeBody, field, type ObjectCodec, object } from '../wire/codec.ts'
import { containerConfig } from '../wire/container-config.ts'
import { encodeDetails, encodeSummary } from '../wire/containers.ts'
import { decodeCreateRequest } from '../wire/create-request.ts'
import { portBindings, resourceFields, restartPolicy } from '../wire/host-config.ts'
import { imageConfigOf } from '../wire/image-config.ts'
import { parsePlatform } from '../wire/platform.ts'
import { del, get, post } from './route.ts'

type UpdateRequest = UpdateOptions['resources'] &
  Pick<UpdateOptions, 'portBindings'> & { restartPolicy?: Partial<RestartPolicy> }
const updateRequest: ObjectCodec<UpdateRequest> = object<UpdateRequest>('container.UpdateConfig', [
  ...resourceFields,
  field<UpdateRequest, 'restartPolicy'>('RestartPolicy', 'restartPolicy', restartPolicy),
  // Beyond Docker: replaces what is published, of a running container too.
  field<UpdateRequest, 'portBindings'>('PortBindings', 'portBindings', portBindings),
])

const conditions = ['not-running', 'next-exit', 'removed'] as const

export const containerRoutes = [
  get('/containers/json', async (call, engine) => {
    const { query } = call
    const limit = query.integer('limit', 'Atoi')
    const summaries = await engine.containers.list({
      all: query.flag('all'),
      size: query.flag('size'),
      filters: query.filters(),
      ...(limit !== undefined && limit > 0 && { limit }),
    })
    call.json(
      200,
      summaries.map(summary => encodeSummary(summary, call.api)),
    )
  }),

  post('/containers/create', async (call, engine) => {
    const spec = decodeCreateRequest(await call.body(), call.api)
    const name = call.query.text('name')
    if (name !== undefined) spec.name = name
    const platform = call.api >= 41 ? parsePlatform(call.query.text('platform')) : undefined
    if (platform) spec.platform = platform
    const { id, warnings } = await engine.containers.create(spec)
    call.json(201, { Id: id, Warnings: warnings })
  }),

  get('/containers/{id...}/json', async (call, engine) => {
    const details = await engine.containers.inspect(call.params['id']!, { size: call.query.flag('size') })
    call.json(200, encodeDetails(details, call.api))
  }),

  post('/containers/{id...}/start', async (call, engine) => {
    const length = Number(call.req.headers['content-length'] ?? 0)
    if (length > 7 || (length === 0 && call.req.headers['transfer-encoding'])) {
      throw invalid(
        'starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24',
      )
    }
    for (const option of ['checkpoint', 'checkpoint-dir']) {
      if (call.query.text(option)) throw invalid('checkpoints are not supported')
    }
    await engine.containers.start(call.params['id']!)
    call.empty(204)
  }),

  post('/containers/{id...}/stop', async (call, engine) => {
    await engine.containers.stop(call.params['id']!, stopOptions(call))
    call.empty(204)
  }),

  post('/containers/{id...}/restart', async (call, engine) => {
    await engine.containers.restart(call.params['id']!, stopOptions(call))
    call.empty(204)
  }),

  post('/containers/{id...}/kill', async (call, engine) => {
    await engine.containers.kill(call.params['id']!, call.query.text('signal'))
    call.empty(204)
  }),

  post('/containers/{id...}/pause', async (call, engine) => {
    await engine.containers.pause(call.params['id']!)
    call.empty(204)
  }),

  post('/containers/{id...}/unpause', async (call, engine) => {
    await engine.containers.unpause(call.params['id']!)
    call.empty(204)
  }),

  post('/containers/{id...}/rename', async (call, engine) => {
    await engine.containers.rename(call.params['id']!, call.query.text('name') ?? '')
    call.empty(204)
  }),

  /** The status goes out at once: a client knows from it that it waits for the right container before it starts it. */
  post('/containers/{id...}/wait', async (call, engine) => {
    const asked = (call.api >= 30 && call.query.text('condition')) || 'not-running'
    const condition = conditions.find(known => known === asked)
    if (!condition) throw invalid(`invalid condition: ${JSON.stringify(asked)}`)
    const result = engine.containers.wait(call.params['id']!, condition, call.signal)
    call.res.writeHead(200, { 'Content-Type': 'application/json' })
    call.res.flushHeaders()
    const { exitCode, error } = await result
    call.res.end(`${JSON.stringify({ StatusCode: exitCode, ...(error && { Error: { Message: error } }) })}\n`)
  }),

  post('/containers/{id...}/resize', async (call, engine) => {
    await engine.containers.resize(call.params['id']!, dimension(call, 'height'), dimension(call, 'width'))
    call.empty(200)
  }),

  get('/containers/{id...}/top', async (call, engine) => {
    const { titles, processes } = await engine.containers.top(call.params['id']!, call.query.text('ps_args'))
    call.json(200, { Processes: processes, Titles: titles })
  }),

  get('/containers/{id...}/changes', async (call, engine) => {
    const changes = await engine.containers.changes(call.params['id']!)
    call.json(200, changes.length > 0 ? changes.map(({ path, kind }) => ({ Path: path, Kind: kind })) : null)
  }),

  post('/containers/{id...}/update', async (call, engine) => {
    const {
      restartPolicy: policy,
      portBindings: ports,
      ...resources
    } = decodeBody(updateRequest, await call.body())
    const options: UpdateOptions = { resources, ...(ports && { portBindings: ports }) }
    if (policy?.name) {
      options.restartPolicy = { name: policy.name, maximumRetryCount: policy.maximumRetryCount ?? 0 }
    }
    const { warnings } = await engine.containers.update(call.params['id']!, options)
    call.json(200, { Warnings: warnings })
  }),

  post('/containers/prune', async (call, engine) => {
    const { deleted, spaceReclaimed } = await engine.containers.prune(call.query.filters())
    call.json(200, { ContainersDeleted: deleted.length > 0 ? deleted : null, SpaceReclaimed: spaceReclaimed })
  }),

  del('/containers/{id...}', async (call, engine) => {
    const { query } = call
    if (query.flag('link')) await engine.containers.removeLink(call.params['id']!)
    else {
      const options = { force: query.flag('force'), volumes: query.flag('v') }
      await engine.containers.remove(call.params['id']!, options)
    }
    call.empty(204)
  }),

  post('/commit', async (call, engine) => {
    const { query } = call
    const body = await call.body({ optional: true })
    const config = body === undefined || body === null ? undefined : decodeBody(containerConfig, body)
    const options: CommitOptions = { pause: query.flag('pause', true) }
    setGiven(options, {
      repository: query.text('repo'),
      tag: query.text('tag'),
      comment: query.text('comment'),
      author: query.text('author'),
      changes: query.has('changes') ? query.all('changes').filter(line => line !== '') : undefined,
      config: config && Object.keys(config).length > 0 ? imageConfigOf(config as ContainerConfig) : undefined,
    })
    const id = await engine.containers.commit(query.text('container') ?? '', options)
    call.json(201, { Id: id })
  }),
]

function stopOptions(call: Call): { signal?: string; timeout?: number } {
  const signal = call.api >= 42 ? call.query.text('signal') : undefined
  const timeout = call.query.integer('t', 'Atoi')
  return { ...(signal && { signal }), ...(timeout !== undefined && { timeout }) }
}

/** `h` or `w` of a terminal. Raises `invalid` in Docker's words. */
export function dimension(call: Call, name: 'height' | 'width'): number {
  const value = call.query.text(name[0]!) ?? ''
  if (!/^\d+$/.test(value)) throw invalid(`invalid resize ${name} ${JSON.stringify(value)}: invalid syntax`)
  return Number(value)
}

function setGiven<T extends object>(target: T, values: { [K in keyof T]?: T[K] | undefined }): void {
  for (const [key, value] of Object.entries(values)) {
    if (value !== undefined) (target as Record<string, unknown>)[key] = value
  }
}
