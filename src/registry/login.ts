/** `docker login`: are these credentials good for that registry? */
import { GantryError, invalid } from '../errors.ts'
import { Connection, type ConnectionOptions, type Wire } from './connection.ts'
import { HUB } from './endpoints.ts'
import { AccessError, RegistryError, TransportError } from './errors.ts'
import { drain } from './transport.ts'
import type { LoginResult, RegistryAuth } from './types.ts'

/** The host that `serveraddress` means: clients send URLs of several ages. */
export function hostOfServerAddress(address: string | undefined): string {
  const host = (address ?? '').replace(/^https?:\/\//, '').split('/', 1)[0]!
  return host === '' || host === 'index.docker.io' || host === 'registry-1.docker.io' ? HUB : host
}

/** @throws RegistryError, GantryError with Docker's words where the credentials are not good. */
export async function login(wire: Wire, auth: RegistryAuth, signal?: AbortSignal): Promise<LoginResult> {
  const host = hostOfServerAddress(auth.serverAddress)
  if (!URL.canParse(`https://${host}`)) {
    throw invalid(`unable to parse server address: parse ${JSON.stringify(auth.serverAddress)}: invalid host`)
  }
  const endpoints = await wire.endpoints.forPush(host)
  const options: ConnectionOptions = { scopes: [], auth, signal }
  let last: unknown
  for (const endpoint of endpoints) {
    let connection: Connection
    try {
      connection = await Connection.open(wire, endpoint, options)
    } catch (error) {
      signal?.throwIfAborted()
      if (!(error instanceof TransportError)) throw error
      last = error
      continue
    }
    const url = new URL('v2/', endpoint.url).href
    try {
      const token = await connection.loginToken()
      await drain(await connection.call({ method: 'GET', target: '' }))
      return { status: 'Login Succeeded', identityToken: token?.refreshToken ?? '' }
    } catch (error) {
      throw refusal(error, url, connection)
    }
  }
  throw last
}

function refusal(error: unknown, url: string, connection: Connection): unknown {
  if (!(error instanceof RegistryError) || error instanceof AccessError) return error
  if (connection.takesTokens) {
    const kind = error.status === 401 || error.status === 403 ? 'unauthorized' : 'internal'
    return new GantryError(kind, `Get ${JSON.stringify(url)}: ${error.message}`, { cause: error })
  }
  return new GantryError(
    'internal',
    `login attempt to ${url} failed with status: ${error.status} ${REASONS[error.status] ?? ''}`.trimEnd(),
  )
}

const REASONS: Record<number, string> = {
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  500: 'Internal Server Error',
}
