/** What `docker images`, `docker image inspect` and `docker history` say of an image. */
import { invalid } from '../errors.ts'
import type { ImageRecord, ImageStore } from './image-store.ts'
import { familiar, familiarName } from './reference.ts'
import type { Digest, HistoryEntry } from './types.ts'

export interface ImageSummary {
  id: Digest
  /** '' for none. */
  parentId: string
  repoTags: string[]
  repoDigests: string[]
  /** Seconds since 1970. */
  created: number
  /** Bytes in all its layers' files. */
  size: number
  /** Of them, bytes in layers that other images have too; -1 where not asked. */
  sharedSize: number
  labels: Record<string, string> | null
  /** -1: the engine knows. */
  containers: number
}

export interface ListOptions {
  /** Also unnamed images that others were made on top of. */
  all?: boolean
  filters?: Record<string, string[]>
  sharedSize?: boolean
}

/** Newest first. @throws GantryError `invalid` for a filter or value that is none. */
export function listImages(store: ImageStore, options: ListOptions = {}): ImageSummary[] {
  const { all = false, filters = {}, sharedSize = false } = options
  const wantsDangling = booleanFilter(filters, 'dangling')
  const { dangling: _, ...others } = filters
  const shared = sharedSize ? sharedChains(store) : undefined
  return store
    .all()
    .filter(record => {
      const isDangling = record.names.size === 0 && store.children(record.id).length === 0
      if (wantsDangling !== undefined && isDangling !== wantsDangling) return false
      if (!all && record.names.size === 0 && !isDangling) return false
      return matchesFilters(store, record, others)
    })
    .map(record => summaryOf(store, record, shared, filters['reference']))
    .sort((a, b) => b.created - a.created)
}

function summaryOf(
  store: ImageStore,
  record: ImageRecord,
  shared: Set<Digest> | undefined,
  patterns: string[] | undefined,
): ImageSummary {
  const { chains, config } = record.image
  const sum = (list: readonly Digest[]) =>
    list.reduce((bytes, chain) => bytes + store.snapshots.layerSize(chain), 0)
  return {
    id: record.id,
    parentId: record.parent ?? '',
    ...namesOf(record, patterns),
    created: Math.floor(createdAt(record) / 1000),
    size: sum(chains),
    sharedSize: shared === undefined ? -1 : sum(chains.filter(chain => shared.has(chain))),
    labels: config.config?.Labels ?? null,
    containers: -1,
  }
}

/** Familiar names: tags, and `name@digest`. With `patterns` only those that match one. */
export function namesOf(
  record: ImageRecord,
  patterns?: readonly string[],
): { repoTags: string[]; repoDigests: string[] } {
  const repoTags: string[] = []
  const repoDigests: string[] = []
  // moby: in the order of their whole names.
  for (const name of [...record.names.keys()].sort()) {
    const { reference } = record.names.get(name)!
    if (patterns !== undefined && !patterns.some(pattern => matchesReference(reference, pattern))) continue
    if (reference.digest === undefined) repoTags.push(familiar(reference))
    else repoDigests.push(familiar(reference))
  }
  return { repoTags, repoDigests }
}

/** Bytes in all layers' files. */
export function imageSize(store: ImageStore, record: ImageRecord): number {
  return record.image.chains.reduce((bytes, chain) => bytes + store.snapshots.layerSize(chain), 0)
}

function sharedChains(store: ImageStore): Set<Digest> {
  const seen = new Set<Digest>()
  const shared = new Set<Digest>()
  for (const { image } of store.all()) {
    for (const chain of new Set(image.chains)) {
      if (seen.has(chain)) shared.add(chain)
      seen.add(chain)
    }
  }
  return shared
}

/** Milliseconds since 1970; 0 where the image does not say. */
function createdAt(record: ImageRecord): number {
  return Date.parse(record.image.config.created ?? '') || 0
}

const FILTERS = ['label', 'label!', 'before', 'since', 'until', 'reference']

