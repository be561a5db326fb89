/** What one build brings along and the solver asks for by name: folders, secrets, keys, credentials. */
import type { Readable } from 'node:stream'
import type { Descriptor, Digest } from '../../image/types.ts'
import type { ImportedCache } from '../cache/imported.ts'
import type { Listing } from './listing.ts'
import type { OnProgress } from './progress.ts'

export interface LocalRequest {
  name: string
  exclude: string[]
  /** Only these and what they link to. */
  paths?: string[]
  /** Only files of these names, for a moment: a definition is read, nothing is kept for the next build. */
  only?: string[]
  signal: AbortSignal
  onProgress(bytes: number, files: number): void
}

/** What is known of a folder without looking at its files. */
export interface FolderContents {
  listing?: Listing
  /**
   * All is root's, without extended attributes; no file has two names here, and none is ever changed in place: so a layer may have a
   * further name of it instead of a copy.
   */
  isPlain: boolean
}

/** A folder that does not change while it is held. */
export interface LocalFolder {
  path: string
  contents?: FolderContents
  release(): void
}

/** Blobs in a store of the client's: an OCI layout on its disk. */
export interface ClientBlobs {
  /** Bytes; `undefined` where it has no such blob. */
  size(digest: Digest): Promise<number | undefined>
  read(digest: Digest): Readable
  /** Harmless where it is there already. The client checks the digest. */
  write(blob: Pick<Descriptor, 'digest' | 'size'>, body: AsyncIterable<Uint8Array>): Promise<void>
}

export interface BuildSession {
  readonly signal: AbortSignal
  readonly onProgress: OnProgress
  local(request: LocalRequest): Promise<LocalFolder>
  /** `undefined` where the client has no such secret. */
  secret(id: string): Promise<Uint8Array | undefined>
  /** A unix socket on the host that leads to the client's agent; `undefined` where it offers none of that name. */
  ssh(id: string): Promise<{ path: string; release(): void } | undefined>
  /** Seconds since 1970. */
  readonly epoch?: number
  /** What other engines made of the same steps. */
  readonly imported?: ImportedCache
}
