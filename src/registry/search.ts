/** `docker search`: the old index protocol, which Docker Hub and a few others still answer. */
import { GantryError, invalid } from '../errors.ts'
import type { Wire } from './connection.ts'
import { HUB } from './endpoints.ts'
import { TransportError } from './errors.ts'
import { basic } from './tokens.ts'
import { readBody } from './transport.ts'
import type { SearchOptions, SearchResult } from './types.ts'

const DEFAULT_LIMIT = 25
const MAX_ANSWER = 8 << 20
const INDEX = 'https://index.docker.io/'
const FILTERS = ['is-automated', 'is-official', 'stars']

/** `term` may begin with the host of the registry to ask. */
export async function search(wire: Wire, term: string, options: SearchOptions = {}): Promise<SearchResult[]> {
  const { limit = DEFAULT_LIMIT, filters = {}, signal, auth } = options
  const { host, rest } = split(term)
  if (!Number.isInteger(limit) || limit < 1 || limit > 100)
    throw invalid(`limit ${limit} is outside the range of [1, 100]`)
  const keep = compile(filters)
  let last: unknown
  for (const base of await basesOf(wire, host)) {
    const url = new URL(`v1/search?${new URLSearchParams({ q: rest, n: String(limit) })}`, base)
    try {
      const answer = await wire.transport.request({
        method: 'GET',
        url,
        tls: wire.endpoints.tlsFor(url),
        headers: {
          ...options.headers,
          ...(auth?.username && auth.password && { Authorization: basic(auth) }),
        },
        ...(signal && { signal }),
      })
      const body = await readBody(answer, MAX_ANSWER)
      if (answer.status !== 200) throw new GantryError('internal', `Unexpected status code ${answer.status}`)
      return parse(body).filter(keep)
    } catch (error) {
      signal?.throwIfAborted()
      if (!(error instanceof TransportError)) throw error
      last = error
    }
  }
  throw last
}

function split(term: string): { host: string; rest: string } {
  if (term.includes('://'))
    throw invalid(`invalid repository name: repository name (${term}) should not have a scheme`)
  const slash = term.indexOf('/')
  const first = term.slice(0, Math.max(0, slash))
  const isHost = /[.:]/.test(first) || first === 'localhost'
  const rest = isHost ? term.slice(slash + 1) : term
  return {
    host: isHost && first !== 'index.docker.io' && first !== HUB ? first : HUB,
    rest: rest.replace(/^library\//, ''),
  }
}

async function basesOf(wire: Wire, host: string): Promise<URL[]> {
  return host === HUB ? [new URL(INDEX)] : (await wire.endpoints.forPush(host)).map(({ url }) => url)
}

function compile(filters: Record<string, string[]>): (result: SearchResult) => boolean {
  for (const name of Object.keys(filters))
    if (!FILTERS.includes(name)) throw invalid(`invalid filter '${name}'`)
  const flag = (name: string): boolean | undefined => {
    const values = filters[name]
    if (!values || values.length === 0) return undefined
    const parsed = values.map(value => ({ true: true, '1': true, false: false, '0': false })[value])
    if (parsed.length > 1 || parsed[0] === undefined)
      throw invalid(`invalid filter '${name}=[${values.join(' ')}]'`)
    return parsed[0]
  }
  const automated = flag('is-automated')
  const official = flag('is-official')
  const stars = Math.max(
    0,
    ...(filters['stars'] ?? []).map(value => {
      if (!/^[+-]?\d+$/.test(value)) {
        throw invalid(`invalid filter 'stars=${value}': strconv.Atoi: parsing "${value}": invalid syntax`)
      }
      return Number(value)
    }),
  )
  return result =>
    (automated === undefined || result.is_automated === automated) &&
    (official === undefined || result.is_official === official) &&
    result.star_count >= stars
}

function parse(body: Buffer | undefined): SearchResult[] {
  let results: unknown
  try {
    results = (JSON.parse(body?.toString('utf8') ?? '') as { results?: unknown }).results
  } catch (error) {
    throw new GantryError('internal', 'error decoding the search results', { cause: error })
  }
  return (Array.isArray(results) ? results : []).map(({ star_count, is_official, name, description }) => ({
    star_count: Number(star_count) || 0,
    is_official: is_official === true,
    name: String(name ?? ''),
    // moby: nothing is any more, whatever an old server says.
    is_automated: false,
    description: String(description ?? ''),
  }))
}
