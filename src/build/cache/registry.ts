/** A cache in a repository of a registry. */
import type { ContentStore, Lease } from '../../image/content-store.ts'
import { canonical, parseReference, type Reference, withDefaultTag } from '../../image/reference.ts'
import type { Descriptor, Digest } from '../../image/types.ts'
import { download } from '../../registry/download.ts'
import type { Repository } from '../../registry/repository.ts'
import type { RegistryAuth, RegistryService } from '../../registry/types.ts'
import { upload } from '../../registry/upload.ts'
import type { CacheSink } from './export.ts'
import type { CacheStore } from './import.ts'

export interface RegistryCacheOptions {
  registries: Pick<RegistryService, 'withRepository'>
  content: ContentStore
  auth: (host: string) => Promise<RegistryAuth | undefined>
  signal: AbortSignal
}

/** Bytes of a document that is read whole. */
const MAX_DOCUMENT = 32 * 1024 * 1024

export class RegistryCache implements CacheStore, CacheSink {
  readonly title = 'exporting cache to registry'
  readonly name: string
  readonly #reference: Reference
  readonly #options: RegistryCacheOptions

  /** @param ref as the user wrote it */
  constructor(ref: string, options: RegistryCacheOptions) {
    this.#reference = withDefaultTag(parseReference(ref))
    this.#options = options
    this.name = canonical(this.#reference)
  }

  async #with<T>(actions: 'pull' | 'pull,push', work: (repository: Repository) => Promise<T>): Promise<T> {
    const { registries, auth, signal } = this.#options
    const known = await auth(this.#reference.domain)
    return registries.withRepository(
      this.#reference,
      actions,
      { signal, ...(known && { auth: known }) },
      work,
    )
  }

  manifest(digest?: Digest): Promise<Buffer> {
    const { digest: own, tag } = this.#reference
    return this.#with('pull', async repository => (await repository.manifest(digest ?? own ?? tag!)).bytes)
  }

  document(digest: Digest): Promise<Buffer> {
    return this.#with('pull', repository => repository.readBlob(digest, MAX_DOCUMENT))
  }

  fetch(blob: Descriptor, lease: Lease): Promise<void> {
    const { content, signal } = this.#options
    return this.#with('pull', repository => download(content, repository, blob, { lease, signal }))
  }

  async add(blob: Descriptor): Promise<void> {
    const { content, signal } = this.#options
    await this.#with('pull,push', repository => upload(content, repository, blob, { signal }))
  }

  addManifest(manifest: Descriptor, bytes: Buffer): Promise<void> {
    const tag = this.#reference.tag ?? 'latest'
    return this.#with('pull,push', repository => repository.putManifest(tag, bytes, manifest.mediaType))
  }
}
