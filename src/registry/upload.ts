/** One blob from the content store into a registry: mounted, resumed, retried. */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { readJson, writeJsonDurable } from '../durable.ts'
import type { ContentStore, Growing } from '../image/content-store.ts'
import { digestOf, hexOf } from '../image/digest.ts'
import type { Descriptor } from '../image/types.ts'
import { RegistryError } from './errors.ts'
import type { Repository } from './repository.ts'
import { defaultRetryPolicy, isTransient, type RetryPolicy, retrying } from './retry.ts'

/** How a blob came to be where it is now. */
export type Uploaded = { how: 'existed' } | { how: 'mounted'; from: string } | { how: 'uploaded' }

export interface UploadOptions {
  signal?: AbortSignal | undefined
  policy?: RetryPolicy
  /** Repositories of the same registry that may have the blob. */
  sources?: () => string[]
  /** See {@link sendEarly}. */
  early?: EarlyUpload | undefined
  onBytes?: (sent: number) => void
  onRetry?: (error: unknown, delay: number) => void
}

/** Repositories from which a mount is tried. */
const MAX_SOURCES = 3
/** Bytes from which on an upload's place is remembered over a restart. */
const WORTH_REMEMBERING = 1 << 20

/**
 * Make sure that the repository has the blob. An upload that was cut off, in this process or one before it, goes on where the registry
 * says that it is.
 */
export async function upload(
  content: ContentStore,
  repository: Repository,
  blob: Descriptor,
  options: UploadOptions = {},
): Promise<Uploaded> {
  const { signal, sources = () => [], early, onBytes, onRetry } = options
  const policy = options.policy ?? defaultRetryPolicy
  const again = { signal, policy, onRetry }
  if (early?.isWhole && (await finishEarly(repository, early, blob))) return { how: 'uploaded' }
  if (await retrying(() => repository.statBlob(blob.digest), again)) return { how: 'existed' }
  const place = new UploadPlace(content, repository, blob)
  let location = place.recall() ?? early?.location
  if (!location) {
    for (const from of sources().slice(0, MAX_SOURCES)) {
      location = await retrying(() => repository.startUpload({ digest: blob.digest, from }), again)
      if (!location) return { how: 'mounted', from }
    }
  }
  let unfinished = location
  await retrying(
    async attempt => {
      let offset = 0
      if (unfinished) {
        const status = await repository.uploadStatus(unfinished)
        unfinished = status?.location
        offset = status?.offset ?? 0
        if (offset > blob.size) {
          unfinished = undefined
          offset = 0
        }
      }
      unfinished ??= await repository.startUpload()
      if (!unfinished) return // mounted without being asked
      place.remember(unfinished)
      if (offset > 0) {
        attempt.progressed()
        onBytes?.(offset)
      }
      try {
        if (offset < blob.size || blob.size === 0) {
          let sent = offset
          const onSent = (bytes: number) => onBytes?.((sent += bytes))
          const body = { path: content.path(blob.digest), start: offset, end: blob.size - 1, onSent }
          unfinished = await repository.sendUpload(unfinished, body, offset, blob.size, signal)
        }
        await repository.finishUpload(unfinished, blob.digest)
      } catch (error) {
        // The registry does not want to go on here: begin anew, unless that is what failed.
        if (
          error instanceof RegistryError &&
          error.status >= 400 &&
          error.status < 500 &&
          error.status !== 429
        ) {
          place.forget()
          unfinished = undefined
          if (offset > 0 || RESTARTABLE.has(error.code)) throw new Restart(error)
        }
        throw error
      }
    },
    { ...again, isTransient: error => error instanceof Restart || isTransient(error) },
  ).catch(error => {
    throw error instanceof Restart ? error.cause : error
  })
  place.forget()
  early?.forget()
  return { how: 'uploaded' }
}

/** An upload that was begun before its blob was whole. */
export interface EarlyUpload {
  location: URL
  /** Whether all of it was sent. */
  isWhole: boolean
  /** It is finished, or given up: no later push need look for it. */
  forget(): void
}

/**
 * Send what becomes of `layer` while it is still being made. Where that was broken off once, nothing is sent: {@link upload} goes on there
 * when the blob is whole. The same layer gives the same bytes each time.
 */
export async function sendEarly(
  content: ContentStore,
  repository: Repository,
  layer: Pick<Descriptor, 'digest' | 'size'>,
  growing: Growing,
  onBytes: (sent: number) => void,
  signal?: AbortSignal,
): Promise<EarlyUpload | undefined> {
  const place = new UploadPlace(content, repository, layer)
  const forget = () => place.forget()
  let location = place.recall()
  if (location) return { location, isWhole: false, forget }
  let sent = 0
  const body = { ...growing, onSent: (bytes: number) => onBytes((sent += bytes)) }
  try {
    location = await repository.startUpload()
    if (!location) return undefined
    place.remember(location)
    const next = await repository.sendUpload(location, body, 0, undefined, signal)
    return { location: next, isWhole: true, forget }
  } catch {
    return location && { location, isWhole: false, forget }
  }
}

async function finishEarly(
  repository: Repository,
  { location, forget }: EarlyUpload,
  { digest }: Descriptor,
): Promise<boolean> {
  try {
    await repository.finishUpload(location, digest)
    forget()
    return true
  } catch {
    return false
  }
}

/** The upload is spoilt, a new one may work. */
class Restart extends Error {
  override readonly cause: RegistryError

  constructor(cause: RegistryError) {
    super(cause.message)
    this.cause = cause
  }
}

const RESTARTABLE = new Set([
  'BLOB_UPLOAD_UNKNOWN',
  'BLOB_UPLOAD_INVALID',
  'RANGE_INVALID',
  'SIZE_INVALID',
  'DIGEST_INVALID',
])

/** Where an upload is, kept in a small file so that another process can go on with it. */
class UploadPlace {
  readonly #file: string | undefined
  readonly #origin: string

  constructor(
    content: ContentStore,
    repository: Repository,
    { digest, size }: Pick<Descriptor, 'digest' | 'size'>,
  ) {
    const { origin } = repository.connection.endpoint.url
    this.#origin = origin
    if (size < WORTH_REMEMBERING) return
    const key = hexOf(digestOf(`${origin} ${repository.name} ${digest}`)).slice(0, 32)
    this.#file = path.join(path.dirname(content.folder), 'uploads', `${key}.json`)
  }

  /** Only a place at the registry itself, and only a fresh one: others may have given it to someone else. */
  recall(): URL | undefined {
    if (!this.#file) return undefined
    try {
      const place = readJson<{ location: string; at: number }>(this.#file)
      const url = place && URL.parse(place.location)
      return url && url.origin === this.#origin && place.at > Date.now() - MAX_AGE ? url : undefined
    } catch {
      return undefined
    }
  }

  remember(location: URL): void {
    if (!this.#file) return
    fs.mkdirSync(path.dirname(this.#file), { recursive: true, mode: 0o700 })
    writeJsonDurable(this.#file, { location: location.href, at: Date.now() }, { sync: false })
  }

  forget(): void {
    if (this.#file) fs.rmSync(this.#file, { force: true })
  }
}

const MAX_AGE = 24 * 3600_000
