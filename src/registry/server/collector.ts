/**
 * Garbage collection while the registry serves. Two steps, each of which may be interrupted at any point:
 * a repository lets go of blobs that none of its manifests names, then the shared store of blobs that no repository has.
 * Everything younger than the grace time stays: it may belong to a push that has yet to send its manifest. A look and
 * the removal that follows from it happen without a pause between them, so no request can come between.
 */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { setImmediate as pause } from 'node:timers/promises'
import { isDigest } from '../../image/digest.ts'
import type { Digest } from '../../image/types.ts'
import type { RegistryStore } from './registry-store.ts'
import type { RepositoryStore } from './repository-store.ts'

export interface CollectOptions {
  /** Milliseconds. */
  grace: number
  /** Also manifests that no tag, no index and no subject leads to. */
  untagged?: boolean
  /** Milliseconds after which a manifest goes, whatever leads to it: a cache can fetch it again. */
  expire?: number
  now?: number
}

export interface Collected {
  manifests: number
  links: number
  blobs: number
  bytes: number
}

export async function collect(store: RegistryStore, options: CollectOptions): Promise<Collected> {
  const result: Collected = { manifests: 0, links: 0, blobs: 0, bytes: 0 }
  // The clocks of files and of programs differ by milliseconds: without a grace time neither is asked.
  const before = options.grace === 0 ? Number.POSITIVE_INFINITY : (options.now ?? Date.now()) - options.grace
  for (const repository of store.repositories()) {
    if (options.expire !== undefined)
      result.manifests += dropOld(repository, (options.now ?? Date.now()) - options.expire)
    if (options.untagged) result.manifests += dropUntagged(store, repository, before)
    result.links += dropUnnamed(store, repository, before)
    await pause()
  }
  await dropUnlinked(store, before, result)
  return result
}

/** What a manifest's JSON names, whatever kind it is. */
export function references(bytes: Uint8Array): { blobs: Digest[]; manifests: Digest[] } {
  const document = JSON.parse(Buffer.from(bytes).toString('utf8')) as Record<string, unknown>
  const of = (value: unknown): Digest[] =>
    (Array.isArray(value) ? value : [value])
      .map(entry => (entry as { digest?: unknown } | null | undefined)?.digest)
      .filter((digest): digest is Digest => typeof digest === 'string' && isDigest(digest))
  return {
    blobs: [...of(document['config']), ...of(document['layers']), ...of(document['blobs'])],
    manifests: of(document['manifests']),
  }
}

function dropOld(repository: RepositoryStore, before: number): number {
  const old = [...repository.blobs()].filter(blob => blob.linkedAt < before)
  return old.filter(blob => repository.deleteManifest(blob.digest)).length
}

function dropUntagged(store: RegistryStore, repository: RepositoryStore, before: number): number {
  const reached = new Set<Digest>()
  const visit = (digest: Digest): void => {
    if (reached.has(digest) || !repository.manifest(digest)) return
    reached.add(digest)
    for (const child of references(store.document(digest)).manifests) visit(child)
    for (const referrer of repository.referrers(digest)) visit(referrer.digest)
  }
  for (const tag of repository.tags()) visit(repository.manifest(tag)!.digest)
  const linkedAt = new Map([...repository.blobs()].map(blob => [blob.digest, blob.linkedAt]))
  let dropped = 0
  for (const { digest } of [...repository.manifests()]) {
    if (reached.has(digest) || (linkedAt.get(digest) ?? 0) > before) continue
    repository.deleteManifest(digest)
    dropped++
  }
  return dropped
}

function dropUnnamed(store: RegistryStore, repository: RepositoryStore, before: number): number {
  const named = new Set<Digest>()
  for (const { digest } of repository.manifests()) {
    if (!store.content.has(digest)) continue
    named.add(digest)
    for (const blob of references(store.document(digest)).blobs) named.add(blob)
  }
  let dropped = 0
  for (const { digest, linkedAt } of repository.blobs()) {
    if (named.has(digest) || linkedAt > before) continue
    repository.unlinkBlob(digest)
    dropped++
  }
  return dropped
}

async function dropUnlinked(store: RegistryStore, before: number, result: Collected): Promise<void> {
  const blobs = path.join(store.content.folder, 'blobs')
  for (const algorithm of fs.readdirSync(blobs)) {
    for await (const { name } of await fs.promises.opendir(path.join(blobs, algorithm))) {
      const digest: Digest = `${algorithm}:${name}`
      if (!isDigest(digest)) continue
      const stat = fs.statSync(store.content.path(digest), { throwIfNoEntry: false })
      if (!stat || stat.nlink > 1 || stat.ctimeMs > before) continue
      const bytes = store.content.delete(digest)
      if (bytes === 0) continue
      result.blobs++
      result.bytes += bytes
    }
  }
}
