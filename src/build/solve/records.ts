/**
 * The cache: which result belongs to which key, one JSON file a record, all of them in memory. A record appears after its
 * layer is complete; so what a crash leaves is at most a layer without record. What a power cut may have torn is not trusted:
 * a record counts after a reboot only if it is older than the last moment at which the disk was known to have everything.
 */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { bootId, readJson, sweepTemporary, writeJsonDurable } from '../../durable.ts'
import { hexOf } from '../../image/digest.ts'
import { syncFileSystem } from '../../linux/index.ts'
import type { ImageBase, Root } from './root.ts'

export type RecordType =
  | 'regular'
  | 'source.local'
  | 'source.git.checkout'
  | 'source.http'
  | 'exec.cachemount'

export interface CacheRecord {
  version: 1
  id: string
  key: string
  type: RecordType
  base?: ImageBase
  /** All layers of the result, lowest first; the last is this record's own unless it is shared. */
  layers: string[]
  /** Ids of the records that it was made from. */
  parents: string[]
  description: string
  /** Milliseconds since 1970. */
  createdAt: number
  /** When another engine made its layer, which was imported then. */
  madeAt?: number
  lastUsedAt: number
  usageCount: number
  /** Bytes of its own layer; absent until somebody asked. */
  size?: number
}

interface SyncMark {
  boot: string
  time: number
}

export class Records {
  readonly #folder: string
  readonly #mark: string
  readonly #exists: (layer: string) => boolean
  readonly #byKey = new Map<string, CacheRecord>()
  readonly #byId = new Map<string, CacheRecord>()
  readonly #inUse = new Map<string, number>()
  readonly #dirty = new Set<CacheRecord>()

  /** `exists` says whether a layer is there. */
  constructor(root: string, exists: (layer: string) => boolean) {
    this.#exists = exists
    this.#folder = path.join(root, 'records')
    this.#mark = path.join(root, 'synced.json')
    fs.mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
    sweepTemporary(this.#folder)
    const mark = readJson<SyncMark>(this.#mark)
    const boot = bootId()
    for (const name of fs.readdirSync(this.#folder)) {
      const record = this.#load(name)
      const torn = record && mark?.boot !== boot && record.createdAt > (mark?.time ?? 0)
      if (record && !torn && record.layers.every(exists)) this.#index(record)
      else fs.rmSync(path.join(this.#folder, name), { force: true })
    }
  }

  #load(name: string): CacheRecord | undefined {
    try {
      const record = readJson<CacheRecord>(path.join(this.#folder, name))
      return record?.version === 1 ? record : undefined
    } catch {
      return undefined // torn by a power cut
    }
  }

  #index(record: CacheRecord): void {
    this.#byKey.set(record.key, record)
    this.#byId.set(record.id, record)
  }

  all(): CacheRecord[] {
    return [...this.#byId.values()]
  }

  /** By its id, which is its own layer's too. */
  get(id: string): CacheRecord | undefined {
    return this.#byId.get(id)
  }

  /** Forget those whose files went with an image that they were shared with. */
  sweep(): void {
    for (const record of this.all()) if (!record.layers.every(this.#exists)) this.forget(record)
  }

  /** Not one whose files went with an image that they were shared with. */
  find(key: string): CacheRecord | undefined {
    const record = this.#byKey.get(key)
    if (!record || record.layers.every(this.#exists)) return record
    this.forget(record)
    return undefined
  }

  /** Count a use; written later, with {@link flush}. */
  touch(record: CacheRecord): void {
    record.lastUsedAt = Date.now()
    record.usageCount++
    this.#dirty.add(record)
  }

  add(record: CacheRecord): void {
    const before = this.#byKey.get(record.key)
    if (before && before.id !== record.id) this.forget(before)
    this.#write(record)
    this.#index(record)
  }

  #write(record: CacheRecord): void {
    writeJsonDurable(path.join(this.#folder, `${record.id}.json`), record, { sync: false })
  }

  /** Take the record away; its layer is the caller's. */
  forget(record: CacheRecord): void {
    fs.rmSync(path.join(this.#folder, `${record.id}.json`), { force: true })
    this.#byId.delete(record.id)
    this.#dirty.delete(record)
    if (this.#byKey.get(record.key) === record) this.#byKey.delete(record.key)
  }

  /** Keep what a running build uses from being pruned. */
  hold(id: string): () => void {
    this.#inUse.set(id, (this.#inUse.get(id) ?? 0) + 1)
    return () => {
      const left = (this.#inUse.get(id) ?? 1) - 1
      if (left === 0) this.#inUse.delete(id)
      else this.#inUse.set(id, left)
    }
  }

  isHeld(id: string): boolean {
    return this.#inUse.has(id)
  }

  /** Layers that some record needs. */
  layersNeeded(): Set<string> {
    return new Set(this.all().flatMap(record => record.layers))
  }

  basesNeeded(): Set<string> {
    return new Set(this.all().flatMap(record => (record.base?.chain ? [hexOf(record.base.chain)] : [])))
  }

  /** Write what uses changed, and bring everything so far to the disk, in the background. */
  async flush(): Promise<void> {
    const time = Date.now()
    for (const record of this.#dirty) if (this.#byId.has(record.id)) this.#write(record)
    this.#dirty.clear()
    try {
      await syncFileSystem(this.#folder)
      writeJsonDurable(this.#mark, { boot: bootId(), time } satisfies SyncMark)
    } catch {
      // The disk is full, or the folder gone: what came stays doubtful until a later sync.
    }
  }
}

export const rootOf = (record: CacheRecord): Root => ({
  key: record.key,
  base: record.base,
  layers: record.layers,
})
