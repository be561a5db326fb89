/** Images as one tar: an OCI image layout, with Docker's `manifest.json` beside it so that `docker load` takes it too. */
import { Readable } from 'node:stream'
import type { ContentStore } from '../../image/content-store.ts'
import { digestOf, hexOf } from '../../image/digest.ts'
import { canonical, familiar, type Reference } from '../../image/reference.ts'
import { encodeHeader } from '../../image/tar/header.ts'
import { type Descriptor, type Digest, type Image, type Index, mediaTypes } from '../../image/types.ts'
import type { ClientBlobs } from '../solve/session.ts'
import { fileChunks } from './file-chunks.ts'

export interface ArchiveOptions {
  content: ContentStore
  images: Image[]
  references: Reference[]
  /** Of several platforms. */
  index: Buffer | undefined
  format: 'oci' | 'docker'
}

/** A tar whose bytes depend on the images alone. Each piece is good until the next is asked for: nothing may read ahead. */
export async function* writeArchive({
  content,
  images,
  references,
  index,
  format,
}: ArchiveOptions): AsyncGenerator<Buffer> {
  const documents = new Map<Digest, Buffer>()
  const blobs = new Map<Digest, number>()
  for (const image of images) {
    documents.set(image.digest, Buffer.from(image.manifestBytes))
    documents.set(image.manifest.config.digest, Buffer.from(image.configBytes))
    for (const layer of image.manifest.layers) blobs.set(layer.digest, layer.size)
  }
  if (index) documents.set(digestOf(index), index)
  const top = topOf(images, index)
  yield* file('oci-layout', Buffer.from('{"imageLayoutVersion":"1.0.0"}'))
  yield* file('index.json', Buffer.from(JSON.stringify(layoutIndex(top, references))))
  if (format === 'docker')
    yield* file('manifest.json', Buffer.from(JSON.stringify(dockerManifest(images, references))))
  for (const [digest, bytes] of documents) yield* file(blobName(digest), bytes)
  for (const [digest, size] of blobs) {
    yield header(blobName(digest), size)
    yield* fileChunks(content.path(digest))
    yield padding(size)
  }
  yield Buffer.alloc(1024)
}

/** The same blobs one by one into a store of the client's, which lists them by the descriptor that is returned. */
export async function writeLayout(
  store: ClientBlobs,
  content: ContentStore,
  images: Image[],
  index: Buffer | undefined,
): Promise<Descriptor> {
  const document = async (bytes: Uint8Array): Promise<void> => {
    await store.write({ digest: digestOf(bytes), size: bytes.length }, Readable.from([bytes]))
  }
  for (const image of images) {
    for (const layer of image.manifest.layers) await store.write(layer, content.open(layer.digest))
    await document(image.configBytes)
    await document(image.manifestBytes)
  }
  if (index) await document(index)
  return topOf(images, index)
}

function topOf(images: Image[], index: Buffer | undefined): Descriptor {
  if (index) return { mediaType: mediaTypes.ociIndex, digest: digestOf(index), size: index.length }
  const [{ mediaType, digest, manifestBytes }] = images as [Image]
  return { mediaType, digest, size: manifestBytes.length }
}

const blobName = (digest: Digest): string => `blobs/sha256/${hexOf(digest)}`

function layoutIndex(top: Descriptor, references: Reference[]): Index {
  const manifests = references.map(reference => ({
    ...top,
    annotations: {
      'io.containerd.image.name': canonical(reference),
      'org.opencontainers.image.ref.name': reference.tag ?? 'latest',
    },
  }))
  return {
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: manifests.length > 0 ? manifests : [top],
  }
}

function dockerManifest(images: Image[], references: Reference[]): object[] {
  return images.map(image => ({
    Config: blobName(image.manifest.config.digest),
    RepoTags: references.length > 0 ? references.map(familiar) : null,
    Layers: image.manifest.layers.map(layer => blobName(layer.digest)),
  }))
}

function* file(name: string, bytes: Buffer): Generator<Buffer> {
  yield header(name, bytes.length)
  yield bytes
  yield padding(bytes.length)
}

const padding = (size: number): Buffer => Buffer.alloc((512 - (size % 512)) % 512)

function header(name: string, size: number): Buffer {
  return encodeHeader({
    name,
    mode: 0o644,
    uid: 0,
    gid: 0,
    size,
    mtime: 0,
    flag: '0',
    linkName: '',
    userName: '',
    groupName: '',
    major: 0,
    minor: 0,
  })
}
