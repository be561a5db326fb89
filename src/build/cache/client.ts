/** A cache in a folder of the client's: `type=local`. */
import { Readable } from 'node:stream'
import { invalid } from '../../errors.ts'
import type { ContentStore, Lease } from '../../image/content-store.ts'
import { digestOf, isDigest } from '../../image/digest.ts'
import type { Descriptor, Digest } from '../../image/types.ts'
import type { ClientBlobs } from '../solve/session.ts'
import type { CacheSink } from './export.ts'
import type { CacheStore } from './import.ts'

/** Bytes of a document that is read whole. */
const MAX_DOCUMENT = 32 * 1024 * 1024

export class ClientCache implements CacheStore, CacheSink {
  readonly title = 'exporting cache to client directory'
  readonly name: string
  readonly #blobs: ClientBlobs
  readonly #content: ContentStore
  readonly #digest: string | undefined

  /** @param digest of the manifest to read; the client has looked it up by its tag */
  constructor(name: string, blobs: ClientBlobs, content: ContentStore, digest?: string) {
    this.name = name
    this.#blobs = blobs
    this.#content = content
    this.#digest = digest
  }

  manifest(digest?: Digest): Promise<Buffer> {
    const wanted = digest ?? this.#digest
    if (wanted === undefined || !isDigest(wanted))
      throw invalid('local cache importer requires explicit digest')
    return this.document(wanted)
  }

  async document(digest: Digest): Promise<Buffer> {
    const parts: Buffer[] = []
    let size = 0
    for await (const part of this.#blobs.read(digest)) {
      size += part.length
      if (size > MAX_DOCUMENT) throw invalid(`${digest} is larger than ${MAX_DOCUMENT} bytes`)
      parts.push(part)
    }
    const bytes = Buffer.concat(parts)
    if (digestOf(bytes) !== digest) throw invalid(`${digest}: the client sent other bytes`)
    return bytes
  }

  async fetch({ digest, size }: Descriptor, lease: Lease): Promise<void> {
    lease.add(digest)
    if (this.#content.has(digest)) return
    const writer = await this.#content.ingest({ digest, size, lease })
    try {
      for await (const part of this.#blobs.read(digest)) {
        const full = writer.write(part)
        if (full) await full
      }
      await writer.commit()
    } catch (error) {
      await writer.abort()
      throw error
    }
  }

  async add(blob: Descriptor): Promise<void> {
    if ((await this.#blobs.size(blob.digest)) !== undefined) return
    await this.#blobs.write(blob, this.#content.open(blob.digest))
  }

  async addManifest(manifest: Descriptor, bytes: Buffer): Promise<void> {
    await this.#blobs.write(manifest, Readable.from([bytes]))
  }
}
