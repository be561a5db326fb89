/** From a solved root to an image: its layers become blobs, its config lists them. */
import * as fs from 'node:fs'
import type { ContentStore, Lease } from '../../image/content-store.ts'
import { chainIds, digestOf } from '../../image/digest.ts'
import {
  type Descriptor,
  type Digest,
  type Image,
  type ImageConfig,
  type Layer,
  type Manifest,
  mediaTypes,
} from '../../image/types.ts'
import type { FilePool } from '../solve/file-pool.ts'
import type { LayerTarResult } from '../solve/layer-tar.ts'
import type { Layers } from '../solve/layers.ts'
import { isWithoutAttributes } from '../solve/linker.ts'
import type { Records } from '../solve/records.ts'
import type { Root } from '../solve/root.ts'

export interface ExportContext {
  content: ContentStore
  layers: Layers
  files: FilePool
  records: Records
  /** What a layer's tar came to, by layer id and epoch: made once. */
  tars: Map<string, LayerTarResult>
}

export interface ExportOptions {
  root: Root
  config: ImageConfig
  lease: Lease
  signal: AbortSignal
  /** Seconds since 1970. */
  epoch?: number
  onLayer?: (layer: string, done: boolean) => void
  /** Of the manifest. */
  annotations?: Record<string, string>
  /** Fields of the config beside those that the specification knows. */
  extra?: Record<string, string>
}

/** An image whose blobs are all in the content store, held by the lease; no name leads to it yet. */
export async function exportImage(context: ExportContext, options: ExportOptions): Promise<Image> {
  const { content } = context
  const { root, config, lease, epoch } = options
  const base = root.base
  await context.layers.ensure(root.layers)
  const diffIds: Digest[] = (base?.blobs ?? []).map(blob => blob.diffId)
  const descriptors: Descriptor[] = [...(base?.descriptors ?? [])]
  for (const id of root.layers) {
    options.signal.throwIfAborted()
    const tar = await layerBlob(context, id, options)
    diffIds.push(tar.digest)
    descriptors.push({ mediaType: mediaTypes.ociLayer, digest: tar.digest, size: tar.size })
  }
  const chains = chainIds(diffIds)
  for (const [index, id] of root.layers.entries()) {
    const at = index + (base?.blobs.length ?? 0)
    const tar = context.tars.get(`${id} ${epoch ?? ''}`)!
    // With clamped times the image's files are not the layer's any more.
    if (epoch !== undefined) break
    context.layers.share(id, {
      chain: chains[at]!,
      parent: chains[at - 1],
      diffId: diffIds[at]!,
      size: tar.content,
    })
  }
  const times = root.layers.map(id => layerTime(context.records, id))
  const history = dateHistory(fitHistory(config, diffIds.length), times, config.created, epoch)
  const created = history.at(-1)?.created ?? config.created ?? new Date(0).toISOString()
  const final: ImageConfig = {
    ...cleanConfig(config),
    created,
    history,
    rootfs: { type: 'layers', diff_ids: diffIds },
    ...options.extra,
  }
  const configBytes = Buffer.from(JSON.stringify(final))
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: mediaTypes.ociConfig, digest: digestOf(configBytes), size: configBytes.length },
    layers: descriptors,
    ...(Object.keys(options.annotations ?? {}).length > 0 && { annotations: options.annotations! }),
  }
  const manifestBytes = Buffer.from(JSON.stringify(manifest))
  for (const descriptor of [manifest.config, ...descriptors]) lease.add(descriptor.digest)
  const layers: Layer[] = descriptors.map((descriptor, index) => ({
    digest: descriptor.digest,
    diffId: diffIds[index]!,
    size: descriptor.size,
    mediaType: descriptor.mediaType,
    open: async () => content.open(descriptor.digest),
  }))
  return {
    digest: digestOf(manifestBytes),
    mediaType: mediaTypes.ociManifest,
    manifest,
    manifestBytes,
    config: final,
    configBytes,
    layers,
  }
}

/** Only what the OCI image-spec and Docker know: an image from elsewhere may carry more. */
function cleanConfig(config: ImageConfig): ImageConfig {
  const { architecture, os, variant, author, config: runtime = {} } = config
  const kept = Object.fromEntries(
    RUNTIME_FIELDS.flatMap(name => (runtime[name] ? [[name, runtime[name]]] : [])),
  )
  return {
    architecture,
    os,
    ...(variant && { variant }),
    ...(config['os.version'] && { 'os.version': config['os.version'] }),
    ...(author && { author }),
    config: kept,
    rootfs: config.rootfs,
  }
}

const RUNTIME_FIELDS = [
  'User',
  'ExposedPorts',
  'Env',
  'Entrypoint',
  'Cmd',
  'Volumes',
  'WorkingDir',
  'Labels',
  'StopSignal',
  'ArgsEscaped',
  'Healthcheck',
  'OnBuild',
  'Shell',
  'StopTimeout',
] as const

/** When a layer was made, here or where it was imported from. Milliseconds since 1970. */
export function layerTime(records: Records, id: string): number {
  const record = records.get(id)
  return record?.madeAt ?? record?.createdAt ?? Date.now()
}

/** The tar of a layer, in the content store. */
export async function layerBlob(
  { content, layers, files, tars }: ExportContext,
  id: string,
  { epoch, lease, onLayer }: Pick<ExportOptions, 'epoch' | 'lease' | 'onLayer'>,
): Promise<LayerTarResult> {
  const key = `${id} ${epoch ?? ''}`
  const known = tars.get(key)
  if (known && content.has(known.digest)) {
    lease.add(known.digest)
    return known
  }
  onLayer?.(id, false)
  const file = content.ingestPath(undefined)
  try {
    const tar = await files.run<LayerTarResult>({
      job: 'tar',
      folder: layers.path(id),
      file,
      isBare: isWithoutAttributes(layers.path(id)),
      ...(epoch !== undefined && { epoch }),
    })
    lease.add(tar.digest)
    if (content.has(tar.digest)) fs.rmSync(file, { force: true })
    else content.adopt(file, tar.digest)
    tars.set(key, tar)
    onLayer?.(id, true)
    return tar
  } catch (error) {
    fs.rmSync(file, { force: true })
    throw error
  }
}

/**
 * When each entry was made: with its layer, or with the one before it. So an image that comes from the cache is the same image.
 * `times` are those of the last layers, in milliseconds since 1970.
 */
function dateHistory(
  history: NonNullable<ImageConfig['history']>,
  times: number[],
  before: string | undefined,
  epoch: number | undefined,
): NonNullable<ImageConfig['history']> {
  const text = (time: number) =>
    new Date(epoch === undefined ? time : Math.min(time, epoch * 1000)).toISOString()
  let left = history.filter(entry => !entry.empty_layer && entry.created === undefined).length
  let last = before ?? (times[0] === undefined ? undefined : text(times[0]))
  return history.map(entry => {
    if (entry.created !== undefined) {
      last = entry.created
      return entry
    }
    if (!entry.empty_layer) {
      const time = times[times.length - left--]
      if (time !== undefined) last = text(time)
    }
    return last === undefined ? entry : { created: last, ...entry }
  })
}

/** Every layer has a history entry: an image from elsewhere may have none. */
function fitHistory(config: ImageConfig, layers: number): NonNullable<ImageConfig['history']> {
  const history = config.history ?? []
  const told = history.filter(entry => !entry.empty_layer).length
  const missing = Math.max(0, layers - told)
  return [...Array.from({ length: missing }, () => ({})), ...history]
}
