/**
 * A conversation with one registry for one purpose: finds the endpoint that answers, answers challenges, follows redirects by
 * hand so that credentials stay with the host that they are for.
 */
import { Readable } from 'node:stream'
import { GantryError } from '../errors.ts'
import { type Challenge, parseChallenges } from './challenge.ts'
import type { Endpoint, Endpoints } from './endpoints.ts'
import { AccessError, errorFromAnswer, RegistryError, TransportError } from './errors.ts'
import { parseRetryAfter } from './retry.ts'
import { basic, type Token, type TokenCache, type TokenRequest } from './tokens.ts'
import { drain, type HttpAnswer, type HttpRequest, readBody, type Transport } from './transport.ts'
import type { RegistryAuth } from './types.ts'

const MAX_REDIRECTS = 10
const MAX_ERROR_BYTES = 64 << 10
const REDIRECTS = new Set([301, 302, 303, 307, 308])

export interface ConnectionOptions {
  /** What tokens are asked for: `repository:a/b:pull`. */
  scopes: string[]
  auth?: RegistryAuth | undefined
  headers?: Record<string, string> | undefined
  signal?: AbortSignal | undefined
}

export interface Call {
  method: string
  /** Below `/v2/`, or an absolute URL that the registry gave (an upload's location). */
  target: string | URL
  headers?: Record<string, string>
  body?: HttpRequest['body']
  signal?: AbortSignal | undefined
  /** Beyond the connection's: the source of a mount. */
  scopes?: string[]
  /** Answers beside 2xx that the caller wants to see. */
  expect?: number[]
  /** {@link HttpRequest.direct} */
  direct?: boolean
}

/** What all connections share. */
export interface Wire {
  transport: Transport
  endpoints: Endpoints
  tokens: TokenCache
}

export class Connection {
  readonly endpoint: Endpoint
  readonly #wire: Wire
  readonly #options: ConnectionOptions
  #challenges: readonly Challenge[]

  private constructor(
    wire: Wire,
    endpoint: Endpoint,
    challenges: readonly Challenge[],
    options: ConnectionOptions,
  ) {
    this.#wire = wire
    this.endpoint = endpoint
    this.#challenges = challenges
    this.#options = options
  }

  /** Ask `endpoint` whether it is there and how it takes credentials; not where `challenges` says how it took them lately. */
  static async open(
    wire: Wire,
    endpoint: Endpoint,
    options: ConnectionOptions,
    challenges?: readonly Challenge[],
  ): Promise<Connection> {
    if (challenges !== undefined) return new Connection(wire, endpoint, challenges, options)
    const answer = await wire.transport.request({
      method: 'GET',
      url: new URL('v2/', endpoint.url),
      tls: endpoint.tls,
      ...(options.headers && { headers: options.headers }),
      ...(options.signal && { signal: options.signal }),
    })
    await drain(answer)
    return new Connection(wire, endpoint, parseChallenges(answer.headers['www-authenticate']), options)
  }

  /** How the registry takes credentials, as far as it has said. */
  get challenges(): readonly Challenge[] {
    return this.#challenges
  }

  /** Whether the registry wants tokens, as far as it has said. */
  get takesTokens(): boolean {
    return this.#challenges.some(({ scheme }) => scheme === 'bearer')
  }

  /**
   * The answer to `call`, whose status is 2xx or one of `call.expect`.
   * Throws `RegistryError` for any other, `TransportError` where none comes.
   */
  async call(call: Call): Promise<HttpAnswer> {
    let answer = await this.#send(call)
    if (answer.status === 401) {
      const challenges = parseChallenges(answer.headers['www-authenticate'])
      if (challenges.length > 0 && this.#mayRetryWith(challenges, call)) {
        await drain(answer)
        this.#challenges = challenges
        answer = await this.#send(call)
      }
    }
    if ((answer.status >= 200 && answer.status < 300) || call.expect?.includes(answer.status)) return answer
    throw await errorOf(answer)
  }

