/**
 * `docker save`: one tar that holds an OCI layout and Docker's own `manifest.json` and `repositories` beside it, as Docker 28
 * writes it; so both kinds of readers understand it. Blobs go in as they are kept: digests stay.
 */
import { Readable } from 'node:stream'
import { hexOf } from '../digest.ts'
import type { ImageRecord, ImageStore } from '../image-store.ts'
import { familiar, familiarName, parseImageName, type Reference, withDefaultTag } from '../reference.ts'
import type { StoredImage } from '../stored-image.ts'
import { type TarEntry, tarEntry } from '../tar/entry.ts'
import { TarWriter } from '../tar/writer.ts'
import { type Descriptor, type Digest, mediaTypes } from '../types.ts'

interface Saved {
  record: ImageRecord
  image: StoredImage
  references: Reference[]
}

/**
 * An archive of images by name or id. A name saves that name, an id saves the image without one, a repository without tag saves
 * all its tags.
 * @throws GantryError `notFound` before the first byte
 */
export function saveImages(store: ImageStore, names: readonly string[]): Readable {
  const saved = collect(store, names)
  const lease = store.content.lease()
  for (const { image } of saved) for (const digest of image.contents) lease.add(digest)
  const stream = Readable.from(write(store, saved), { objectMode: false })
  stream.once('close', () => lease.release())
  return stream
}

function collect(store: ImageStore, names: readonly string[]): Saved[] {
  const saved = new Map<Digest, Saved>()
  const add = (record: ImageRecord, reference?: Reference) => {
    const entry = saved.get(record.id) ?? { record, image: record.image, references: [] }
    saved.set(record.id, entry)
    if (reference === undefined) return
    const isNew = !entry.references.some(each => familiar(each) === familiar(reference))
    if (isNew) entry.references.push(reference)
  }
  for (const text of names) {
    const tags = allTags(store, text)
    for (const [record, reference] of tags) add(record, reference)
    if (tags.length > 0) continue
    const record = store.resolve(text)
    add(record, namesMeant(store, record, text)[0])
  }
  return [...saved.values()]
}

/** `busybox` alone: every tag of that repository. */
function allTags(store: ImageStore, text: string): [ImageRecord, Reference][] {
  const name = parseImageName(text)
  if (name.kind === 'digest' || name.reference.tag !== undefined || name.reference.digest !== undefined)
    return []
  const wanted = familiarName(name.reference)
  return store
    .all()
    .flatMap(record =>
      [...record.names.values()]
        .filter(({ reference }) => reference.tag !== undefined && familiarName(reference) === wanted)
        .map(({ reference }): [ImageRecord, Reference] => [record, reference]),
    )
}

function namesMeant(store: ImageStore, record: ImageRecord, text: string): Reference[] {
  if (hexOf(record.id).startsWith(text) || record.id.startsWith(text)) return []
  const name = parseImageName(text)
  if (name.kind === 'digest') return []
  const reference = withDefaultTag(name.reference)
  return reference.tag !== undefined && store.named(reference) === record ? [reference] : []
}

async function* write(store: ImageStore, saved: Saved[]): AsyncGenerator<Buffer> {
  let ready: Buffer[] = []
  const writer = new TarWriter(bytes => ready.push(bytes as Buffer))
  const take = (): Buffer[] => {
    const taken = ready
    ready = []
    return taken
  }
  for (const folder of ['blobs/', 'blobs/sha256/'])
    writer.entry(tarEntry({ name: folder, type: 'directory' }))
  const blobs = new Map<Digest, number>()
  for (const { image } of saved) {
    for (const { digest } of [image.descriptor, image.manifest.config, ...image.manifest.layers]) {
      blobs.set(digest, store.content.size(digest) ?? 0)
    }
  }
  for (const digest of [...blobs.keys()].sort()) {
    writer.entry(file(blobPath(digest), blobs.get(digest)!))
    for await (const chunk of store.content.open(digest)) {
      writer.data(chunk as Buffer)
      yield* take()
    }
  }
  for (const [name, value] of documents(saved)) {
    const bytes = Buffer.from(JSON.stringify(value))
    writer.file(file(name, bytes.length), bytes)
  }
  writer.end()
  yield* take()
}

function file(name: string, size: number): TarEntry {
  return tarEntry({ name, type: 'file', size })
}

function blobPath(digest: Digest): string {
  return `blobs/${digest.replace(':', '/')}`
}

function* documents(saved: Saved[]): Generator<[name: string, value: unknown]> {
  yield [
    'index.json',
    { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: saved.flatMap(descriptors) },
  ]
  yield ['manifest.json', saved.map(dockerManifest)]
  yield ['oci-layout', { imageLayoutVersion: '1.0.0' }]
  const repositories: Record<string, Record<string, string>> = {}
  for (const { image, references } of saved) {
    for (const reference of references) {
      const tags = (repositories[familiarName(reference)] ??= {})
      tags[reference.tag!] = hexOf(image.manifest.layers.at(-1)?.digest ?? image.id)
    }
  }
  if (Object.keys(repositories).length > 0) yield ['repositories', repositories]
}

function descriptors({ image, references }: Saved): Descriptor[] {
  const { mediaType, digest, size } = image.descriptor
  if (references.length === 0) return [{ mediaType, digest, size }]
  return references.map(reference => ({
    mediaType,
    digest,
    size,
    annotations: {
      'io.containerd.image.name': `${reference.domain}/${reference.path}:${reference.tag}`,
      'org.opencontainers.image.ref.name': reference.tag!,
    },
  }))
}

function dockerManifest({ record, image, references }: Saved) {
  const { layers } = image.manifest
  return {
    Config: blobPath(image.id),
    RepoTags: references.length === 0 ? null : references.map(familiar),
    Layers: layers.map(layer => blobPath(layer.digest)),
    ...(record.parent === undefined ? {} : { Parent: record.parent }),
    LayerSources: Object.fromEntries(
      layers.map(({ mediaType, size, digest }, i) => [
        image.config.rootfs.diff_ids[i]!,
        { mediaType, size, digest },
      ]),
    ),
  }
}
