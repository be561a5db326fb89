/** One blob from a registry into the content store: resumed, retried, verified. */
import { type GantryError, kindOf } from '../errors.ts'
import type { ContentStore, ContentWriter, Lease } from '../image/content-store.ts'
import type { Descriptor } from '../image/types.ts'
import { eachChunk } from './direct.ts'
import { TransportError } from './errors.ts'
import type { Repository } from './repository.ts'
import { defaultRetryPolicy, IncompleteTransfer, type RetryPolicy, retrying } from './retry.ts'

export interface DownloadOptions {
  lease?: Lease
  signal?: AbortSignal | undefined
  policy?: RetryPolicy
  /** Bytes that are there, out of the descriptor's size. */
  onBytes?: (offset: number) => void
  onRetry?: (error: unknown, delay: number) => void
  /** All bytes are there; the digest is being looked at. */
  onVerify?: () => void
  /** A writer was opened. Another one is where what came was not what it should be. */
  onWriter?: (writer: ContentWriter) => void
}

/** Fetches of the whole blob where the bytes that come have another digest. */
const MAX_WRONG = 3

/**
 * Make sure that the store has the blob. What had come before an interruption is not fetched again; what was interrupted now
 * is kept for the next time.
 * @throws RegistryError, TransportError, GantryError `invalid` where the registry insists on other bytes.
 */
export async function download(
  content: ContentStore,
  repository: Repository,
  descriptor: Pick<Descriptor, 'digest'> & { size?: number | undefined },
  options: DownloadOptions = {},
): Promise<void> {
  const { digest, size } = descriptor
  for (let wrong = 1; ; wrong++) {
    if (content.has(digest)) {
      options.lease?.add(digest)
      if (content.has(digest)) return
    }
    const { lease, signal } = options
    const writer = await content.ingest({
      key: digest,
      digest,
      ...(size !== undefined && { size }),
      ...(lease && { lease }),
    })
    options.onWriter?.(writer)
    try {
      await fill(writer, repository, descriptor, options)
      options.onVerify?.()
      await writer.commit()
      return
    } catch (error) {
      await writer.suspend().catch(() => {})
      signal?.throwIfAborted()
      if (!isWrong(error) || wrong === MAX_WRONG) throw error
    }
  }
}

/** The bytes were not what was promised, in digest or size. */
function isWrong(error: unknown): error is GantryError {
  return kindOf(error) === 'invalid'
}

async function fill(
  writer: ContentWriter,
  repository: Repository,
  { digest, size }: Pick<Descriptor, 'digest'> & { size?: number | undefined },
  { signal, policy, onBytes, onRetry }: DownloadOptions,
): Promise<void> {
  await retrying(
    async attempt => {
      if (size !== undefined && writer.offset === size) return
      const { body, offset } = await repository.blob(digest, writer.offset, signal)
      // A registry that knows no ranges begins anew: what is there already is read past.
      let skip = writer.offset - offset
      try {
        await eachChunk(body, data => {
          const chunk = data.subarray(skip)
          skip = Math.max(0, skip - data.length)
          if (chunk.length === 0) return undefined
          const full = writer.write(chunk)
          attempt.progressed()
          onBytes?.(writer.offset)
          return full
        })
      } catch (error) {
        if (isWrong(error)) throw error
        signal?.throwIfAborted()
        throw error instanceof TransportError
          ? error
          : new IncompleteTransfer(`download of ${digest} broke off`, error)
      } finally {
        body.destroy()
      }
      if (size !== undefined && writer.offset < size) {
        throw new IncompleteTransfer(
          `download of ${digest} ended after ${writer.offset} of ${size} bytes: unexpected EOF`,
        )
      }
    },
    { signal, policy: policy ?? defaultRetryPolicy, onRetry },
  )
}
