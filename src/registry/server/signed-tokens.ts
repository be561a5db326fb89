/** JSON Web Tokens: those that the registry's own token endpoint gives out, and those of an outside token server. */
import * as crypto from 'node:crypto'
import type { Action, Right } from './rights.ts'

/** `access` of the distribution project's token format. */
interface Access {
  type: string
  name: string
  actions: string[]
}

interface Claims {
  iss?: string
  aud?: string | string[]
  sub?: string
  exp?: number
  nbf?: number
  access?: Access[]
}

/** How a token proves itself: a secret of our own (HS256), or public keys of whoever else gives them out. */
export interface TokenKeys {
  secret?: Buffer
  publicKeys?: crypto.KeyObject[]
}

export interface VerifiedToken {
  subject: string
  rights: Right[]
}

const VERIFY: Record<string, { hash: string; keyType: string; options?: object }> = {
  RS256: { hash: 'sha256', keyType: 'rsa' },
  RS384: { hash: 'sha384', keyType: 'rsa' },
  RS512: { hash: 'sha512', keyType: 'rsa' },
  ES256: { hash: 'sha256', keyType: 'ec', options: { dsaEncoding: 'ieee-p1363' } },
  ES384: { hash: 'sha384', keyType: 'ec', options: { dsaEncoding: 'ieee-p1363' } },
}

/** A token signed with `secret`. Times in seconds since 1970. */
export function signToken(
  secret: Buffer,
  claims: { iss: string; aud: string; sub: string; iat: number; exp: number; rights: Right[] },
): string {
  const { rights, ...rest } = claims
  const access: Access[] = rights.map(({ repository, actions }) => ({
    type: 'repository',
    name: repository,
    actions,
  }))
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ ...rest, nbf: claims.iat, access })}`
  return `${signed}.${crypto.createHmac('sha256', secret).update(signed).digest('base64url')}`
}

/** What a token allows; `undefined` if it is not valid for `audience` now. */
export function verifyToken(
  token: string,
  keys: TokenKeys,
  audience: string,
  issuer: string | undefined,
  now = Date.now(),
): VerifiedToken | undefined {
  const [header, payload, signature, ...rest] = token.split('.')
  if (!header || !payload || !signature || rest.length > 0) return undefined
  const algorithm = decode<{ alg?: unknown }>(header)?.alg
  if (!isSigned(`${header}.${payload}`, Buffer.from(signature, 'base64url'), algorithm, keys))
    return undefined
  const claims = decode<Claims>(payload)
  const seconds = now / 1000
  if (!claims || typeof claims.exp !== 'number' || claims.exp <= seconds) return undefined
  if (typeof claims.nbf === 'number' && claims.nbf > seconds + 60) return undefined
  if (![claims.aud].flat().includes(audience)) return undefined
  if (issuer !== undefined && claims.iss !== issuer) return undefined
  return { subject: claims.sub ?? '', rights: (claims.access ?? []).flatMap(toRight) }
}

function isSigned(text: string, signature: Buffer, algorithm: unknown, keys: TokenKeys): boolean {
  if (algorithm === 'HS256' && keys.secret) {
    const expected = crypto.createHmac('sha256', keys.secret).update(text).digest()
    return signature.length === expected.length && crypto.timingSafeEqual(signature, expected)
  }
  const method = typeof algorithm === 'string' ? VERIFY[algorithm] : undefined
  if (!method) return false
  return (keys.publicKeys ?? []).some(
    key =>
      key.asymmetricKeyType === method.keyType &&
      crypto.verify(method.hash, Buffer.from(text), { key, ...method.options }, signature),
  )
}

/** `*` stands for every action. */
function toRight({ type, name, actions }: Access): Right[] {
  if (type !== 'repository' || !Array.isArray(actions)) return []
  const known: Action[] = actions.includes('*')
    ? ['pull', 'push', 'delete']
    : actions.filter((action): action is Action => ['pull', 'push', 'delete'].includes(action))
  return [{ repository: name, actions: known }]
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

function decode<T>(text: string): T | undefined {
  try {
    return JSON.parse(Buffer.from(text, 'base64url').toString('utf8')) as T
  } catch {
    return undefined
  }
}
