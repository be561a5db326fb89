/** `POST /build` and its neighbours. */
import { type BuildRequest, builderOf, DockerfileError, ExitError } from '../build/index.ts'
import type { Engine } from '../engine/engine.ts'
import { invalid, messageOf } from '../errors.ts'
import { shortId } from '../image/digest.ts'
import { familiar, parseReference, withDefaultTag } from '../image/reference.ts'
import { StepStream } from './build-stream.ts'
import { buildRequest } from './build-wire.ts'
import type { Call } from './call.ts'

export async function buildClassic(call: Call, engine: Engine): Promise<void> {
  const request = buildRequest(call)
  for (const name of call.query.all('t').filter(Boolean)) parseReference(name)
  const remote = call.query.text('remote')
  const quiet = call.query.flag('q')
  const context: BuildRequest['context'] =
    remote === undefined || remote === 'client-session'
      ? { kind: 'tar', stream: call.req }
      : { kind: 'remote', url: remote }
  const { res } = call
  const send = (message: object): void => {
    if (!res.headersSent) res.writeHead(200, { 'Content-Type': 'application/json' })
    res.write(`${JSON.stringify(message)}\r\n`)
  }
  const stream = new StepStream(message => {
    if (!quiet) send(message)
  })
  try {
    const result = await builderOf(engine).build({
      ...request,
      context,
      onPlan: steps => stream.plan(steps),
      onProgress: event => stream.progress(event),
    })
    const id = result.images[0]?.imageId
    if (id) {
      send({ aux: { ID: id } })
      if (quiet) send({ stream: `${id}\n` })
      else {
        send({ stream: `Successfully built ${shortId(id)}\n` })
        for (const name of call.query.all('t').filter(Boolean)) {
          send({ stream: `Successfully tagged ${familiar(withDefaultTag(parseReference(name)))}\n` })
        }
      }
    }
    res.end()
  } catch (error) {
    if (!res.headersSent) throw classicError(error)
    const { message } = classicError(error)
    const code = error instanceof ExitError ? { code: error.exitCode } : {}
    send({ errorDetail: { ...code, message }, error: message })
    res.end()
  }
}

/** The classic builder's own words where they differ. */
function classicError(error: unknown): Error {
  if (error instanceof ExitError) {
    return invalid(`The command '${error.argv.join(' ')}' returned a non-zero code: ${error.exitCode}`)
  }
  const message = messageOf(error)
  if (error instanceof DockerfileError) {
    if (message === 'unterminated heredoc') return invalid(`failed to parse Dockerfile: ${message}`)
    if (message === 'the Dockerfile cannot be empty')
      return invalid('the Dockerfile (Dockerfile) cannot be empty')
    return error
  }
  const missing = /^failed to compute cache key: .*: "\/?(.*)": not found$/.exec(message)?.[1]
  if (missing !== undefined) {
    return invalid(
      `COPY failed: file not found in build context or excluded by .dockerignore: stat ${missing}: file does not exist`,
    )
  }
  return error instanceof Error ? error : invalid(message)
}

export async function pruneBuilds(call: Call, engine: Engine): Promise<void> {
  const keep = call.query.integer('reserved-space') ?? call.query.integer('keep-storage')
  const removed = await builderOf(engine).cache.prune({
    all: call.query.flag('all'),
    filters: call.query.filters(),
    ...(keep && { keepBytes: keep }),
  })
  const space = removed.reduce((sum, record) => sum + record.size, 0)
  call.json(200, { CachesDeleted: removed.map(record => record.id), SpaceReclaimed: space })
}

export async function cancelBuild(call: Call, engine: Engine): Promise<void> {
  const id = call.query.text('id')
  if (id === undefined) throw invalid('build ID not provided')
  builderOf(engine).cancel(id)
  call.empty(200)
}
