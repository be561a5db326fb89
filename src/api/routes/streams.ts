/** What containers say and hear: attach, logs, statistics. */

import type { Duplex } from 'node:stream'
import type { Engine } from '../../engine/engine.ts'
import type { AttachOptions, LogOptions, StatsSample } from '../../engine/results.ts'
import { invalid } from '../../errors.ts'
import type { Call } from '../call.ts'
import { joinStreams, streamType } from '../join.ts'
import { encodeStats, statsLine } from '../wire/stats.ts'
import { get, post } from './route.ts'

export const streamRoutes = [
  post('/containers/{id...}/attach', async (call, engine) => {
    const { stream, tty } = await attach(call, engine)
    await joinStreams(call.hijack(streamType(call, tty)), stream, call.req.socket)
  }),

  get('/containers/{id...}/attach/ws', async (call, engine) => {
    const { serveWebSocket } = await import('../websocket.ts')
    await serveWebSocket(call, async () => (await attach(call, engine)).stream)
  }),

  get('/containers/{id...}/logs', async (call, engine) => {
    const options = logOptions(call)
    const { stream, tty } = await engine.containers.logs(call.params['id']!, options)
    await call.stream(
      tty ? 'application/vnd.docker.raw-stream' : 'application/vnd.docker.multiplexed-stream',
      stream,
    )
  }),

  get('/containers/{id...}/stats', async (call, engine) => {
    const stream = call.query.flag('stream', true)
    const oneShot = call.api >= 41 && call.query.flag('one-shot')
    if (stream && oneShot) throw invalid('cannot have stream=true and one-shot=true')
    const id = call.params['id']!
    if (!stream) {
      call.json(200, encodeStats(await engine.containers.stats(id, { oneShot, signal: call.signal })))
      return
    }
    const { res } = call
    const tell = (sample: StatsSample): void => {
      if (!res.headersSent) res.writeHead(200, { 'Content-Type': 'application/json' })
      // A client that does not keep up misses some.
      if (!res.writableNeedDrain) res.write(statsLine(sample))
    }
    await engine.containers.watchStats(id, tell, call.signal)
    res.end()
  }),
]

async function attach(call: Call, engine: Engine): Promise<{ tty: boolean; stream: Duplex }> {
  const { query } = call
  const options: AttachOptions = {
    stdin: query.flag('stdin'),
    stdout: query.flag('stdout'),
    stderr: query.flag('stderr'),
    stream: query.flag('stream'),
    logs: query.flag('logs'),
    signal: call.signal,
  }
  const keys = query.text('detachKeys')
  if (keys !== undefined) options.detachKeys = keys
  return engine.containers.attach(call.params['id']!, options)
}

function logOptions(call: Call): LogOptions {
  const { query } = call
  const options: LogOptions = {
    stdout: query.flag('stdout'),
    stderr: query.flag('stderr'),
    timestamps: query.flag('timestamps'),
    details: query.flag('details'),
    follow: query.flag('follow'),
    signal: call.signal,
  }
  if (!options.stdout && !options.stderr) throw invalid('Bad parameters: you must choose at least one stream')
  const since = query.nanoseconds('since')
  const until = query.nanoseconds('until')
  const tail = Number(query.text('tail') ?? 'all')
  if (since) options.since = since
  if (until) options.until = until
  if (Number.isInteger(tail) && tail >= 0) options.tail = tail
  return options
}
