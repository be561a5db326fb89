/** Writes what a build made as a cache for others: `--cache-to`. */
import { Readable } from 'node:stream'
import * as zlib from 'node:zlib'
import { invalid } from '../../errors.ts'
import type { Lease } from '../../image/content-store.ts'
import { digestOf, isDigest } from '../../image/digest.ts'
import { gzip } from '../../image/layer/gzip.ts'
import { type Descriptor, type Digest, mediaTypes } from '../../image/types.ts'
import { type ExportContext, layerBlob, layerTime } from '../export/image.ts'
import type { CacheOption } from '../request.ts'
import type { Root } from '../solve/root.ts'
import type { StepWatch } from '../steps.ts'
import {
  type CacheConfig,
  CONFIG_TYPE,
  type ConfigInput,
  type ConfigLayer,
  type ConfigRecord,
} from './config.ts'
import { keyDigest } from './imported.ts'
import type { Trace } from './trace.ts'

/** Where a cache goes. */
export interface CacheSink {
  /** What its progress is called. */
  readonly title: string
  /** A blob of the content store. */
  add(blob: Descriptor): Promise<void>
  addManifest(manifest: Descriptor, bytes: Buffer): Promise<void>
}

export interface CacheExportContext {
  exporting: ExportContext
  traces: ReadonlyMap<string, Trace>
  roots: readonly Root[]
  lease: Lease
  signal: AbortSignal
  /** Seconds since 1970: the latest time that is told. */
  epoch?: number | undefined
}

/** How a cache is written: `mode`, `compression` and their kin. */
interface Style {
  /** Every layer; otherwise those of the result, and of the other steps only that they were. */
  max: boolean
  compress: (input: AsyncIterable<Uint8Array>) => AsyncIterable<Uint8Array>
  layerType: string
  /** An image manifest; otherwise an index, as older readers want it. */
  imageManifest: boolean
}

/** Write it; the answer is what names it. */
export async function exportCache(
  sink: CacheSink,
  { attributes }: CacheOption,
  context: CacheExportContext,
  watch: StepWatch,
): Promise<Descriptor> {
  const style = styleOf(attributes)
  const { layers: store, content } = context.exporting
  const result = new Set(context.roots.flatMap(root => root.layers))
  const traces = [...context.traces.values()]
  const wanted = new Set(traces.map(({ layer }) => layer).filter(layer => style.max || result.has(layer)))
  await watch.part('preparing build cache for export', () => store.ensure([...wanted]))
  const blobs: [string, ConfigLayer][] = []
  for (const layer of wanted) {
    context.signal.throwIfAborted()
    const blob = await packLayer(layer, style, context)
    await watch.part(`writing layer ${blob.blob}`, () => sink.add(descriptorOf(blob)))
    blobs.push([layer, blob])
  }
  const layers = blobs.map(([, blob]) => blob)
  const places = new Map(blobs.map(([layer], index) => [layer, index]))
  for (const [layer, blob] of blobs) blob.parent = parentOf(layer, context, places)
  const config: CacheConfig = { layers, records: recordsOf(context, places) }
  const configBytes = Buffer.from(JSON.stringify(config))
  const configBlob = {
    mediaType: CONFIG_TYPE,
    digest: content.put(configBytes, context.lease),
    size: configBytes.length,
  }
  await watch.part(`writing config ${configBlob.digest}`, () => sink.add(configBlob))
  const manifestBytes = Buffer.from(JSON.stringify(manifestOf(style, layers.map(descriptorOf), configBlob)))
  const manifest: Descriptor = {
    mediaType: style.imageManifest ? mediaTypes.ociManifest : mediaTypes.ociIndex,
    digest: digestOf(manifestBytes),
    size: manifestBytes.length,
  }
  await watch.part(`writing cache manifest ${manifest.digest}`, () =>
    sink.addManifest(manifest, manifestBytes),
  )
  return manifest
}

const descriptorOf = ({ blob, annotations }: ConfigLayer): Descriptor => ({
  mediaType: annotations.mediaType,
  digest: blob,
  size: annotations.size,
})

function manifestOf(style: Style, layers: Descriptor[], config: Descriptor): object {
  const unique = [...new Map(layers.map(layer => [layer.digest, layer])).values()]
  return style.imageManifest
    ? { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: unique }
    : { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [...unique, config] }
}

