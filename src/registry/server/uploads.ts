/**
 * Blobs on their way in. The bytes are the content store's partial blobs under a key, so an upload outlives its connection and the
 * server; what is kept beside them is which repository it is for.
 */
import { randomUUID } from 'node:crypto'
import * as fs from 'node:fs'
import * as path from 'node:path'
import type { Readable } from 'node:stream'
import { readJson, writeJsonDurable } from '../../durable.ts'
import { GantryError, hasCode } from '../../errors.ts'
import type { ContentStore, ContentWriter } from '../../image/content-store.ts'
import { algorithmOf } from '../../image/digest.ts'
import type { Digest } from '../../image/types.ts'
import { fault } from './faults.ts'
import type { Limits } from './limits.ts'

/** An upload that is under way, or waits to go on. */
interface Upload {
  id: string
  repository: string
  writer?: ContentWriter
  /** Settles when the request that writes just now is done. */
  writing?: Promise<void>
  /** Breaks off the request that writes just now. */
  source?: Readable
  touched: number
}

/** Milliseconds without a request after which an upload's file is closed. */
export const RESTED_AFTER = 30_000

export class Uploads {
  readonly #content: ContentStore
  readonly #folder: string
  readonly #limits: Limits
  readonly #uploads = new Map<string, Upload>()

  constructor(root: string, content: ContentStore, limits: Limits) {
    this.#content = content
    this.#limits = limits
    this.#folder = path.join(root, 'uploads')
    fs.mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
    for (const name of fs.readdirSync(this.#folder)) {
      const record = readJson<{ repository: string }>(path.join(this.#folder, name))
      const { mtimeMs } = fs.statSync(path.join(this.#folder, name))
      const id = path.parse(name).name
      if (record) this.#uploads.set(id, { id, repository: record.repository, touched: mtimeMs })
    }
  }

  get count(): number {
    return this.#uploads.size
  }

  /** Throws TOOMANYREQUESTS at the limit. */
  start(repository: string): string {
    if (this.#uploads.size >= this.#limits.uploads) {
      throw fault('TOOMANYREQUESTS', 'too many uploads are under way', 429, undefined, {
        'Retry-After': '30',
      })
    }
    const id = randomUUID()
    writeJsonDurable(this.#record(id), { repository }, { sync: false })
    this.#uploads.set(id, { id, repository, touched: Date.now() })
    return id
  }

  /** Bytes that are safely there. */
  async offset(repository: string, id: string): Promise<number> {
    const upload = await this.#take(repository, id)
    return (await this.#writer(upload)).offset
  }

  /**
   * Append what `source` brings; `at` is where the client believes that is. Returns the new end.
   * Throws RANGE_INVALID for another place than the end, SIZE_INVALID for another length than `length`.
   */
  async append(
    repository: string,
    id: string,
    source: Readable,
    chunk: { at?: number; length?: number } = {},
  ): Promise<number> {
    const upload = await this.#take(repository, id)
    let done = () => {}
    upload.source = source
    upload.writing = new Promise<void>(resolve => {
      done = resolve
    })
    try {
      const writer = await this.#writer(upload)
      if (chunk.at !== undefined && chunk.at !== writer.offset) {
        throw fault(
          'RANGE_INVALID',
          'invalid content range',
          416,
          undefined,
          rangeHeaders(repository, id, writer.offset),
        )
      }
      const before = writer.offset
      for await (const bytes of source) {
        upload.touched = Date.now()
        if (writer.offset + (bytes as Buffer).length > this.#limits.blobBytes) {
          throw fault('SIZE_INVALID', `blob is larger than ${this.#limits.blobBytes} bytes`, 413)
        }
        await writer.write(bytes as Buffer)
      }
      if (chunk.length !== undefined && writer.offset - before !== chunk.length) {
        throw fault('SIZE_INVALID', 'provided length did not match content length')
      }
      return writer.offset
    } finally {
      delete upload.writing
      delete upload.source
      done()
    }
  }

  /** Make the upload the blob `digest` of the content store. Throws DIGEST_INVALID, and forgets the upload, if it is not. */
  async finish(repository: string, id: string, digest: Digest): Promise<number> {
    const upload = await this.#take(repository, id)
    let writer = await this.#writer(upload)
    if (algorithmOf(digest) !== 'sha256') {
      await writer.suspend()
      writer = await this.#content.ingest({ key: id, digest })
    }
    this.#forget(id)
    let actual: Digest
    let size: number
    try {
      ;({ digest: actual, size } = await writer.commit())
    } catch (error) {
      if (error instanceof GantryError && error.kind === 'invalid') throw mismatch(digest)
      throw error
    }
    if (actual !== digest) throw mismatch(digest)
    return size
  }

  async cancel(repository: string, id: string): Promise<void> {
    const upload = await this.#take(repository, id)
    const writer = await this.#writer(upload)
    this.#forget(id)
    await writer.abort()
  }

  /** Forget what nobody goes on with. Returns how many. */
  async purge(now = Date.now()): Promise<number> {
    const old = [...this.#uploads.values()].filter(
      ({ writing, touched }) => !writing && touched < now - this.#limits.uploadAge,
    )
    for (const { repository, id } of old) await this.cancel(repository, id)
    return old.length
  }

  /** Close the files of uploads that nobody has written to for a while; they open again when someone goes on. */
  async rest(now = Date.now()): Promise<void> {
    for (const upload of this.#uploads.values()) {
      const { writer, writing, touched } = upload
      if (!writer || writing || touched > now - RESTED_AFTER) continue
      delete upload.writer
      await writer.suspend()
    }
  }

  /** Put what is there on disk, to be continued after a restart. */
  async close(): Promise<void> {
    for (const upload of this.#uploads.values()) {
      await upload.writing?.catch(() => {})
      await upload.writer?.suspend()
      delete upload.writer
    }
  }

  /**
   * The upload, once no other request writes to it. A request that still does is one whose client has gone without
   * telling: the newer one is right.
   */
  async #take(repository: string, id: string): Promise<Upload> {
    for (;;) {
      const upload = this.#uploads.get(id)
      if (!upload || upload.repository !== repository) {
        throw fault('BLOB_UPLOAD_UNKNOWN', 'blob upload unknown to registry')
      }
      if (!upload.writing) {
        upload.touched = Date.now()
        return upload
      }
      upload.source?.destroy(new Error('superseded by another request for the same upload'))
      await upload.writing
    }
  }

  async #writer(upload: Upload): Promise<ContentWriter> {
    upload.writer ??= await this.#content.ingest({ key: upload.id })
    return upload.writer
  }

  #forget(id: string): void {
    this.#uploads.delete(id)
    try {
      fs.unlinkSync(this.#record(id))
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error
    }
  }

  #record(id: string): string {
    return path.join(this.#folder, `${id}.json`)
  }
}

function mismatch(digest: Digest): Error {
  return fault('DIGEST_INVALID', 'provided digest did not match uploaded content', 400, { digest })
}

/** What an answer about an upload carries: where to go on, and how far it is. */
export function rangeHeaders(repository: string, id: string, offset: number): Record<string, string> {
  return {
    Location: `/v2/${repository}/blobs/uploads/${id}`,
    'Docker-Upload-UUID': id,
    Range: `0-${Math.max(0, offset - 1)}`,
  }
}
