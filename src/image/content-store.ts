/**
 * Blobs by digest, as an OCI image layout (image-layout.md), so that other tools can read the folder as it is:
 *
 *     <root>/content/oci-layout, index.json, blobs/<algorithm>/<hex>
 *     <root>/ingest/      what is still on its way in
 *     <root>/unsynced/    one empty file for each blob that may not have reached the disk yet
 *
 * A blob appears under its digest only when all its bytes are there and were checked, by one rename. Nothing waits for
 * the disk: a blob is synced some time after its rename, in the background, and until that has happened a marker stands in
 * `unsynced/`. A start after a power cut (the marker names another boot) checks such a blob again and removes it if it is
 * not whole. What is needed again is fetched again; what is there is right.
 *
 * Who still needs a blob is not known here: {@link ContentStore.collect} is told the roots, and spares what a
 * {@link Lease} holds.
 */
import * as fs from 'node:fs'
import * as path from 'node:path'
import type { Readable } from 'node:stream'
import { bootId, syncFolder, temporaryPath, writeFileDurable } from '../durable.ts'
import { hasCode, internal, notFound } from '../errors.ts'
import { type ContentWriter, type IngestOptions, isBeingWritten, openWriter } from './content-writer.ts'
import { algorithmOf, Digester, digestOf, hexOf, isDigest } from './digest.ts'
import type { Digest } from './types.ts'

export type { ContentWriter, Growing, IngestOptions } from './content-writer.ts'

/** Keeps blobs from being collected while work that no root names yet goes on: a pull, a load, a build. Not kept over a restart. */
export interface Lease {
  add(digest: Digest): void
  /** Ends it. Harmless when repeated. */
  release(): void
}

/** Blobs that nothing names are kept this long, so that an interrupted pull finds its finished layers again. Milliseconds. */
export const UNREFERENCED_GRACE = 24 * 60 * 60 * 1000

/** See {@link ContentStore}: `syncAfter` unless told. */
const SYNC_AFTER = 2000

/** Manifests, indexes and configs are read whole; a larger one is refused. Bytes. */
export const MAX_DOCUMENT_SIZE = 32 * 1024 * 1024

export class ContentStore {
  /** The layout's folder, absolute. */
  readonly folder: string
  readonly ingestFolder: string
  readonly #unsynced: string
  readonly #leases = new Set<Set<Digest>>()
  readonly #boot: string
  readonly #syncAfter: number
  readonly #toSync: Digest[] = []
  #timer: NodeJS.Timeout | undefined
  #syncing: Promise<void> = Promise.resolve()

