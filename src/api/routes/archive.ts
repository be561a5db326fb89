/** Files in and out of containers: cp and export. */
import type { PathStat } from '../../engine/results.ts'
import { invalid } from '../../errors.ts'
import type { Call } from '../call.ts'
import { get, head, put } from './route.ts'

const STAT = 'X-Docker-Container-Path-Stat'

export const archiveRoutes = [
  head('/containers/{id...}/archive', async (call, engine) => {
    const stat = await engine.containers.archiveStat(call.params['id']!, path(call))
    call.res.setHeader(STAT, encodeStat(stat))
    call.empty(200)
  }),

  get('/containers/{id...}/archive', async (call, engine) => {
    const { stat, stream } = await engine.containers.archiveGet(call.params['id']!, path(call))
    call.res.setHeader(STAT, encodeStat(stat))
    await call.stream('application/x-tar', stream)
  }),

  put('/containers/{id...}/archive', async (call, engine) => {
    const { query } = call
    await engine.containers.archivePut(call.params['id']!, path(call), call.req, {
      noOverwriteDirNonDir: query.flag('noOverwriteDirNonDir'),
      copyUidGid: query.flag('copyUIDGID'),
    })
    call.empty(200)
  }),

  get('/containers/{id...}/export', async (call, engine) => {
    await call.stream('application/octet-stream', await engine.containers.export(call.params['id']!))
  }),
]

function path(call: Call): string {
  const value = call.query.text('path')
  if (value === undefined) throw invalid('bad parameter: path cannot be empty')
  return value
}

function encodeStat({ name, size, mode, mtime, linkTarget }: PathStat): string {
  return Buffer.from(JSON.stringify({ name, size, mode, mtime, linkTarget })).toString('base64')
}
