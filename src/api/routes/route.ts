/** What a row of a routing table is. */
import type { Engine } from '../../engine/engine.ts'
import type { Call } from '../call.ts'

export type Handler = (call: Call, engine: Engine) => void | Promise<void>

export interface Route {
  method: string
  path: string
  handler: Handler
}

const row =
  (method: string) =>
  (path: string, handler: Handler): Route => ({ method, path, handler })

export const get = row('GET')
export const head = row('HEAD')
export const post = row('POST')
export const put = row('PUT')
export const del = row('DELETE')
