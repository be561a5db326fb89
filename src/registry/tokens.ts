/** Bearer tokens: got from the server that a registry's challenge names, kept until they end (distribution: token spec). */
import { createHash } from 'node:crypto'
import { GantryError } from '../errors.ts'
import type { Endpoints } from './endpoints.ts'
import { errorFromAnswer, RegistryError } from './errors.ts'
import { readBody, type Transport } from './transport.ts'
import type { RegistryAuth } from './types.ts'

const MAX_TOKEN_BYTES = 1 << 20
/** Seconds a token lives where its server does not say (token spec). */
const DEFAULT_LIFETIME = 60
/** Seconds before its end at which a token is no longer used. */
const MARGIN = 5
const CLIENT_ID = 'docker'

export interface TokenRequest {
  realm: string
  service: string
  /** `repository:library/busybox:pull` */
  scopes: string[]
  auth: RegistryAuth
  /** Ask for a refresh token too (login). */
  offline?: boolean
  /** Whether the registry itself was reached without TLS: only then may the realm be. */
  insecure: boolean
  signal?: AbortSignal
}

export interface Token {
  token: string
  refreshToken: string
  /** Milliseconds since 1970. */
  expires: number
}

export class TokenCache {
  readonly #transport: Transport
  readonly #endpoints: Endpoints
  readonly #tokens = new Map<string, Token>()
  readonly #now: () => number

  constructor(transport: Transport, endpoints: Endpoints, now: () => number = Date.now) {
    this.#transport = transport
    this.#endpoints = endpoints
    this.#now = now
  }

  /** A valid token, from memory if there is one. Throws `RegistryError` where the token server refuses. */
  async get(request: TokenRequest): Promise<Token> {
    const key = cacheKey(request)
    const known = this.#tokens.get(key)
    if (known && !request.offline && known.expires > this.#now()) return known
    const token = await this.#fetch(request)
    this.#sweep()
    this.#tokens.set(key, token)
    return token
  }

  /** Forget a token that the registry did not take. */
  drop(request: TokenRequest): void {
    this.#tokens.delete(cacheKey(request))
  }

  #sweep(): void {
    for (const [key, token] of this.#tokens) if (token.expires <= this.#now()) this.#tokens.delete(key)
  }

  async #fetch(request: TokenRequest): Promise<Token> {
    const url = realmUrl(request)
    const { auth, scopes, service } = request
    const tls = this.#endpoints.tlsFor(url)
    const signal = request.signal && { signal: request.signal }
    if (auth.identityToken) {
      const body = new URLSearchParams({
        grant_type: 'refresh_token',
        service,
        client_id: CLIENT_ID,
        refresh_token: auth.identityToken,
        ...(scopes.length > 0 && { scope: scopes.join(' ') }),
      })
      const headers = { 'Content-Type': 'application/x-www-form-urlencoded' }
      return this.#answer(
        await this.#transport.request({
          method: 'POST',
          url,
          headers,
          tls,
          body: Buffer.from(body.toString()),
          ...signal,
        }),
      )
    }
    if (service) url.searchParams.set('service', service)
    for (const scope of scopes) url.searchParams.append('scope', scope)
    const headers: Record<string, string> = {}
    if (auth.username) {
      url.searchParams.set('account', auth.username)
      headers['Authorization'] = basic(auth)
    }
    if (request.offline) {
      url.searchParams.set('client_id', CLIENT_ID)
      url.searchParams.set('offline_token', 'true')
    }
    return this.#answer(await this.#transport.request({ method: 'GET', url, headers, tls, ...signal }))
  }

  async #answer(answer: Awaited<ReturnType<Transport['request']>>): Promise<Token> {
    const body = (await readBody(answer, MAX_TOKEN_BYTES))?.toString('utf8') ?? ''
    if (answer.status !== 200) throw errorFromAnswer(answer.status, answer.reason, body)
    const parsed = parseToken(body)
    if (!parsed)
      throw new RegistryError(
        answer.status,
        'UNKNOWN',
        'authorization server did not include a token in the response',
      )
    return {
      token: parsed.token,
      refreshToken: parsed.refreshToken,
      expires: this.#now() + (Math.max(parsed.expiresIn, DEFAULT_LIFETIME) - MARGIN) * 1000,
    }
  }
}

/** `Authorization` for a name and a password. */
export function basic(auth: RegistryAuth): string {
  return `Basic ${Buffer.from(`${auth.username ?? ''}:${auth.password ?? ''}`).toString('base64')}`
}

/** Credentials go to a realm over TLS, unless the registry that names it is one without. */
function realmUrl({ realm, auth, insecure }: TokenRequest): URL {
  const url = URL.parse(realm)
  if (!url || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    throw new GantryError('internal', `invalid token auth challenge realm: ${JSON.stringify(realm)}`)
  }
  const secret = auth.username || auth.identityToken
  if (secret && url.protocol === 'http:' && !insecure) {
    throw new GantryError(
      'internal',
      `refusing to send credentials to the insecure token server ${url.origin}`,
    )
  }
  return url
}

function parseToken(body: string): { token: string; refreshToken: string; expiresIn: number } | undefined {
  try {
    const value = JSON.parse(body) as Record<string, unknown>
    const token = value['token'] || value['access_token']
    if (typeof token !== 'string' || token === '') return undefined
    const refresh = value['refresh_token']
    const expires = value['expires_in']
    return {
      token,
      refreshToken: typeof refresh === 'string' ? refresh : '',
      expiresIn: typeof expires === 'number' ? expires : DEFAULT_LIFETIME,
    }
  } catch {
    return undefined
  }
}

/** Secrets are only kept as a hash here. */
function cacheKey({ realm, service, scopes, auth }: TokenRequest): string {
  const secret = [auth.username, auth.password, auth.identityToken].map(part => part ?? '').join('\0')
  const who = createHash('sha256').update(secret).digest('base64')
  return [realm, service, scopes.toSorted().join(' '), who].join('\n')
}
