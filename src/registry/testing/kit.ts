/** What the tests of this folder share: stores in folders of their own, images made up from a seed, a registry beside them. */
import { mkdtempSync, rmSync } from 'node:fs'
import * as http from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import * as path from 'node:path'
import type { TestContext } from 'node:test'
import { gzipSync } from 'node:zlib'
import { ContentStore } from '../../image/content-store.ts'
import { chainIdOf, digestOf } from '../../image/digest.ts'
import { ImageStore } from '../../image/image-store.ts'
import { parseReference } from '../../image/reference.ts'
import type { LayerBlob, Snapshots, UnpackOptions } from '../../image/snapshots.ts'
import { type Descriptor, type Digest, type Image, type Manifest, mediaTypes } from '../../image/types.ts'
import { RegistryServer, type RegistryServerOptions } from '../server/registry-server.ts'
import type { ProgressEvent } from '../types.ts'

const cleanups = new WeakMap<object, (() => unknown)[]>()

/** Do this after the test; what came last is undone first. */
export function defer(t: Pick<TestContext, 'after'>, undo: () => unknown): void {
  const known = cleanups.get(t)
  if (known) {
    known.push(undo)
    return
  }
  const stack = [undo]
  cleanups.set(t, stack)
  t.after(async () => {
    for (const one of stack.reverse()) await one()
  })
}

/** A folder that is gone after the test. */
export function folder(t: Pick<TestContext, 'after'>): string {
  const made = mkdtempSync(path.join(tmpdir(), 'gantry-registry-'))
  defer(t, () => rmSync(made, { recursive: true, force: true }))
  return made
}

/** Stands in for unpacking, which needs root: an "unpacked" layer is one whose bytes were in the store. */
class BlobSnapshots implements Pick<Snapshots, 'driver' | 'readAhead' | 'unpack'> {
  readonly driver = 'vfs'
  readonly unpacked: Digest[] = []
  readonly content: ContentStore

  constructor(content: ContentStore) {
    this.content = content
  }

  readAhead(): { drop(): void } {
    return { drop() {} }
  }

  async unpack(layers: readonly LayerBlob[], options: UnpackOptions = {}): Promise<Digest | undefined> {
    for (const layer of layers) {
      options.signal?.throwIfAborted()
      options.onProgress?.(layer, this.content.size(layer.digest)!)
      this.unpacked.push(layer.digest)
      options.onUnpacked?.(layer)
    }
    return chainIdOf(layers.map(layer => layer.diffId))
  }
}

export function imageStore(t: Pick<TestContext, 'after'>, root = folder(t)): ImageStore {
  const content = new ContentStore(root)
  return new ImageStore(content, new BlobSnapshots(content) as unknown as Snapshots)
}

/** A registry on a free port of the loopback address. Stopped after the test. */
export async function startRegistry(
  t: Pick<TestContext, 'after'>,
  options: Partial<RegistryServerOptions> = {},
): Promise<{ server: RegistryServer; host: string; url: string }> {
  const server = new RegistryServer({
    root: options.root ?? folder(t),
    host: '127.0.0.1',
    port: 0,
    collectEvery: 0,
    ...options,
  })
  const { port } = await server.start()
  defer(t, () => server.stop(0))
  const host = `${options.host ?? '127.0.0.1'}:${port}`
  return { server, host, url: `${options.tls ? 'https' : 'http'}://${host}` }
}

/** A server that answers as told, and remembers what it was asked. */
export async function fakeServer(
  t: Pick<TestContext, 'after'>,
  listener: http.RequestListener,
): Promise<{ host: string; asked: http.IncomingMessage[] }> {
  const asked: http.IncomingMessage[] = []
  const server = http.createServer((request, response) => {
    asked.push(request)
    listener(request, response)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  defer(t, () => {
    server.closeAllConnections()
    server.close()
  })
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, asked }
}

/** Numbers that look like chance and come again: mulberry32. */
export function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

export function randomBytes(random: () => number, size: number): Buffer {
  const bytes = Buffer.allocUnsafe(size)
  for (let i = 0; i < size; i++) bytes[i] = random() * 256
  return bytes
}

/** An image with layers of these sizes. The layers are noise, not archives; `plain` ones are not compressed, but can be. */
export function makeImage(
  seed: number,
  sizes: number[],
  oci = true,
  plain = false,
): Image & { blobs: Map<Digest, Buffer> } {
  const random = seeded(seed)
  const blobs = new Map<Digest, Buffer>()
  const layers = sizes.map(size => {
    const noise = randomBytes(random, size)
    const tar = plain ? Buffer.from(noise.toString('hex')) : noise
    const packed = plain ? tar : gzipSync(tar, { level: 0 })
    const digest = digestOf(packed)
    blobs.set(digest, packed)
    const [ours, dockers] = plain
      ? [mediaTypes.ociLayer, mediaTypes.dockerLayer]
      : [mediaTypes.ociLayerGzip, mediaTypes.dockerLayerGzip]
    const mediaType = oci ? ours : dockers
    return { digest, diffId: digestOf(tar), size: packed.length, mediaType, bytes: packed }
  })
  const config = {
    os: 'linux',
    architecture: 'amd64',
    created: new Date(seed).toISOString(),
    rootfs: { type: 'layers' as const, diff_ids: layers.map(layer => layer.diffId) },
  }
  const configBytes = Buffer.from(JSON.stringify(config))
  const describe = (bytes: Uint8Array, mediaType: string): Descriptor => ({
    mediaType,
    digest: digestOf(bytes),
    size: bytes.length,
  })
  const mediaType = oci ? mediaTypes.ociManifest : mediaTypes.dockerManifest
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType,
    config: describe(configBytes, oci ? mediaTypes.ociConfig : mediaTypes.dockerConfig),
    layers: layers.map(({ bytes, mediaType }) => describe(bytes, mediaType)),
  }
  const manifestBytes = Buffer.from(JSON.stringify(manifest))
  blobs.set(manifest.config.digest, configBytes)
  return {
    digest: digestOf(manifestBytes),
    mediaType,
    manifest,
    manifestBytes,
    config,
    configBytes,
    layers: layers.map(({ bytes, ...layer }) => ({
      ...layer,
      open: async () => (await import('node:stream')).Readable.from([bytes]),
    })),
    blobs,
  }
}

/** Put an image into a store under a name. */
export async function keep(store: ImageStore, image: Image, name: string): Promise<void> {
  await store.put(image, { references: [parseReference(name)] })
}

/** Collects a progress stream; repetitions of a step's bytes count once. */
export class Recorder {
  readonly events: ProgressEvent[] = []
  readonly listen = (event: ProgressEvent): void => void this.events.push(event)

  /** `id: status`, without repetitions. */
  get steps(): string[] {
    const steps = this.events.map(({ id, status }) =>
      id === undefined ? (status ?? 'aux') : `${id}: ${status}`,
    )
    return steps.filter((step, i) => step !== steps[i - 1])
  }
}

/** Retries without the waiting. */
export const eager = { baseDelay: 1, maxDelay: 5 }
