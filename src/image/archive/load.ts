/**
 * `docker load`: archives that `docker save` wrote (a `manifest.json`; with or without the OCI layout that newer ones have beside
 * it), and OCI layouts in a tar (`index.json` alone). Several images in one; any compression.
 */
import type { Readable } from 'node:stream'
import { invalid } from '../../errors.ts'
import { composeWith } from '../compose.ts'
import { digestOf, shortId } from '../digest.ts'
import type { ImageRecord, ImageStore } from '../image-store.ts'
import { detectCompression } from '../layer/compression.ts'
import { choosePlatform, hostPlatform } from '../platform.ts'
import { familiar, parseReference, type Reference, tryParseReference, withDefaultTag } from '../reference.ts'
import {
  type Descriptor,
  type Digest,
  type Image,
  type ImageConfig,
  type Index,
  type Manifest,
  mediaTypes,
  type Platform,
} from '../types.ts'
import { type Member, Members } from './members.ts'

export interface LoadOptions {
  platform?: Platform
  signal?: AbortSignal
  /** A layer gets into its place: its short diff ID, and bytes of its blob. */
  onLayer?: (id: string, current: number, total: number) => void
}

export interface LoadedImage {
  record: ImageRecord
  /** Familiar names it was given. */
  names: string[]
}

/** One image as an archive describes it. */
interface ArchivedImage {
  image: Omit<Image, 'layers'>
  references: Reference[]
  parent?: Digest
}

/** One element of `manifest.json`. */
interface DockerManifest {
  Config: string
  RepoTags: string[] | null
  Layers: string[]
  Parent?: string
}

/** What Docker prints for an image that was loaded. */
export function loadedMessages({ record, names }: LoadedImage): string[] {
  if (names.length === 0) return [`Loaded image ID: ${record.id}`]
  return names.map(name => `Loaded image: ${name}`)
}

/**
 * Take every image of an archive into the store. Images that come before a broken one stay, as with Docker.
 * @throws GantryError `invalid` in Docker's words for what is no archive or a lying one
 */
export async function loadImages(
  store: ImageStore,
  archive: Readable,
  options: LoadOptions = {},
): Promise<LoadedImage[]> {
  const lease = store.content.lease()
  const members = new Members(store.content, lease)
  const loaded: LoadedImage[] = []
  try {
    await members.read(archive, store.snapshots, options.signal)
    for (const { image, references, parent } of describe(members, options.platform)) {
      const sizes = new Map(image.manifest.layers.map(layer => [layer.digest, layer.size]))
      const record = await store.put(
        { ...image, layers: [] },
        {
          references,
          lease,
          ...(parent !== undefined && store.get(parent) !== undefined ? { parent } : {}),
          ...(options.signal && { signal: options.signal }),
          onProgress: (layer, bytes) =>
            options.onLayer?.(shortId(layer.diffId), bytes, sizes.get(layer.digest) ?? bytes),
        },
      )
      loaded.push({ record, names: references.map(reference => familiar(withDefaultTag(reference))) })
    }
    return loaded
  } finally {
    const used = new Set(store.all().flatMap(record => record.image.contents))
    members.dropUnused(digest => used.has(digest))
  }
}

function describe(members: Members, platform: Platform | undefined): ArchivedImage[] {
  const manifest = members.text('manifest.json')
  if (manifest !== undefined) return fromDocker(members, parse<DockerManifest[]>(manifest))
  const index = members.text('index.json')
  if (index !== undefined) return fromLayout(members, parse<Index>(index), platform)
  const missing =
    members.text('repositories') === undefined ? 'manifest.json' : 'manifest.json (the format before 2016)'
  throw invalid(`open ${missing}: no such file or directory`)
}

/** Bytes of a document that another one names. */
function document(members: Members, path: string): Buffer {
  const bytes = members.get(path)?.bytes
  if (bytes === undefined) throw invalid(`open ${path}: no such file or directory`)
  return bytes
}

function blob(members: Members, digest: Digest): Member {
  const path = `blobs/${digest.replace(':', '/')}`
  const member = members.get(path)
  if (member === undefined) throw invalid(`open ${path}: no such file or directory`)
  return member
}

function fromDocker(members: Members, images: DockerManifest[]): ArchivedImage[] {
  if (!Array.isArray(images)) throw invalid('invalid manifest.json: not a list')
  const known = layoutManifests(members)
  return images.map(({ Config, RepoTags, Layers, Parent }) => {
    const configBytes = document(members, Config)
    const config = parse<ImageConfig>(configBytes.toString('utf8'))
    if (config.rootfs === undefined) throw invalid('invalid image JSON, no RootFS key')
    const paths = Layers ?? []
    const diffIds = config.rootfs.diff_ids ?? []
    if (paths.length !== diffIds.length) {
      throw invalid(
        `invalid manifest, layers length mismatch: expected ${paths.length}, got ${diffIds.length}`,
      )
    }
    const layers = paths.map(path => {
      const layer = members.get(path)
      if (layer === undefined) throw invalid(`open ${path}: no such file or directory`)
      members.keep(layer)
      return layer
    })
    const references = (RepoTags ?? []).map(parseReference)
    const configDigest = digestOf(configBytes)
    const stated = known.find(
      bytes => bytes.manifest.config.digest === configDigest && sameLayers(bytes.manifest, layers),
    )
    const image = stated ? { ...stated, config, configBytes } : synthesize(config, configBytes, layers)
    return { image, references, ...(Parent === undefined ? {} : { parent: Parent as Digest }) }
  })
}

