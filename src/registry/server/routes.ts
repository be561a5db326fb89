/** The paths of the distribution protocol, taken apart. */
import { isDigest } from '../../image/digest.ts'
import type { Digest } from '../../image/types.ts'
import { type Fault, fault } from './faults.ts'

export type Route =
  | { kind: 'base' }
  | { kind: 'catalog' }
  | { kind: 'tags'; name: string }
  | { kind: 'manifest'; name: string; reference: string }
  | { kind: 'blob'; name: string; digest: Digest }
  | { kind: 'uploads'; name: string }
  | { kind: 'upload'; name: string; id: string }
  | { kind: 'referrers'; name: string; digest: Digest }

const COMPONENT = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*'
const NAME = new RegExp(`^${COMPONENT}(?:/${COMPONENT})*$`)
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/
const UPLOAD_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const MAX_NAME_LENGTH = 255

export const isTag = (text: string): boolean => TAG.test(text)
export const isRepositoryName = (text: string): boolean => text.length <= MAX_NAME_LENGTH && NAME.test(text)

/**
 * The route of a path; `undefined` for one that is none of the protocol's.
 * Throws a {@link Fault} for a known path with a malformed name, digest, tag or upload id.
 */
export function parseRoute(path: string): Route | undefined {
  if (path === '/v2/' || path === '/v2') return { kind: 'base' }
  if (path === '/v2/_catalog') return { kind: 'catalog' }
  if (!path.startsWith('/v2/')) return undefined
  let match: RegExpExecArray | null
  if ((match = /^\/v2\/(.+)\/manifests\/([^/]+)$/.exec(path))) {
    const name = checkName(match[1]!)
    return { kind: 'manifest', name, reference: checkReference(decode(match[2]!)) }
  }
  if ((match = /^\/v2\/(.+)\/blobs\/uploads\/?$/.exec(path)))
    return { kind: 'uploads', name: checkName(match[1]!) }
  if ((match = /^\/v2\/(.+)\/blobs\/uploads\/([^/]+)$/.exec(path))) {
    const name = checkName(match[1]!)
    if (!UPLOAD_ID.test(match[2]!)) throw fault('BLOB_UPLOAD_INVALID', 'malformed upload id', 404)
    return { kind: 'upload', name, id: match[2]! }
  }
  if ((match = /^\/v2\/(.+)\/(blobs|referrers)\/([^/]+)$/.exec(path))) {
    const name = checkName(match[1]!)
    const digest = checkDigest(decode(match[3]!))
    return { kind: match[2] === 'blobs' ? 'blob' : 'referrers', name, digest }
  }
  if ((match = /^\/v2\/(.+)\/tags\/list$/.exec(path))) return { kind: 'tags', name: checkName(match[1]!) }
  return undefined
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function checkName(text: string): string {
  const name = decode(text)
  if (!isRepositoryName(name)) throw fault('NAME_INVALID', 'invalid repository name', 400, { name })
  return name
}

export function checkDigest(text: string | null | undefined): Digest {
  if (!text || !isDigest(text))
    throw fault('DIGEST_INVALID', 'provided digest is not a valid digest', 400, { digest: text ?? '' })
  return text
}

function checkReference(text: string): string {
  if (text.includes(':')) return checkDigest(text)
  if (!isTag(text)) throw fault('TAG_INVALID', 'manifest tag is not a valid tag', 400, { tag: text })
  return text
}

export type { Fault }