/** `label`, `label!`, `before`, `since`, `until` (all must hold) and `reference` (one must). */
export function matchesFilters(
  store: ImageStore,
  record: ImageRecord,
  filters: Record<string, readonly string[]>,
): boolean {
  for (const key of Object.keys(filters)) if (!FILTERS.includes(key)) throw invalid(`invalid filter '${key}'`)
  const labels = record.image.config.config?.Labels ?? {}
  const every = (key: string, test: (value: string) => boolean) => (filters[key] ?? []).every(test)
  const created = createdAt(record)
  const references = filters['reference']
  return (
    every('label', value => hasLabel(labels, value)) &&
    every('label!', value => !hasLabel(labels, value)) &&
    every('before', value => created < createdAt(store.resolve(value))) &&
    every('since', value => created > createdAt(store.resolve(value))) &&
    every('until', value => created < parseUntil(value)) &&
    (references === undefined ||
      [...record.names.values()].some(({ reference }) =>
        references.some(pattern => matchesReference(reference, pattern)),
      ))
  )
}

function hasLabel(labels: Record<string, string>, wanted: string): boolean {
  const equals = wanted.indexOf('=')
  if (equals < 0) return Object.hasOwn(labels, wanted)
  const key = wanted.slice(0, equals)
  return Object.hasOwn(labels, key) && labels[key] === wanted.slice(equals + 1)
}

/** Shell-like: `*` and `?` stop at slashes. Against the familiar name, with and without tag or digest. */
function matchesReference(reference: Parameters<typeof familiar>[0], pattern: string): boolean {
  const source = pattern
    .replace(/[.+^${}()|\\]/g, '\\$&')
    .replace(/\*/g, '[^/]*')
    .replace(/\?/g, '[^/]')
  let expression: RegExp
  try {
    expression = new RegExp(`^${source}$`)
  } catch {
    throw invalid('syntax error in pattern')
  }
  return expression.test(familiar(reference)) || expression.test(familiarName(reference))
}

const UNITS: Record<string, number> = { ns: 1e-6, us: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/** A Go duration before now, seconds since 1970, or RFC 3339. @returns milliseconds since 1970 */
function parseUntil(text: string): number {
  if (/^[0-9]+(?:\.[0-9]+)?$/.test(text)) return Number(text) * 1000
  if (/^(?:[0-9]+(?:\.[0-9]+)?(?:ns|us|ms|s|m|h))+$/.test(text)) {
    const parts = text.matchAll(/([0-9.]+)(ns|us|ms|s|m|h)/g)
    return Date.now() - [...parts].reduce((sum, [, count, unit]) => sum + Number(count) * UNITS[unit!]!, 0)
  }
  const time = Date.parse(text)
  if (Number.isNaN(time)) throw invalid(`failed to parse value as time or duration: "${text}"`)
  return time
}

function booleanFilter(filters: Record<string, string[]>, key: string): boolean | undefined {
  const values = filters[key]
  if (values === undefined || values.length === 0) return undefined
  const isTrue = values.some(value => /^(?:1|true|t)$/i.test(value))
  const isFalse = values.some(value => /^(?:0|false|f)$/i.test(value))
  if (isTrue === isFalse) throw invalid(`invalid filter '${key}=[${values.join(' ')}]'`)
  return isTrue
}

export interface HistoryLine extends HistoryEntry {
  /** `<missing>` for all but the image itself, as Docker prints it, unless a parent is known. */
  id: string
  /** Bytes in the layer's files. */
  size: number
  tags: string[] | null
}

/** Newest first. */
export function historyOf(store: ImageStore, record: ImageRecord): HistoryLine[] {
  const { chains, config } = record.image
  let layer = 0
  const lines = (config.history ?? []).map(entry => {
    const chain = entry.empty_layer ? undefined : chains[layer++]
    const size = chain === undefined ? 0 : store.snapshots.layerSize(chain)
    return { ...entry, id: '<missing>', size, tags: null } as HistoryLine
  })
  lines.reverse()
  let owner: ImageRecord | undefined = record
  for (const line of lines) {
    if (owner === undefined) break
    line.id = owner.id
    const { repoTags } = namesOf(owner)
    line.tags = repoTags.length === 0 ? null : repoTags
    owner = owner.parent === undefined ? undefined : store.get(owner.parent)
  }
  return lines
}