/** Manifests of the OCI layout inside: keeping their bytes keeps the image's digest. */
function layoutManifests(
  members: Members,
): { manifest: Manifest; manifestBytes: Buffer; digest: Digest; mediaType: string }[] {
  const index = members.text('index.json')
  if (index === undefined) return []
  return (parse<Index>(index).manifests ?? []).flatMap(({ digest, mediaType }) => {
    const bytes = members.get(`blobs/${digest.replace(':', '/')}`)?.bytes
    if (bytes === undefined) return []
    const manifest = parse<Manifest>(bytes.toString('utf8'))
    return manifest.config === undefined ? [] : [{ manifest, manifestBytes: bytes, digest, mediaType }]
  })
}

function sameLayers(manifest: Manifest, layers: Member[]): boolean {
  return (
    manifest.layers.length === layers.length &&
    manifest.layers.every((layer, i) => layer.digest === layers[i]!.digest)
  )
}

/** The manifest that an archive without one would have had. */
function synthesize(config: ImageConfig, configBytes: Buffer, layers: Member[]): Image {
  const descriptors = layers.map(({ digest, size, bytes }) => ({
    mediaType: bytes === undefined ? mediaTypes.ociLayer : layerType(bytes),
    digest,
    size,
  }))
  return composeWith(config, configBytes, descriptors)
}

function layerType(bytes: Buffer): string {
  const types: Record<string, string> = { gzip: mediaTypes.ociLayerGzip, zstd: mediaTypes.ociLayerZstd }
  return types[detectCompression(bytes)] ?? mediaTypes.ociLayer
}

function fromLayout(members: Members, index: Index, platform: Platform | undefined): ArchivedImage[] {
  const images = new Map<Digest, ArchivedImage>()
  for (const descriptor of index.manifests ?? []) {
    const chosen = resolveIndex(members, descriptor, platform)
    if (chosen === undefined) continue
    const known = images.get(chosen.digest) ?? { image: readImage(members, chosen), references: [] }
    images.set(chosen.digest, known)
    const name = nameOf(descriptor)
    if (name !== undefined) known.references.push(name)
  }
  if (images.size === 0) throw invalid('no image for this platform in the archive')
  return [...images.values()]
}

/** The image manifest that a descriptor leads to, through an index for several platforms where there is one. */
function resolveIndex(members: Members, descriptor: Descriptor, platform?: Platform): Descriptor | undefined {
  if (!isIndex(descriptor)) return descriptor
  const inner = parse<Index>(
    document(members, `blobs/${descriptor.digest.replace(':', '/')}`).toString('utf8'),
  )
  const there = inner.manifests.filter(each => members.get(`blobs/${each.digest.replace(':', '/')}`))
  const chosen = choosePlatform(there, platform ?? hostPlatform())
  return chosen && resolveIndex(members, chosen, platform)
}

function isIndex({ mediaType }: Descriptor): boolean {
  return mediaType === mediaTypes.ociIndex || mediaType === mediaTypes.dockerManifestList
}

function nameOf({ annotations = {} }: Descriptor): Reference | undefined {
  const full = annotations['io.containerd.image.name']
  if (full !== undefined) return parseReference(full)
  const name = annotations['org.opencontainers.image.ref.name']
  // Many tools put a bare tag here, which names nothing.
  return name !== undefined && /[/:]/.test(name) ? tryParseReference(name) : undefined
}

function readImage(members: Members, { digest, mediaType }: Descriptor): Omit<Image, 'layers'> {
  const manifestBytes = document(members, `blobs/${digest.replace(':', '/')}`)
  const manifest = parse<Manifest>(manifestBytes.toString('utf8'))
  if (manifest.config === undefined) throw invalid(`${digest} is not an image manifest`)
  const configBytes = document(members, `blobs/${manifest.config.digest.replace(':', '/')}`)
  for (const layer of manifest.layers) members.keep(blob(members, layer.digest))
  const config = parse<ImageConfig>(configBytes.toString('utf8'))
  return { digest, mediaType, manifest, manifestBytes, config, configBytes }
}

function parse<T>(text: string): T {
  try {
    return JSON.parse(text) as T
  } catch (error) {
    const isShort = /end of JSON input|Unterminated/.test(String(error))
    throw invalid(isShort ? 'unexpected EOF' : `invalid JSON in the archive: ${(error as Error).message}`)
  }
}