  /** A refused token is got anew once; refused passwords stay refused. A body that was streamed is gone, a file is not. */
  #mayRetryWith(challenges: Challenge[], call: Call): boolean {
    if (call.body instanceof Readable) return false
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer')
    if (bearer) {
      this.#wire.tokens.drop(this.#tokenRequest(bearer, call.scopes))
      return !this.#options.auth?.registryToken
    }
    return this.#challenges.length === 0
  }

  async #send(call: Call): Promise<HttpAnswer> {
    const url = new URL(
      typeof call.target === 'string' ? `v2/${call.target}` : call.target,
      this.endpoint.url,
    )
    const authorization = this.#isOwn(url) ? await this.#authorization(call, url) : undefined
    const signal = call.signal ?? this.#options.signal
    const request: HttpRequest = {
      method: call.method,
      url,
      headers: {
        ...this.#options.headers,
        ...call.headers,
        ...(authorization && { Authorization: authorization }),
      },
      ...(call.body !== undefined && { body: call.body }),
      ...(signal && { signal }),
      ...(call.direct && { direct: true }),
      tls: this.#wire.endpoints.tlsFor(url),
    }
    return this.#follow(request)
  }

  /** Only reads are redirected; a redirect to another host carries no credentials and never leaves TLS. */
  async #follow(request: HttpRequest): Promise<HttpAnswer> {
    let current = request
    for (let hops = 0; ; hops++) {
      const answer = await this.#wire.transport.request(current)
      const location = answer.headers.location
      if (!REDIRECTS.has(answer.status) || location === undefined) return answer
      if (current.method !== 'GET' && current.method !== 'HEAD') return answer
      await drain(answer)
      if (hops === MAX_REDIRECTS) throw refuse(request, `stopped after ${MAX_REDIRECTS} redirects`)
      const url = URL.parse(location, current.url.href)
      if (!url || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
        throw refuse(request, `unsupported protocol scheme in redirect to ${JSON.stringify(location)}`)
      }
      if (
        current.url.protocol === 'https:' &&
        url.protocol === 'http:' &&
        !this.#wire.endpoints.isInsecure(url.host)
      ) {
        throw refuse(request, `redirect from https to http at ${url.host}`)
      }
      const { Authorization: credentials, ...headers } = current.headers ?? {}
      current = {
        ...current,
        url,
        headers:
          url.origin === current.url.origin && credentials
            ? { ...headers, Authorization: credentials }
            : headers,
        tls: this.#wire.endpoints.tlsFor(url),
      }
    }
  }

  #isOwn(url: URL): boolean {
    return url.origin === this.endpoint.url.origin
  }

  async #authorization(call: Call, url: URL): Promise<string | undefined> {
    const auth = this.#options.auth ?? {}
    const bearer = this.#challenges.find(({ scheme }) => scheme === 'bearer')
    if (bearer) {
      if (auth.registryToken) return `Bearer ${auth.registryToken}`
      const { token } = await this.#token(bearer, call, url)
      return `Bearer ${token}`
    }
    if (!this.#challenges.some(({ scheme }) => scheme === 'basic')) return undefined
    if (!auth.username || !auth.password) {
      throw new AccessError(said(call, url), new GantryError('internal', 'no basic auth credentials'))
    }
    return basic(auth)
  }

  async #token(bearer: Challenge, call: Call, url: URL): Promise<Token> {
    const signal = call.signal ?? this.#options.signal
    try {
      return await this.#wire.tokens.get({
        ...this.#tokenRequest(bearer, call.scopes),
        ...(signal && { signal }),
      })
    } catch (error) {
      throw error instanceof RegistryError ? new AccessError(said(call, url), error) : error
    }
  }

  #tokenRequest(bearer: Challenge, more: string[] = []): TokenRequest {
    const { realm = '', service = '', scope } = bearer.parameters
    const asked = scope ? scope.split(' ') : []
    return {
      realm,
      service,
      scopes: [...new Set([...this.#options.scopes, ...more, ...asked])],
      auth: this.#options.auth ?? {},
      insecure: this.endpoint.url.protocol === 'http:',
    }
  }

  /** Get a token with a refresh token beside it, as `docker login` does; `undefined` where the registry has no tokens. */
  async loginToken(): Promise<Token | undefined> {
    const bearer = this.#challenges.find(({ scheme }) => scheme === 'bearer')
    if (!bearer) return undefined
    return this.#wire.tokens.get({
      ...this.#tokenRequest(bearer),
      offline: true,
      ...(this.#options.signal && { signal: this.#options.signal }),
    })
  }
}

function refuse(request: HttpRequest, why: string): TransportError {
  return new TransportError(
    'ERR_INVALID_REDIRECT',
    `${verb(request.method)} ${JSON.stringify(request.url.href)}: ${why}`,
  )
}

/** `Head "https://…"` */
function said({ method }: Call, url: URL): string {
  return `${verb(method)} ${JSON.stringify(url.href)}`
}

function verb(method: string): string {
  return method.charAt(0) + method.slice(1).toLowerCase()
}

/** The error that an answer stands for; reads its body. */
export async function errorOf(answer: HttpAnswer): Promise<RegistryError> {
  const body = await readBody(answer, MAX_ERROR_BYTES).catch(() => undefined)
  // RFC 6750: the caller is known, and may not. An answer to HEAD has no body that could say so.
  const refusal = parseChallenges(answer.headers['www-authenticate']).find(
    ({ parameters }) => parameters['error'] === 'insufficient_scope',
  )
  if (refusal) {
    const why = refusal.parameters['error_description'] ?? 'requested access to the resource is denied'
    return new RegistryError(403, 'DENIED', `denied: ${why}`)
  }
  return errorFromAnswer(
    answer.status,
    answer.reason,
    body?.toString('utf8') ?? '',
    parseRetryAfter(answer.headers['retry-after']),
  )
}
