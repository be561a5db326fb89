/** What the cache holds, and making it smaller: `docker builder du`, `docker builder prune`. */
import * as fs from 'node:fs'
import { invalid } from '../errors.ts'
import { parseDuration } from './dockerfile/duration.ts'
import type { CacheMounts } from './solve/cache-mounts.ts'
import type { FilePool } from './solve/file-pool.ts'
import type { Layers } from './solve/layers.ts'
import type { CacheRecord, Records } from './solve/records.ts'

export interface UsageRecord {
  id: string
  parents: string[]
  type: string
  description: string
  inUse: boolean
  shared: boolean
  mutable: boolean
  /** Bytes. */
  size: number
  /** Milliseconds since 1970. */
  createdAt: number
  lastUsedAt: number
  usageCount: number
}

export interface PruneOptions {
  /** Everything, not only what no image was built from. */
  all?: boolean
  /** As the API's: `id=…`, `type=…`, `until=24h`, `unused-for=…`, `inuse`, `shared`, `private`, `mutable`, `immutable`. */
  filters?: Record<string, string[]>
  /** Milliseconds: what was used since is kept. */
  keepDuration?: number
  /** Bytes to keep in any case. */
  keepBytes?: number
  /** Bytes that the cache may hold; nothing goes where it holds less. */
  maxUsedBytes?: number
  /** Bytes that shall be free on the disk; nothing goes where they are. */
  minFreeBytes?: number
}

interface CacheParts {
  layers: Layers
  records: Records
  files: FilePool
  caches: CacheMounts
  /** Whether something is built at this moment. */
  isBusy(): boolean
  /** Chains of images were let go of: nobody may need them any more. */
  onReleased(): void
}

/** Folders of clients that are kept, so that only what changed is sent again. */
export interface KeptFolders {
  list(): { id: string; folder: string; inUse: boolean; lastUsedAt: number }[]
  /** `false` where there is none of that id, or it is in use. */
  remove(id: string): boolean
}

export class BuildCache {
  readonly #parts: CacheParts
  #kept: KeptFolders | undefined
  #releasesLater = false

  constructor(parts: CacheParts) {
    this.#parts = parts
  }

  /** Count these too, from now on. */
  include(kept: KeptFolders): void {
    this.#kept = kept
  }

  async list(filters: Record<string, string[]> = {}): Promise<UsageRecord[]> {
    const { records, caches, files, layers } = this.#parts
    records.sweep()
    const all = await Promise.all([
      ...records.all().map(async record => {
        const own = record.layers.at(-1)
        record.size ??= own ? await files.run<number>({ job: 'usage', folder: layers.path(own) }) : 0
        return usageOf(record, records)
      }),
      ...caches.list().map(async mount => ({
        id: mount.name,
        parents: [],
        type: 'exec.cachemount',
        description: `cached mount ${mount.id}`,
        inUse: mount.inUse,
        shared: false,
        mutable: true,
        size: await files.run<number>({ job: 'usage', folder: mount.folder }),
        createdAt: mount.createdAt,
        lastUsedAt: mount.lastUsedAt,
        usageCount: mount.usageCount,
      })),
      ...(this.#kept?.list() ?? []).map(async ({ id, folder, inUse, lastUsedAt }) => ({
        id,
        parents: [],
        type: 'source.local',
        description: 'local source for context',
        inUse,
        shared: false,
        mutable: true,
        size: await files.run<number>({ job: 'usage', folder }),
        createdAt: lastUsedAt,
        lastUsedAt,
        usageCount: 1,
      })),
    ])
    return all.filter(record => fits(record, filters))
  }

  /** What went, least recently used first. What a running build uses stays. */
  async prune(options: PruneOptions = {}): Promise<UsageRecord[]> {
    const { records, caches, layers } = this.#parts
    const all = await this.list()
    const total = all.reduce((sum, record) => sum + record.size, 0)
    let excess = this.#excess(total, options)
    const now = Date.now()
    const removed: UsageRecord[] = []
    for (const record of all.sort((a, b) => a.lastUsedAt - b.lastUsedAt)) {
      if (excess <= 0) break
      if (record.inUse || !fits(record, options.filters ?? {})) continue
      if (options.keepDuration && now - record.lastUsedAt < options.keepDuration) continue
      const known = records.all().find(other => other.id === record.id)
      if (known) records.forget(known)
      else if (!this.#kept?.remove(record.id) && !caches.remove(record.id)) continue
      removed.push(record)
      excess -= record.size
    }
    // A layer goes with the last record that stands on it.
    const needed = records.layersNeeded()
    for (const layer of layers.list()) {
      if (!needed.has(layer) && removed.some(record => record.id === layer)) layers.remove(layer)
    }
    this.#releasesLater = true
    await this.settle()
    return removed
  }

  /** Bytes that have to go. */
  #excess(total: number, { keepBytes = 0, maxUsedBytes, minFreeBytes }: PruneOptions): number {
    const beyondKept = keepBytes > 0 ? total - keepBytes : Number.POSITIVE_INFINITY
    const wanted: number[] = []
    if (maxUsedBytes) wanted.push(total - maxUsedBytes)
    if (minFreeBytes) {
      const { bavail, bsize } = fs.statfsSync(this.#parts.layers.folder)
      wanted.push(minFreeBytes - bavail * bsize)
    }
    return wanted.length === 0 ? beyondKept : Math.min(beyondKept, Math.max(...wanted))
  }

  /** What a prune could not let go of while builds were running. */
  async settle(): Promise<void> {
    const { records, layers, isBusy, onReleased } = this.#parts
    if (!this.#releasesLater || isBusy()) return
    this.#releasesLater = false
    await layers.releaseBases(records.basesNeeded())
    onReleased()
  }
}

function usageOf(record: CacheRecord, records: Records): UsageRecord {
  const { id, parents, type, description, createdAt, lastUsedAt, usageCount, size = 0 } = record
  return {
    id,
    parents,
    type,
    description,
    inUse: records.isHeld(id),
    shared: false,
    mutable: false,
    size,
    createdAt,
    lastUsedAt,
    usageCount,
  }
}

function fits(record: UsageRecord, filters: Record<string, string[]>): boolean {
  return Object.entries(filters).every(([name, values]) => {
    switch (name) {
      case 'id':
        return values.some(value => record.id.startsWith(value))
      case 'parent':
      case 'parents':
        return values.some(value => record.parents.includes(value))
      case 'type':
        return values.includes(record.type)
      case 'description':
        return values.some(value => record.description.includes(value))
      case 'inuse':
        return record.inUse
      case 'shared':
        return record.shared
      case 'private':
        return !record.shared
      case 'mutable':
        return record.mutable
      case 'immutable':
        return !record.mutable
      case 'until':
      case 'unused-for':
        return values.every(value => Date.now() - record.lastUsedAt >= parseDuration(value) / 1e6)
      default:
        throw invalid(`invalid filter '${name}'`)
    }
  })
}
