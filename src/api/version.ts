/** API versions: `/v1.NN/…` before a path. A version is kept as its minor number; the major one has always been 1. */
import { invalid } from '../errors.ts'

export const NEWEST = 55
export const OLDEST = 24
export const API_VERSION = `1.${NEWEST}`
export const MIN_API_VERSION = `1.${OLDEST}`

const PREFIX = /^\/v([0-9]+)\.([0-9]+)(?=\/)/

/** The path without its version, and the version: the newest where none is asked for. */
export function splitVersion(path: string): { path: string; version?: string } {
  if (path.charCodeAt(1) !== 118 /* v */) return { path }
  const match = PREFIX.exec(path)
  return match ? { path: path.slice(match[0].length), version: `${match[1]}.${match[2]}` } : { path }
}

/** The minor number of a client's version. Raises `invalid`, in Docker's words, where it is outside what is spoken. */
export function negotiate(version: string | undefined): number {
  if (version === undefined) return NEWEST
  const [major, minor] = version.split('.').map(Number) as [number, number]
  const order = major === 1 ? minor : major < 1 ? -1 : Number.POSITIVE_INFINITY
  if (order < OLDEST) {
    throw invalid(
      `client version ${version} is too old. Minimum supported API version is ${MIN_API_VERSION}, ` +
        'please upgrade your client to a newer version',
    )
  }
  if (order > NEWEST) {
    throw invalid(`client version ${version} is too new. Maximum supported API version is ${API_VERSION}`)
  }
  return order
}
