/**
 * All that a registry keeps, under one root:
 *
 *     <root>/lock                          held while a process has it open
 *     <root>/content, ingest, unsynced     the engine's content store: each blob once
 *     <root>/repositories/<name>/_oci/     one {@link RepositoryStore} each; no component of a name begins with `_`
 */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { hasCode } from '../../errors.ts'
import { ContentStore } from '../../image/content-store.ts'
import { acquireRoot } from '../../image/root-lock.ts'
import type { Digest } from '../../image/types.ts'
import { RepositoryStore } from './repository-store.ts'

const LAYOUT = '_oci'
/** Manifests kept in memory. Bytes. */
const CACHE_BYTES = 64 << 20

export class RegistryStore {
  readonly root: string
  readonly #release: () => void
  readonly content: ContentStore
  readonly #repositories = new Map<string, RepositoryStore>()
  #names: string[] | undefined
  readonly #documents = new Map<Digest, Buffer>()
  #documentBytes = 0

  /** Raises conflict while another process has this root open. */
  constructor(root: string) {
    this.root = root
    fs.mkdirSync(path.join(root, 'repositories'), { recursive: true, mode: 0o755 })
    this.#release = acquireRoot(root, 'registry')
    // A push waits for its layers to be on the disk: the sooner that begins, the better.
    this.content = new ContentStore(root, { syncAfter: 0 })
    for (const name of find(path.join(root, 'repositories'), '')) this.#open(name)
  }

  /** The repository `name`, if anything was ever written to it. */
  repository(name: string): RepositoryStore | undefined {
    return this.#repositories.get(name)
  }

  /** The repository `name`, made if need be. */
  ensure(name: string): RepositoryStore {
    return this.#repositories.get(name) ?? this.#open(name)
  }

  #open(name: string): RepositoryStore {
    const repository = new RepositoryStore(
      name,
      path.join(this.root, 'repositories', name, LAYOUT),
      this.content,
    )
    this.#repositories.set(name, repository)
    this.#names = undefined
    return repository
  }

  /** Of every repository, in the order of their bytes. */
  names(): readonly string[] {
    this.#names ??= [...this.#repositories.keys()].sort()
    return this.#names
  }

  repositories(): Iterable<RepositoryStore> {
    return this.#repositories.values()
  }

  /** A manifest's bytes; the caller knows that its repository has it. */
  document(digest: Digest): Buffer {
    const known = this.#documents.get(digest)
    if (known) {
      this.#documents.delete(digest)
      this.#documents.set(digest, known)
      return known
    }
    const bytes = this.content.read(digest)
    this.#documents.set(digest, bytes)
    this.#documentBytes += bytes.length
    for (const [oldest, { length }] of this.#documents) {
      if (this.#documentBytes <= CACHE_BYTES) break
      this.#documents.delete(oldest)
      this.#documentBytes -= length
    }
    return bytes
  }

  /** Write every index.json. */
  flush(): void {
    for (const repository of this.#repositories.values()) repository.flush()
  }

  close(): void {
    this.flush()
    for (const repository of this.#repositories.values()) repository.close()
    this.#release()
  }
}

/** Names of the repositories under `folder`. */
function* find(folder: string, prefix: string): Generator<string> {
  let entries: fs.Dirent[]
  try {
    entries = fs.readdirSync(folder, { withFileTypes: true })
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return
    throw error
  }
  for (const entry of entries) {
    if (!entry.isDirectory()) continue
    if (entry.name === LAYOUT) yield prefix
    else yield* find(path.join(folder, entry.name), prefix === '' ? entry.name : `${prefix}/${entry.name}`)
  }
}