  /**
   * Opens the store under `root` (the data root), making it where it is not, and settles what a crash left. `syncAfter`: milliseconds
   * without a new blob after which those that came are synced.
   */
  constructor(root: string, { syncAfter = SYNC_AFTER }: { syncAfter?: number } = {}) {
    this.#syncAfter = syncAfter
    this.folder = path.join(root, 'content')
    this.ingestFolder = path.join(root, 'ingest')
    this.#unsynced = path.join(root, 'unsynced')
    this.#boot = bootId()
    for (const folder of [path.join(this.folder, 'blobs/sha256'), this.ingestFolder, this.#unsynced]) {
      fs.mkdirSync(folder, { recursive: true, mode: 0o700 })
    }
    const layout = path.join(this.folder, 'oci-layout')
    if (!fs.existsSync(layout)) {
      writeFileDurable(layout, '{"imageLayoutVersion":"1.0.0"}', { mode: 0o644 })
    }
    this.#settleUnsynced()
    this.#sweepIngest(UNREFERENCED_GRACE, true)
  }

  /** Where a blob is or would be. */
  path(digest: Digest): string {
    if (!isDigest(digest)) throw internal(`not a digest: ${digest}`)
    return path.join(this.folder, 'blobs', algorithmOf(digest), hexOf(digest))
  }

  has(digest: Digest): boolean {
    return fs.existsSync(this.path(digest))
  }

  /** Bytes of a blob; `undefined` where it is not. */
  size(digest: Digest): number | undefined {
    return fs.statSync(this.path(digest), { throwIfNoEntry: false })?.size
  }

  /**
   * A small blob, whole: manifests and configs.
   * @throws GantryError `notFound`.
   */
  read(digest: Digest): Buffer {
    const size = this.size(digest)
    if (size === undefined) throw notFound(`content ${digest}: not found`)
    if (size > MAX_DOCUMENT_SIZE)
      throw internal(`content ${digest}: ${size} bytes are too many for a document`)
    return fs.readFileSync(this.path(digest))
  }

  readJson<T>(digest: Digest): T {
    return JSON.parse(this.read(digest).toString('utf8')) as T
  }

  /** A blob as a stream; `start` and `end` (inclusive) as in `fs.createReadStream`. */
  open(digest: Digest, range: { start?: number; end?: number } = {}): Readable {
    return fs.createReadStream(this.path(digest), { ...range, highWaterMark: 512 * 1024 })
  }

  /** Begin, or continue, to take a blob in. See {@link ContentWriter}. */
  ingest(options: IngestOptions = {}): Promise<ContentWriter> {
    return openWriter(this, options)
  }

  /** Keep a small document; returns its digest. */
  put(bytes: Uint8Array, lease?: Lease): Digest {
    const digest = digestOf(bytes)
    lease?.add(digest)
    if (!this.has(digest)) writeFileDurable(this.path(digest), bytes, { mode: 0o444 })
    return digest
  }

  lease(): Lease {
    const held = new Set<Digest>()
    this.#leases.add(held)
    return { add: digest => held.add(digest), release: () => this.#leases.delete(held) }
  }

  isLeased(digest: Digest): boolean {
    for (const held of this.#leases) if (held.has(digest)) return true
    return false
  }

  /** No grace for this blob any more: the next {@link collect} takes it unless something needs it. */
  makeOld(digest: Digest): void {
    try {
      fs.utimesSync(this.path(digest), 0, 0)
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error
    }
  }

  /** Remove one blob unless it is leased. Returns the bytes given back. */
  delete(digest: Digest): number {
    const size = this.isLeased(digest) ? undefined : this.size(digest)
    if (size === undefined) return 0
    fs.rmSync(this.path(digest), { force: true })
    fs.rmSync(this.#marker(digest), { force: true })
    return size
  }

  /**
   * Remove every blob that is neither in `roots`, nor leased, nor younger than `grace` milliseconds, and partial ones that nobody
   * writes. `roots` must already hold what manifests refer to. Interrupted at any point it has only removed what nobody needs.
   */
  collect(
    roots: ReadonlySet<Digest>,
    grace: number = UNREFERENCED_GRACE,
  ): { removed: Digest[]; bytes: number } {
    const removed: Digest[] = []
    let bytes = 0
    const youngest = Date.now() - grace
    for (const { digest, file } of this.#list()) {
      if (roots.has(digest) || this.isLeased(digest)) continue
      if (grace > 0 && fs.statSync(file).mtimeMs > youngest) continue
      bytes += this.delete(digest)
      removed.push(digest)
    }
    return { removed, bytes: bytes + this.#sweepIngest(grace) }
  }

  *#list(): Generator<{ digest: Digest; file: string }> {
    const blobs = path.join(this.folder, 'blobs')
    for (const algorithm of fs.readdirSync(blobs)) {
      for (const hex of fs.readdirSync(path.join(blobs, algorithm))) {
        const digest: Digest = `${algorithm}:${hex}`
        if (isDigest(digest)) yield { digest, file: path.join(blobs, algorithm, hex) }
      }
    }
  }

  /** Make a complete, checked file the blob `digest`. Called by the writer. */
  adopt(file: string, digest: Digest): void {
    const target = this.path(digest)
    if (algorithmOf(digest) !== 'sha256') fs.mkdirSync(path.dirname(target), { recursive: true, mode: 0o700 })
    fs.writeFileSync(this.#marker(digest), '')
    fs.chmodSync(file, 0o444)
    fs.renameSync(file, target)
    this.#syncLater(digest)
  }

  /** Resolves when all that was taken in so far is on the disk. */
  synced(): Promise<void> {
    this.#syncNow()
    return this.#syncing
  }

  /** Not at once: whoever takes in blobs is about to write their files, and would wait for the same disk. */
  #syncLater(digest: Digest): void {
    this.#toSync.push(digest)
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#syncNow(), this.#syncAfter).unref()
  }

  #syncNow(): void {
    clearTimeout(this.#timer)
    for (const digest of this.#toSync.splice(0)) this.#sync(digest)
  }

  #sync(digest: Digest): void {
    this.#syncing = this.#syncing.then(async () => {
      try {
        const file = await fs.promises.open(this.path(digest), 'r')
        try {
          await file.datasync()
        } finally {
          await file.close()
        }
        syncFolder(path.dirname(this.path(digest)))
        fs.rmSync(this.#marker(digest), { force: true })
      } catch (error) {
        if (!hasCode(error, 'ENOENT')) return // stays marked: checked at the next boot
      }
    })
  }

  #marker(digest: Digest): string {
    return path.join(this.#unsynced, `${this.#boot}.${algorithmOf(digest)}.${hexOf(digest)}`)
  }

  #settleUnsynced(): void {
    for (const name of fs.readdirSync(this.#unsynced)) {
      const [boot, algorithm, hex] = name.split('.')
      const digest: Digest = `${algorithm}:${hex}`
      if (!isDigest(digest) || !this.has(digest)) {
        fs.rmSync(path.join(this.#unsynced, name), { force: true })
      } else if (boot === this.#boot) {
        this.#syncLater(digest)
      } else {
        if (!isWhole(this.path(digest), digest)) fs.rmSync(this.path(digest))
        fs.rmSync(path.join(this.#unsynced, name), { force: true })
      }
    }
  }

  /**
   * Partial blobs with a key wait to be continued; old ones, and at the start those without, are given up. None that is being
   * written. @returns bytes
   */
  #sweepIngest(grace: number, isStart = false): number {
    let bytes = 0
    for (const name of fs.readdirSync(this.ingestFolder)) {
      const file = path.join(this.ingestFolder, name)
      if (!name.endsWith('.part') && !isStart) continue
      if (isBeingWritten(file)) continue
      const { mtimeMs = 0, size = 0 } = fs.statSync(file, { throwIfNoEntry: false }) ?? {}
      if (name.endsWith('.part') && grace > 0 && Date.now() - mtimeMs < grace) continue
      fs.rmSync(file, { force: true, recursive: true })
      bytes += size
    }
    return bytes
  }

  /** A name for a blob on its way in: stable for a `key`, otherwise used once. */
  ingestPath(key: string | undefined): string {
    return key === undefined
      ? temporaryPath(this.ingestFolder)
      : path.join(this.ingestFolder, `${hexOf(digestOf(key))}.part`)
  }
}

function isWhole(file: string, digest: Digest): boolean {
  const digester = new Digester(algorithmOf(digest))
  const buffer = Buffer.allocUnsafe(1 << 20)
  const fd = fs.openSync(file, 'r')
  try {
    for (let n = 0; (n = fs.readSync(fd, buffer)) > 0; ) digester.update(buffer.subarray(0, n))
  } finally {
    fs.closeSync(fd)
  }
  return digester.digest() === digest
}
