/** Images: the store, and their ways in and out. */

import type { Engine } from '../../engine/engine.ts'
import type { ImportOptions, TransferOptions } from '../../engine/images.ts'
import { invalid } from '../../errors.ts'
import { isDigest } from '../../image/digest.ts'
import {
  canonical,
  familiar,
  parseReference,
  parseTarget,
  withDigest,
  withTag,
} from '../../image/reference.ts'
import type { Call } from '../call.ts'
import { fetchArchive } from '../import-source.ts'
import { sendProgress } from '../progress.ts'
import { encodeHistory, encodeImage, encodeImageSummary, encodeRemoval } from '../wire/images.ts'
import { parsePlatform } from '../wire/platform.ts'
import { credentials } from './registry.ts'
import { del, get, type Handler, post } from './route.ts'

const save = async (call: Call, engine: Engine, names: string[]) => {
  if (names.length === 0) throw invalid('no images specified')
  const platform = parsePlatform(call.query.text('platform'))
  await call.stream('application/x-tar', await engine.images.save(names, platform && { platform }))
}

const create: Handler = async (call, engine) => {
  const { query } = call
  const platform = call.api >= 32 ? parsePlatform(query.text('platform')) : undefined
  const name = query.text('fromImage')
  if (name === undefined) return importImage(call, engine)
  await sendProgress(call, progress => {
    const { ref, all } = pullReference(name, query.text('tag'))
    const options: TransferOptions = { all, progress, signal: call.signal, ...credentials(call) }
    if (platform) options.platform = platform
    return engine.images.pull(ref, options)
  })
}

/** `fromSrc` is `-` for the request's body, else a URL that the engine fetches. */
const importImage: Handler = async (call, engine) => {
  const { query } = call
  const options: ImportOptions = { signal: call.signal, changes: query.all('changes') }
  const repository = query.text('repo')
  const tag = query.text('tag')
  const message = query.text('message')
  const platform = parsePlatform(query.text('platform'))
  if (repository) options.repository = repository
  if (tag) options.tag = tag
  if (message) options.message = message
  if (platform) options.platform = platform
  const source = query.text('fromSrc') ?? ''
  const archive = source === '-' ? call.req : await fetchArchive(source, call.signal)
  await sendProgress(call, progress => engine.images.import(archive, { ...options, progress }))
}

export const imageRoutes = [
  get('/images/json', async (call, engine) => {
    const { query } = call
    const images = await engine.images.list({
      all: query.flag('all'),
      filters: query.filters(),
      digests: query.flag('digests'),
      sharedSize: call.api >= 42 && query.flag('shared-size'),
    })
    call.json(
      200,
      images.map(image => encodeImageSummary(image, call.api)),
    )
  }),

  post('/images/create', create),

  post('/images/load', async (call, engine) => {
    const platform = parsePlatform(call.query.text('platform'))
    const quiet = call.query.flag('quiet', true)
    // As Docker: whatever is wrong with an archive is told in the stream.
    call.res.writeHead(200, { 'Content-Type': 'application/json' })
    await sendProgress(call, progress =>
      engine.images.load(call.req, { quiet, progress, signal: call.signal, ...(platform && { platform }) }),
    )
  }),

  get('/images/get', (call, engine) => save(call, engine, call.query.all('names').filter(Boolean))),

  post('/images/prune', async (call, engine) => {
    const { removed, spaceReclaimed } = await engine.images.prune(call.query.filters())
    call.json(200, {
      ImagesDeleted: removed.length > 0 ? removed.map(encodeRemoval) : null,
      SpaceReclaimed: spaceReclaimed,
    })
  }),

  get('/images/{name...}/get', (call, engine) => save(call, engine, [call.params['name']!])),

  get('/images/{name...}/json', async (call, engine) => {
    const platform = parsePlatform(call.query.text('platform'))
    const details = await engine.images.inspect(call.params['name']!, platform && { platform })
    call.json(200, encodeImage(details, call.api))
  }),

  get('/images/{name...}/history', async (call, engine) => {
    const platform = parsePlatform(call.query.text('platform'))
    const history = await engine.images.history(call.params['name']!, platform && { platform })
    call.json(200, history.map(encodeHistory))
  }),

  post('/images/{name...}/tag', async (call, engine) => {
    const { query } = call
    await engine.images.tag(call.params['name']!, query.text('repo') ?? '', query.text('tag'))
    call.empty(201)
  }),

  post('/images/{name...}/push', async (call, engine) => {
    const tag = call.query.text('tag')
    const name = call.params['name']!
    const platform = parsePlatform(call.query.text('platform'))
    await sendProgress(call, progress =>
      engine.images.push(tag ? familiar(parseTarget(name, tag)) : name, {
        all: !tag,
        progress,
        signal: call.signal,
        ...credentials(call),
        ...(platform && { platform }),
      }),
    )
  }),

  del('/images/{name...}', async (call, engine) => {
    const removed = await engine.images.remove(call.params['name']!, {
      force: call.query.flag('force'),
      noPrune: call.query.flag('noprune'),
    })
    call.json(200, removed.map(encodeRemoval))
  }),
]

/** `tag` may be a digest; without one (in either place) every tag is meant. Raises invalid. */
function pullReference(name: string, tag: string | undefined): { ref: string; all: boolean } {
  // Clients that mean every tag may leave a colon.
  const parsed = parseReference(name.replace(/:$/, ''))
  const wanted = !tag
    ? parsed
    : isDigest(tag)
      ? withDigest(parsed, tag)
      : { ...parsed, ...withTag(parsed, tag) }
  return { ref: canonical(wanted), all: wanted.tag === undefined && wanted.digest === undefined }
}
