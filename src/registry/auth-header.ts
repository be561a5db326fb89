/** `X-Registry-Auth` and `X-Registry-Config`: JSON in URL-safe base64, as Docker's clients send credentials along. */
import { invalid } from '../errors.ts'
import type { RegistryAuth } from './types.ts'

/** Wire names, as `docker login` and the client libraries write them. */
interface WireAuth {
  username?: unknown
  password?: unknown
  /** base64 of `username:password`, where the two are absent. */
  auth?: unknown
  serveraddress?: unknown
  identitytoken?: unknown
  registrytoken?: unknown
}

/** Credentials of a wire object; throws `invalid` on anything that is not one. */
export function authFromWire(wire: unknown): RegistryAuth {
  if (wire === null || typeof wire !== 'object' || Array.isArray(wire)) {
    throw invalid('invalid X-Registry-Auth header: not an object')
  }
  const { username, password, auth, serveraddress, identitytoken, registrytoken } = wire as WireAuth
  const credentials: RegistryAuth = {
    ...pair(auth),
    ...text('username', username),
    ...text('password', password),
    ...text('serverAddress', serveraddress),
    ...text('identityToken', identitytoken),
    ...text('registryToken', registrytoken),
  }
  return credentials
}

function text(name: keyof RegistryAuth, value: unknown): RegistryAuth {
  if (value === undefined || value === null || value === '') return {}
  if (typeof value !== 'string') throw invalid(`invalid X-Registry-Auth header: ${name} is not a string`)
  return { [name]: value }
}

function pair(auth: unknown): RegistryAuth {
  if (typeof auth !== 'string' || auth === '') return {}
  const decoded = Buffer.from(auth, 'base64').toString('utf8')
  const colon = decoded.indexOf(':')
  return colon < 1 ? {} : { username: decoded.slice(0, colon), password: decoded.slice(colon + 1) }
}

/**
 * What `X-Registry-Auth` holds. A header that cannot be read counts as none, as in Docker (moby: `DecodeAuthConfig`), so
 * that a client with a broken configuration can still pull what is public.
 */
export function decodeAuthHeader(header: string | undefined): RegistryAuth {
  if (!header) return {}
  try {
    return authFromWire(decodeJson(header))
  } catch {
    return {}
  }
}

/** What `X-Registry-Config` holds: credentials by registry host, for builds. A header that cannot be read counts as none. */
export function decodeConfigHeader(header: string | undefined): Record<string, RegistryAuth> {
  if (!header) return {}
  try {
    const wire = decodeJson(header)
    if (wire === null || typeof wire !== 'object') return {}
    return Object.fromEntries(Object.entries(wire).map(([host, auth]) => [host, authFromWire(auth)]))
  } catch {
    return {}
  }
}

function decodeJson(header: string): unknown {
  return JSON.parse(Buffer.from(header, 'base64url').toString('utf8'))
}

/** The header value for `auth`: what a client of the API sends. */
export function encodeAuthHeader(auth: RegistryAuth): string {
  const wire = {
    username: auth.username,
    password: auth.password,
    serveraddress: auth.serverAddress,
    identitytoken: auth.identityToken,
    registrytoken: auth.registryToken,
  }
  return Buffer.from(JSON.stringify(wire)).toString('base64url')
}
