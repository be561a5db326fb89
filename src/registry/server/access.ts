/**
 * Access control. Three ways to run a registry:
 * - open: nobody is asked;
 * - an htpasswd file alone: basic authentication, every user may do everything;
 * - rights, or anonymous pulls: bearer tokens, which the registry gives out itself at `/token` for the same passwords (clients
 *   decide at the first answer whether they need credentials at all, so anonymous pulls need tokens), or which an
 *   outside token server gives out.
 */
import { createHash, type KeyObject, randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { fault } from './faults.ts'
import type { Passwords } from './passwords.ts'
import { type Action, allows, EVERYTHING, type Right, type RightsFile } from './rights.ts'
import { isRepositoryName } from './routes.ts'
import { signToken, verifyToken } from './signed-tokens.ts'

export interface AccessOptions {
  passwords?: Passwords
  rights?: RightsFile
  /** An outside token server. */
  tokenServer?: { realm: string; service: string; issuer?: string; keys: KeyObject[] }
}

/** Who asks, and what that one may do. */
export interface Caller {
  /** '' for nobody in particular. */
  name: string
  rights: readonly Right[]
}

/** What a token is asked for. */
interface Scope {
  type: 'repository' | 'registry'
  name: string
  actions: string[]
}

const SERVICE = 'gantry-registry'
/** Seconds. */
const TOKEN_LIFETIME = 300

export class Access {
  readonly #options: AccessOptions
  readonly #secret = randomBytes(32)
  readonly #mode: 'open' | 'basic' | 'bearer'
  /** Who says nothing. */
  readonly #nobody: Caller

  constructor(options: AccessOptions = {}) {
    this.#options = options
    const { passwords, rights, tokenServer } = options
    this.#mode = rights || tokenServer ? 'bearer' : passwords ? 'basic' : 'open'
    this.#nobody = { name: '', rights: this.#mode === 'open' ? EVERYTHING : (rights?.anonymous ?? []) }
  }

  /** Whether {@link issue} answers. */
  get issuesTokens(): boolean {
    return this.#mode === 'bearer' && !this.#options.tokenServer
  }

  /** Who sent `request`. Wrong credentials are a fault, none are not. */
  async identify(request: IncomingMessage, base: string): Promise<Caller> {
    if (this.#mode === 'open') return this.#nobody
    const [scheme = '', credentials = ''] = (request.headers.authorization ?? '').split(' ', 2)
    const caller =
      scheme.toLowerCase() === 'basic'
        ? await this.#byPassword(credentials)
        : scheme.toLowerCase() === 'bearer'
          ? this.#byToken(credentials)
          : this.#nobody
    if (!caller) throw this.#challenge(base, undefined, 'invalid_token')
    return caller
  }

  /** Throws UNAUTHORIZED where credentials could help, DENIED where they were given and do not suffice. */
  require(caller: Caller, base: string, name: string, actions: Action[]): void {
    if (allows(caller.rights, name, actions)) return
    if (caller.name !== '' && this.#mode === 'basic')
      throw fault('DENIED', 'requested access to the resource is denied')
    const error = caller === this.#nobody ? undefined : 'insufficient_scope'
    throw this.#challenge(base, { type: 'repository', name, actions }, error)
  }

  /** Throws UNAUTHORIZED unless the caller has said who it is, or nobody has to. `scope`: what a token for it would be for. */
  requireName(caller: Caller, base: string, scope?: Scope): void {
    if (this.#mode !== 'open' && caller === this.#nobody) throw this.#challenge(base, scope)
  }

  #challenge(base: string, scope: Scope | undefined, error?: string): Error {
    const asked = scope?.actions.join(',')
    const detail = scope ? [{ Type: scope.type, Name: scope.name, Action: asked }] : null
    const { tokenServer } = this.#options
    const realm = tokenServer?.realm ?? `${base}/token`
    const parameters =
      this.#mode === 'basic'
        ? 'Basic realm="gantry registry"'
        : `Bearer realm="${realm}",service="${tokenServer?.service ?? SERVICE}"` +
          (scope === undefined ? '' : `,scope="${scope.type}:${scope.name}:${asked}"`) +
          (error === undefined ? '' : `,error="${error}"`)
    return fault('UNAUTHORIZED', 'authentication required', 401, detail, { 'WWW-Authenticate': parameters })
  }

  /**
   * The token endpoint: `GET /token?service=…&scope=repository:NAME:ACTIONS&account=…` with basic credentials or none. The token
   * allows what was asked for as far as the user may.
   */
  async issue(request: IncomingMessage, query: URLSearchParams, now = Date.now()): Promise<object> {
    const [scheme = '', credentials = ''] = (request.headers.authorization ?? '').split(' ', 2)
    return this.#issue(scheme === '' ? this.#nobody : await this.#byPassword(credentials), query, now)
  }

  /** The same as a form that is posted, with `username` and `password` in it (distribution: OAuth2 token spec), as containerd asks. */
  async issueForForm(form: URLSearchParams, now = Date.now()): Promise<object> {
    const kind = form.get('grant_type') ?? ''
    if (kind !== 'password')
      throw fault('UNSUPPORTED', `grant_type ${JSON.stringify(kind)} is not supported`, 400)
    return this.#issue(await this.#check(form.get('username') ?? '', form.get('password') ?? ''), form, now)
  }

  #issue(caller: Caller | undefined, query: URLSearchParams, now: number): object {
    if (!caller) {
      throw fault('UNAUTHORIZED', 'incorrect username or password', 401, null, {
        'WWW-Authenticate': 'Basic realm="gantry registry"',
      })
    }
    const rights = query
      .getAll('scope')
      .flatMap(scope => scope.split(' '))
      .flatMap(scope => grant(caller.rights, scope))
    const issuedAt = Math.floor(now / 1000)
    const token = signToken(this.#secret, {
      iss: SERVICE,
      aud: SERVICE,
      sub: caller.name,
      iat: issuedAt,
      exp: issuedAt + TOKEN_LIFETIME,
      rights,
    })
    return { token, access_token: token, expires_in: TOKEN_LIFETIME, issued_at: new Date(now).toISOString() }
  }

  async #byPassword(credentials: string): Promise<Caller | undefined> {
    const text = Buffer.from(credentials, 'base64').toString('utf8')
    const colon = text.indexOf(':')
    return colon < 0 ? undefined : this.#check(text.slice(0, colon), text.slice(colon + 1))
  }

  /** What everyone may, a user may too. */
  async #check(name: string, password: string): Promise<Caller | undefined> {
    const { passwords, rights } = this.#options
    const byToken = this.#staticToken(password)
    if (byToken && (byToken.name === name || name === '<token>')) return byToken
    if (name === '' || !(await passwords?.check(name, password))) return undefined
    const own = rights?.users ? (rights.users[name] ?? []) : EVERYTHING
    return { name, rights: [...own, ...this.#nobody.rights] }
  }

  #byToken(token: string): Caller | undefined {
    const fixed = this.#staticToken(token)
    if (fixed) return fixed
    const { tokenServer } = this.#options
    const verified = tokenServer
      ? verifyToken(token, { publicKeys: tokenServer.keys }, tokenServer.service, tokenServer.issuer)
      : verifyToken(token, { secret: this.#secret }, SERVICE, SERVICE)
    return verified && { name: verified.subject, rights: verified.rights }
  }

  #staticToken(token: string): Caller | undefined {
    const tokens = Object.entries(this.#options.rights?.tokens ?? {})
    if (tokens.length === 0) return undefined
    const hash = createHash('sha256').update(token).digest('hex')
    const found = tokens.find(([, { sha256 }]) => sha256 === hash)
    return found && { name: found[0], rights: [...found[1].rights, ...this.#nobody.rights] }
  }
}

/** The part of a scope that `rights` allow. */
function grant(rights: readonly Right[], scope: string): Right[] {
  // To list repositories is to be told of those that one may pull.
  if (scope === 'registry:catalog:*') {
    return rights
      .filter(({ actions }) => actions.includes('pull'))
      .map(({ repository }) => ({ repository, actions: ['pull'] }))
  }
  const match = /^repository(?:\([^)]*\))?:(.+):([a-z,*]+)$/.exec(scope)
  if (!match || !isRepositoryName(match[1]!)) return []
  const asked = match[2] === '*' ? ['pull', 'push', 'delete'] : match[2]!.split(',')
  const actions = (['pull', 'push', 'delete'] as const).filter(
    action => asked.includes(action) && allows(rights, match[1]!, [action]),
  )
  return actions.length === 0 ? [] : [{ repository: match[1]!, actions }]
}
