/**
 * Image references as Docker reads them: `[domain/]path[:tag][@digest]`, with the defaults that people leave out.
 *
 * A *familiar* name is what a person types and reads (`busybox`); a *canonical* one has all its parts
 * (`docker.io/library/busybox`). A {@link Reference} is canonical; {@link familiar} goes back.
 */
import { invalid } from '../errors.ts'
import { isDigest, parseDigest } from './digest.ts'
import type { Digest } from './types.ts'

export const DEFAULT_DOMAIN = 'docker.io'
export const DEFAULT_TAG = 'latest'
const LEGACY_DOMAIN = 'index.docker.io'
const OFFICIAL = 'library/'
/** Of a path (distribution's reference library: a domain does not count). */
const MAX_PATH_LENGTH = 255

/** A parsed reference. At least one of `tag` and `digest` is there once {@link withDefaultTag} was asked. */
export interface Reference {
  /** `docker.io`, `localhost:5000`, `[::1]:5000` */
  readonly domain: string
  /** `library/busybox` */
  readonly path: string
  readonly tag?: string
  readonly digest?: Digest
}

const COMPONENT = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*'
const DOMAIN_LABEL = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])'
const DOMAIN = `(?:${DOMAIN_LABEL}(?:\\.${DOMAIN_LABEL})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?`
const PATH = `${COMPONENT}(?:/${COMPONENT})*`
const TAG = '[\\w][\\w.-]{0,127}'
const DIGEST = '[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}'

const DOMAIN_PATTERN = new RegExp(`^${DOMAIN}$`)
const PATH_PATTERN = new RegExp(`^${PATH}$`)
const TAG_PATTERN = new RegExp(`^${TAG}$`)
const REST_PATTERN = new RegExp(`^(?<path>[^:@]+)(?::(?<tag>${TAG}))?(?:@(?<digest>${DIGEST}))?$`)

/**
 * Parse what a person typed. Neither tag nor digest is made up: see {@link withDefaultTag}.
 * @throws GantryError `invalid` with Docker's words.
 */
export function parseReference(text: string): Reference {
  if (/^[a-f0-9]{64}$/.test(text)) {
    throw invalid(`invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`)
  }
  const { domain, rest } = splitDomain(text)
  const end = rest.search(/[:@]/)
  const path = end < 0 ? rest : rest.slice(0, end)
  if (path !== path.toLowerCase()) {
    throw invalid(`invalid reference format: repository name (${path}) must be lowercase`)
  }
  const match = REST_PATTERN.exec(rest)?.groups
  if (match === undefined || !PATH_PATTERN.test(path) || !DOMAIN_PATTERN.test(domain)) {
    throw invalid('invalid reference format')
  }
  if (path.length > MAX_PATH_LENGTH) {
    throw invalid(`repository name must not be more than ${MAX_PATH_LENGTH} characters`)
  }
  return {
    domain,
    path,
    ...(match['tag'] === undefined ? {} : { tag: match['tag'] }),
    ...(match['digest'] === undefined ? {} : { digest: parseDigest(match['digest']) }),
  }
}

/** The first component is a domain if it looks like a host: a dot, a port, capitals, or `localhost`. */
function splitDomain(text: string): { domain: string; rest: string } {
  const slash = text.indexOf('/')
  const first = text.slice(0, Math.max(slash, 0))
  const isHost = /[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase()
  let domain = isHost ? first : DEFAULT_DOMAIN
  let rest = isHost ? text.slice(slash + 1) : text
  if (domain === LEGACY_DOMAIN) domain = DEFAULT_DOMAIN
  if (domain === DEFAULT_DOMAIN && rest !== '' && !rest.includes('/')) rest = OFFICIAL + rest
  return { domain, rest }
}

/** {@link parseReference}, or `undefined` where it would throw. */
export function tryParseReference(text: string): Reference | undefined {
  try {
    return parseReference(text)
  } catch {
    return undefined
  }
}

/** `:latest` where there is neither tag nor digest. */
export function withDefaultTag(reference: Reference): Reference {
  return reference.tag === undefined && reference.digest === undefined
    ? { ...reference, tag: DEFAULT_TAG }
    : reference
}

/**
 * The same repository with another tag.
 * @throws GantryError `invalid` if it is not a tag.
 */
export function withTag(reference: Reference, tag: string): Reference {
  if (!TAG_PATTERN.test(tag)) throw invalid('invalid tag format')
  return { domain: reference.domain, path: reference.path, tag }
}

/**
 * A name that an image is to get: `repository` with `tag` in the place of its own, `latest` where neither is there.
 * @throws GantryError `invalid` as {@link parseReference} and {@link withTag}, and for a digest: those are not given but computed.
 */
export function parseTarget(repository: string, tag?: string): Reference {
  const parsed = parseReference(repository)
  if (parsed.digest !== undefined) throw invalid('cannot import digest reference')
  return withDefaultTag(tag ? withTag(parsed, tag) : parsed)
}

/** The same repository by content. */
export function withDigest(reference: Reference, digest: Digest): Reference {
  return { domain: reference.domain, path: reference.path, digest }
}

/** `docker.io/library/busybox` */
export function canonicalName(reference: Reference): string {
  return `${reference.domain}/${reference.path}`
}

/** `docker.io/library/busybox:latest@sha256:…`: the name under which an image is kept. */
export function canonical(reference: Reference): string {
  return canonicalName(reference) + suffix(reference)
}

/** `busybox` */
export function familiarName(reference: Reference): string {
  if (reference.domain !== DEFAULT_DOMAIN) return canonicalName(reference)
  const { path } = reference
  const isOfficial = path.startsWith(OFFICIAL) && !path.slice(OFFICIAL.length).includes('/')
  return isOfficial ? path.slice(OFFICIAL.length) : path
}

/** `busybox:latest`: what people are shown. */
export function familiar(reference: Reference): string {
  return familiarName(reference) + suffix(reference)
}

function suffix({ tag, digest }: Reference): string {
  return (tag === undefined ? '' : `:${tag}`) + (digest === undefined ? '' : `@${digest}`)
}

/** What a person meant by a word that may be a name or an id. */
export type ImageName = { kind: 'reference'; reference: Reference } | { kind: 'digest'; digest: Digest }

/**
 * A reference, or `sha256:<64 hex>` / 64 hex digits, which can only be an image's id.
 * @throws GantryError `invalid` as {@link parseReference}.
 */
export function parseImageName(text: string): ImageName {
  if (/^[a-f0-9]{64}$/.test(text)) return { kind: 'digest', digest: `sha256:${text}` }
  if (isDigest(text)) return { kind: 'digest', digest: text }
  return { kind: 'reference', reference: parseReference(text) }
}