function styleOf(attributes: Record<string, string>): Style {
  const { mode = 'min', compression = 'gzip' } = attributes
  if (mode !== 'min' && mode !== 'max') throw invalid(`invalid cache mode ${mode}: min and max are known`)
  const level = attributes['compression-level']
  const given = level === undefined ? undefined : Number(level)
  if (given !== undefined && !Number.isInteger(given))
    throw invalid(`non-integer value ${level} specified for compression-level`)
  const common = { max: mode === 'max', imageManifest: attributes['image-manifest'] !== 'false' }
  switch (compression) {
    case 'uncompressed':
      return { ...common, compress: input => input, layerType: mediaTypes.ociLayer }
    case 'gzip':
      return { ...common, compress: gzip, layerType: mediaTypes.ociLayerGzip }
    case 'zstd': {
      const params =
        given === undefined
          ? {}
          : { [zlib.constants.ZSTD_c_compressionLevel]: Math.min(Math.max(given, 1), 19) }
      return {
        ...common,
        compress: input => zstd(input, params),
        layerType: mediaTypes.ociLayerZstd,
      }
    }
    default:
      throw invalid(`unsupported compression type ${compression}: uncompressed, gzip and zstd are known`)
  }
}

async function packLayer(id: string, style: Style, context: CacheExportContext): Promise<ConfigLayer> {
  const { exporting, lease } = context
  const { content } = exporting
  const tar = await layerBlob(exporting, id, { lease })
  let blob: { digest: Digest; size: number } = tar
  if (style.layerType !== mediaTypes.ociLayer) {
    const writer = await content.ingest({ lease })
    try {
      for await (const chunk of style.compress(content.open(tar.digest))) {
        context.signal.throwIfAborted()
        const full = writer.write(chunk)
        if (full) await full
      }
      blob = await writer.commit()
    } catch (error) {
      await writer.abort()
      throw error
    }
  }
  return {
    blob: blob.digest,
    parent: -1,
    annotations: {
      mediaType: style.layerType,
      diffID: tar.digest,
      size: blob.size,
      createdAt: dateOf(id, context),
    },
  }
}

/** The layer below in the result or in the record that has it, if that is given away too. */
function parentOf(
  layer: string,
  { exporting, roots }: CacheExportContext,
  places: ReadonlyMap<string, number>,
): number {
  const stacks = [exporting.records.get(layer)?.layers ?? [], ...roots.map(root => root.layers)]
  for (const stack of stacks) {
    const below = stack[stack.indexOf(layer) - 1]
    if (below !== undefined) return places.get(below) ?? -1
  }
  return -1
}

function dateOf(layer: string, { exporting, epoch }: CacheExportContext): string {
  const time = layerTime(exporting.records, layer)
  return new Date(epoch === undefined ? time : Math.min(time, epoch * 1000)).toISOString()
}

/** The records of all steps, each with its result where `places` has its layer; in the order of their keys. */
function recordsOf(context: CacheExportContext, places: ReadonlyMap<string, number>): ConfigRecord[] {
  const traces = [...context.traces.values()].sort((a, b) => (a.key < b.key ? -1 : 1))
  const records: ConfigRecord[] = []
  const known = new Map<Digest, number>()
  const add = (digest: Digest): number => {
    const at = known.get(digest)
    if (at !== undefined) return at
    known.set(digest, records.length)
    return records.push({ digest }) - 1
  }
  for (const { key } of traces) add(keyDigest(key))
  for (const { key, inputs, layer } of traces) {
    const record = records[known.get(keyDigest(key))!]!
    const place = places.get(layer)
    record.inputs = inputs.map(input => {
      const ways: ConfigInput[] = []
      const found = input.digest === undefined ? undefined : `sha256:${input.digest}`
      if (found !== undefined && isDigest(found)) ways.push({ link: add(found) })
      if (input.key !== undefined) {
        ways.push({
          link: add(keyDigest(input.key)),
          ...(input.selector !== undefined && { selector: input.selector }),
        })
      }
      return ways
    })
    if (place !== undefined) record.layers = [{ layer: place, createdAt: dateOf(layer, context) }]
  }
  return records
}

/** The cache as an image's config carries it: records that mean the layers of the image. `below` are those of its base. */
export function inlineConfig(root: Root, context: CacheExportContext): string {
  const below = root.base?.blobs.length ?? 0
  const places = new Map(root.layers.map((layer, index) => [layer, below + index]))
  return Buffer.from(JSON.stringify(recordsOf(context, places))).toString('base64')
}

async function* zstd(
  input: AsyncIterable<Uint8Array>,
  params: Record<number, number>,
): AsyncGenerator<Uint8Array> {
  yield* Readable.from(input).compose(zlib.createZstdCompress({ params }))
}
