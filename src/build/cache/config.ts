/**
 * A build cache as a document: BuildKit's `cacheconfig.v0`. A record is a key, the keys that it was made from, and perhaps the layer
 * that it came to. An input may be told in two ways, and both mean the same: as the record whose files were looked at
 * (`selector` says at which), and as the digest of what was found there.
 *
 * Gantry's keys are its own. BuildKit reads a cache of Gantry and Gantry one of BuildKit, and neither finds its keys in it.
 */
import { invalid } from '../../errors.ts'
import { isDigest } from '../../image/digest.ts'
import type { Descriptor, Digest } from '../../image/types.ts'

export const CONFIG_TYPE = 'application/vnd.buildkit.cacheconfig.v0'
/** Where an image's config carries it. */
export const INLINE_FIELD = 'moby.buildkit.cache.v0'

export interface CacheConfig {
  layers?: ConfigLayer[]
  records?: ConfigRecord[]
}

export interface ConfigLayer {
  blob: Digest
  /** Index of the layer below; -1 for what stands on an image, or on nothing. */
  parent: number
  annotations: { mediaType: string; diffID: Digest; size: number; createdAt: string }
}

export interface ConfigRecord {
  /** The key. */
  digest: Digest
  /** For each input the ways in which it is told. */
  inputs?: ConfigInput[][]
  layers?: { layer: number; createdAt?: string }[]
}

export interface ConfigInput {
  /** Index of a record. */
  link: number
  selector?: string
}

/** More of them are refused. */
const MAX_ENTRIES = 100_000

/**
 * What `bytes` hold.
 * @throws GantryError `invalid` for everything that is not what it has to be.
 */
export function parseConfig(bytes: Uint8Array): Required<CacheConfig> {
  const document = parseJson(bytes)
  if (!isObject(document)) throw wrong('not a JSON object')
  const layers = list(document['layers'], 'layers').map(parseLayer)
  return { layers, records: parseRecords(document['records'], layers.length) }
}

/** As {@link parseConfig}, for what an image's config carries: records alone, which mean the layers of the image. */
export function parseInline(bytes: Uint8Array, layers: ConfigLayer[]): Required<CacheConfig> {
  return { layers, records: parseRecords(parseJson(bytes), layers.length) }
}

function parseRecords(value: unknown, layers: number): ConfigRecord[] {
  const records = list(value, 'records')
  return records.map(record => parseRecord(record, records.length, layers))
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'))
  } catch {
    throw wrong('not JSON')
  }
}

function parseLayer(value: unknown): ConfigLayer {
  if (!isObject(value) || !isObject(value['annotations'])) throw wrong('a layer without annotations')
  const { blob, parent = 0, annotations } = value
  const { mediaType, diffID, size, createdAt } = annotations as Record<string, unknown>
  if (typeof blob !== 'string' || !isDigest(blob)) throw wrong('a layer without digest')
  if (typeof diffID !== 'string' || !isDigest(diffID)) throw wrong(`layer ${blob} has no diffID`)
  if (!Number.isSafeInteger(size) || (size as number) < 0) throw wrong(`layer ${blob} has no size`)
  return {
    blob,
    parent: typeof parent === 'number' ? parent : -1,
    annotations: {
      mediaType: typeof mediaType === 'string' ? mediaType : '',
      diffID,
      size: size as number,
      createdAt: typeof createdAt === 'string' ? createdAt : '',
    },
  }
}

function parseRecord(value: unknown, records: number, layers: number): ConfigRecord {
  if (!isObject(value) || typeof value['digest'] !== 'string' || !isDigest(value['digest']))
    throw wrong('a record without digest')
  const inputs = list(value['inputs'], 'inputs').map(ways =>
    list(ways, 'inputs').map((way): ConfigInput => {
      if (!isObject(way)) throw wrong('an input that is no object')
      const { link = 0, selector } = way
      if (!isIndex(link, records)) throw wrong('an input that leads nowhere')
      return { link, ...(typeof selector === 'string' && { selector }) }
    }),
  )
  const results = list(value['layers'], 'layers').map(result => {
    if (!isObject(result) || !isIndex(result['layer'] ?? 0, layers)) throw wrong('a result without layer')
    const { layer = 0, createdAt } = result
    return { layer: layer as number, ...(typeof createdAt === 'string' && { createdAt }) }
  })
  return { digest: value['digest'], inputs, layers: results }
}

function list(value: unknown, what: string): unknown[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value)) throw wrong(`${what} are no list`)
  if (value.length > MAX_ENTRIES) throw wrong(`too many ${what}`)
  return value
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isIndex = (value: unknown, length: number): value is number =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) < length

const wrong = (what: string) => invalid(`invalid build cache: ${what}`)

/** A layer's blob, as manifests name it. */
export function layerDescriptor({ blob, annotations }: ConfigLayer): Descriptor {
  return { mediaType: annotations.mediaType, digest: blob, size: annotations.size }
}
