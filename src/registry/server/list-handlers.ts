/** `/v2/<name>/tags/list`, `/v2/_catalog`, `/v2/<name>/referrers/<digest>` */
import { type Descriptor, type Digest, type Index, type Manifest, mediaTypes } from '../../image/types.ts'
import type { Exchange, Registry } from './exchange.ts'
import { fault } from './faults.ts'

export async function listTags(registry: Registry, exchange: Exchange, name: string): Promise<void> {
  exchange.require(name, 'pull')
  const fromUpstream = await registry.upstream?.tags(name)
  const repository = registry.store.repository(name)
  if (!fromUpstream && !repository) {
    throw fault('NAME_UNKNOWN', 'repository name not known to registry', 404, { name })
  }
  const page = pageOf(exchange, fromUpstream ?? repository!.tags(), registry.limits.pageSize)
  exchange.answerJson(200, { name, tags: page.entries }, page.headers)
}

export function listRepositories(registry: Registry, exchange: Exchange): void {
  exchange.requireName({ type: 'registry', name: 'catalog', actions: ['*'] })
  const visible = registry.store.names().filter(name => {
    try {
      exchange.require(name, 'pull')
      return !registry.store.repository(name)!.isEmpty
    } catch {
      return false
    }
  })
  const page = pageOf(exchange, visible, registry.limits.pageSize)
  exchange.answerJson(200, { repositories: page.entries }, page.headers)
}

/** `?n=&last=` of a sorted list, at most `most` entries, and the link to the next page. */
function pageOf(
  exchange: Exchange,
  all: readonly string[],
  most: number,
): { entries: readonly string[]; headers: Record<string, string> } {
  const asked = exchange.query.get('n')
  if (asked !== null && !/^\d{1,9}$/.test(asked)) {
    throw fault('PAGINATION_NUMBER_INVALID', 'invalid number of results requested', 400, { n: asked })
  }
  const limit = Math.min(asked === null ? most : Number(asked), most)
  const last = exchange.query.get('last')
  const from = last === null ? 0 : firstAfter(all, last)
  const entries = all.slice(from, from + limit)
  const more = from + limit < all.length && limit > 0
  const next = new URLSearchParams(exchange.query)
  next.set('last', entries.at(-1) ?? '')
  next.set('n', String(limit))
  return { entries, headers: more ? { Link: `<${exchange.path}?${next}>; rel="next"` } : {} }
}

/** Binary search: the first place behind `last` in a sorted list. */
function firstAfter(sorted: readonly string[], last: string): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (sorted[middle]! <= last) low = middle + 1
    else high = middle
  }
  return low
}

/** Referrers on one page: with the annotations of each, an answer stays well below what clients take for a manifest. */
const REFERRERS_PAGE = 500

export async function listReferrers(
  registry: Registry,
  exchange: Exchange,
  name: string,
  digest: Digest,
): Promise<void> {
  exchange.require(name, 'pull')
  const artifactType = exchange.query.get('artifactType')
  const known = new Map(
    (registry.store.repository(name)?.referrers(digest) ?? [])
      .filter(entry => artifactType === null || entry.artifactType === artifactType)
      .map(entry => [entry.digest as string, entry]),
  )
  const page = pageOf(exchange, [...known.keys()].sort(), REFERRERS_PAGE)
  const manifests = page.entries
    .map(each => known.get(each)!)
    .map((entry): Descriptor => {
      const { mediaType, size } = entry
      const { annotations } = JSON.parse(registry.store.document(entry.digest).toString('utf8')) as Manifest
      return {
        mediaType,
        digest: entry.digest,
        size,
        ...(entry.artifactType !== undefined && { artifactType: entry.artifactType }),
        ...(annotations && { annotations }),
      }
    })
  const index: Index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }
  exchange.answerJson(200, index, {
    ...page.headers,
    'Content-Type': mediaTypes.ociIndex,
    ...(artifactType !== null && { 'OCI-Filters-Applied': 'artifactType' }),
  })
}
