/**
 * The folders of unpacked layers, one for each chain, shared by both drivers:
 *
 *     <root>/snapshots/<hex of the chain ID>/fs           the files
 *     <root>/snapshots/<hex of the chain ID>/layer.json   what they are
 *     <root>/snapshots/.tmp-…                             on the way in or out; swept at start
 *     <root>/snapshots.synced                             which of them a power cut leaves whole: {@link SyncMark}
 */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { readJson, sweepTemporary, temporaryPath, writeJsonDurable } from '../durable.ts'
import { invalid, notFound } from '../errors.ts'
import * as linux from '../linux/index.ts'
import { type Job, type JobOptions, startJob } from './confined/job.ts'
import type { ContentStore, Growing } from './content-store.ts'
import { type ChainId, chainIds, hexOf } from './digest.ts'
import type { WhiteoutStyle } from './layer/apply.ts'
import type { ApplyRequest, ApplyResult } from './layer/apply-task.ts'
import { Semaphore } from './semaphore.ts'
import {
  type LayerBlob,
  MAX_LAYER_BYTES,
  type ReadAhead,
  type UnpackLimits,
  type UnpackOptions,
} from './snapshots.ts'
import { type Stamp, SyncMark } from './sync-mark.ts'
import type { Digest } from './types.ts'

/** `layer.json` */
interface ChainRecord {
  chain: ChainId
  parent?: ChainId
  diffId: Digest
  /** Bytes in this layer's files. */
  size: number
  stamp?: Stamp
}

/** A layer that is being, or has been, unpacked into a folder that nobody sees yet. */
interface Unpacked {
  folder: string
  diffId: Digest
  size: number
}

interface Unpacking {
  job: Job<ApplyResult>
  unpacked: Promise<Unpacked>
}

/** A layer that is unpacked while it arrives: from the moment on when there is a core for it. */
interface Ahead {
  growing: Growing
  unpacking: Unpacking | undefined
}

/** The chain below the one that is being made, and when it is there. */
interface Below {
  chain: ChainId | undefined
  done: Promise<void> | undefined
}

export interface ChainsOptions {
  content: ContentStore
  whiteouts: WhiteoutStyle
  /** Fill the new folder with the layers below first (vfs). Such layers are unpacked one after another. */
  copyParent?: (from: string, to: string, signal?: AbortSignal) => Promise<void>
  limits?: UnpackLimits
}

/** Layers that are unpacked at once, of one image and of what arrives: each keeps a core busy. */
const PARALLEL = 3

export class Chains {
  readonly folder: string
  readonly maxLayerBytes: number
  readonly #options: ChainsOptions
  readonly #mark: SyncMark
  readonly #known = new Map<ChainId, ChainRecord>()
  readonly #doubtful = new Set<ChainId>()
  readonly #ahead = new Map<Digest, Ahead>()
  /** Of {@link #ahead}, those that are being unpacked. */
  #reading = 0
  readonly #underWay = new Map<ChainId, Promise<void>>()
  /** The chains of images that are being unpacked: those that are finished have no image yet. */
  readonly #wanted = new Set<readonly ChainId[]>()
  /** Writable snapshot's folder to the chain it stands on. */
  readonly #holds = new Map<string, ChainId>()
  #removing: Promise<unknown> = Promise.resolve()

  constructor(root: string, options: ChainsOptions) {
    this.folder = path.join(root, 'snapshots')
    this.#options = options
    this.maxLayerBytes = options.limits?.layerBytes ?? MAX_LAYER_BYTES
    fs.mkdirSync(this.folder, { recursive: true, mode: 0o700 })
    linux.spreadFolders(this.folder)
    sweepTemporary(this.folder)
    this.#mark = new SyncMark(`${this.folder}.synced`)
    for (const name of fs.readdirSync(this.folder)) this.#takeUp(name)
  }

  /** A folder that an earlier life left. */
  #takeUp(name: string): void {
    try {
      const record = readJson<ChainRecord>(path.join(this.folder, name, 'layer.json'))
      if (record === undefined) return
      this.#known.set(record.chain, record)
      if (record.stamp !== undefined && this.#mark.isDoubtful(record.stamp)) this.#doubtful.add(record.chain)
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error
      // A power cut came before the file was on the disk.
      const chain: ChainId = `sha256:${name}`
      this.#doubtful.add(chain)
      this.forget(chain)
    }
  }

  has(chain: ChainId): boolean {
    return this.#known.has(chain)
  }

  /** Those of which a power cut may have taken files, as found at start. */
  get doubtful(): ReadonlySet<ChainId> {
    return this.#doubtful
  }

  /** So that {@link unpack} makes it again. Nothing may stand on it. */
  forget(chain: ChainId): void {
    this.#known.delete(chain)
    const away = temporaryPath(this.folder)
    fs.renameSync(path.join(this.folder, hexOf(chain)), away)
    this.#remove(away)
  }

  /** The files of one chain's topmost layer (vfs: of all its layers). */
  files(chain: ChainId): string {
    return path.join(this.folder, hexOf(chain), 'fs')
  }

  size(chain: ChainId): number {
    return this.#known.get(chain)?.size ?? 0
  }

  /**
   * The chain and those below it, topmost first.
   * @throws GantryError `notFound` where one is not unpacked.
   */
  stack(chain: ChainId | undefined): ChainId[] {
    const stack: ChainId[] = []
    for (let next = chain; next !== undefined; ) {
      const record = this.#known.get(next)
      if (record === undefined) throw notFound(`layer ${next} is not unpacked`)
      stack.push(next)
      next = record.parent
    }
    return stack
  }

  hold(folder: string, chain: ChainId | undefined): void {
    if (chain !== undefined) this.#holds.set(folder, chain)
  }

  release(folder: string): void {
    this.#holds.delete(folder)
  }

  readAhead(digest: Digest, growing: Growing): ReadAhead {
    const isUseful = this.#options.copyParent === undefined && !this.#ahead.has(digest)
    if (!isUseful) return { drop: () => {} }
    const ahead: Ahead = { growing, unpacking: undefined }
    this.#ahead.set(digest, ahead)
    this.#beginAhead()
    return {
      drop: () => {
        if (this.#ahead.get(digest) !== ahead) return
        this.#ahead.delete(digest)
        if (ahead.unpacking !== undefined) void this.#drop(ahead.unpacking)
      },
    }
  }

  /** Unpack what arrives, or has arrived, as far as there are cores. */
  #beginAhead(): void {
    for (const [digest, ahead] of this.#ahead) {
      if (this.#reading >= PARALLEL) return
      if (ahead.unpacking !== undefined) continue
      const { content } = this.#options
      const isWhole = content.has(digest)
      const file = isWhole ? content.path(digest) : ahead.growing.path
      if (!fs.existsSync(file)) continue // it was given up
      const progress = isWhole ? undefined : ahead.growing.progress
      const unpacking = this.#start(digest, file, this.#newFolder(), {}, progress)
      ahead.unpacking = unpacking
      this.#reading++
      unpacking.unpacked.catch(() => {
        if (this.#ahead.get(digest) === ahead) this.#ahead.delete(digest)
      })
      void unpacking.job.ended.then(() => {
        this.#reading--
        this.#beginAhead()
      })
    }
  }

  async #drop({ job, unpacked }: Unpacking): Promise<void> {
    job.cancel()
    await job.ended
    const done = await unpacked.catch(() => undefined)
    if (done !== undefined) this.#remove(done.folder)
  }

  async unpack(layers: readonly LayerBlob[], options: UnpackOptions = {}): Promise<ChainId | undefined> {
    const chain = chainIds(layers.map(layer => layer.diffId))
    const slots = new Semaphore(this.#options.copyParent === undefined ? PARALLEL : 1)
    const work: Promise<void>[] = []
    this.#wanted.add(chain)
    try {
      for (const [i, id] of chain.entries()) {
        const below = { chain: chain[i - 1], done: work[i - 1] }
        work.push(this.#once(id, below, layers[i]!, slots, options))
      }
      const failed = (await Promise.allSettled(work)).find(result => result.status === 'rejected')
      if (failed !== undefined) throw failed.reason
      return chain.at(-1)
    } finally {
      this.#wanted.delete(chain)
    }
  }

  /** Two that want the same chain share the work. If it fails for the first (it hung up), the next tries by itself. */
  async #once(
    chain: ChainId,
    below: Below,
    layer: LayerBlob,
    slots: Semaphore,
    options: UnpackOptions,
  ): Promise<void> {
    for (let other = this.#underWay.get(chain); other !== undefined; other = this.#underWay.get(chain)) {
      await other.catch(() => {})
    }
    if (this.#known.has(chain)) return options.onUnpacked?.(layer)
    const work = this.#make(chain, below, layer, slots, options)
    this.#underWay.set(chain, work)
    try {
      await work
    } finally {
      this.#underWay.delete(chain)
    }
    options.onUnpacked?.(layer)
  }

  async #make(
    chain: ChainId,
    below: Below,
    layer: LayerBlob,
    slots: Semaphore,
    options: UnpackOptions,
  ): Promise<void> {
    const parent = below.chain
    const unpacked = await slots.run(async () => {
      if (this.#options.copyParent !== undefined) await below.done
      return this.#unpackedLayer(layer, parent, options)
    })
    try {
      if (unpacked.diffId !== layer.diffId) {
        throw invalid(`layer ${layer.digest} unpacks to ${unpacked.diffId}, the image says ${layer.diffId}`)
      }
      await below.done
      const { diffId, size } = unpacked
      const stamp = this.#mark.stamp()
      const record: ChainRecord = { chain, ...(parent === undefined ? {} : { parent }), diffId, size, stamp }
      writeJsonDurable(path.join(unpacked.folder, 'layer.json'), record, { sync: false })
      fs.renameSync(unpacked.folder, path.join(this.folder, hexOf(chain)))
      this.#known.set(chain, record)
    } catch (error) {
      this.#remove(unpacked.folder)
      throw error
    }
  }

  /** From what was read ahead, or from the blob. */
  async #unpackedLayer(
    layer: LayerBlob,
    parent: ChainId | undefined,
    options: UnpackOptions,
  ): Promise<Unpacked> {
    const ahead = this.#ahead.get(layer.digest)
    this.#ahead.delete(layer.digest)
    if (ahead?.unpacking !== undefined) {
      const done = await ahead.unpacking.unpacked.catch(() => undefined)
      if (done !== undefined) return done
    }
    const { content, copyParent } = this.#options
    if (!content.has(layer.digest)) throw notFound(`content ${layer.digest}: not found`)
    const folder = this.#newFolder()
    if (copyParent !== undefined && parent !== undefined) {
      await copyParent(this.files(parent), path.join(folder, 'fs'), options.signal).catch(
        (error: unknown) => {
          this.#remove(folder)
          throw error
        },
      )
    }
    const onProgress = (bytes: number) => options.onProgress?.(layer, bytes)
    const { signal } = options
    return this.#start(layer.digest, content.path(layer.digest), folder, { signal, onProgress }).unpacked
  }

  /**
   * Take over the files of a layer that was made here, so that it need not be unpacked: `files` is moved to where the chain's files
   * are. `false`, and nothing moved, where the chain is there already.
   */
  adopt(
    files: string,
    layer: { chain: ChainId; parent: ChainId | undefined; diffId: Digest; size: number },
  ): boolean {
    const { chain, parent, diffId, size } = layer
    if (this.#known.has(chain) || this.#underWay.has(chain)) return false
    const folder = temporaryPath(this.folder)
    const stamp = this.#mark.stamp()
    const record: ChainRecord = { chain, ...(parent === undefined ? {} : { parent }), diffId, size, stamp }
    fs.mkdirSync(folder, { mode: 0o700 })
    fs.renameSync(files, path.join(folder, 'fs'))
    writeJsonDurable(path.join(folder, 'layer.json'), record, { sync: false })
    fs.renameSync(folder, path.join(this.folder, hexOf(chain)))
    this.#known.set(chain, record)
    return true
  }

  #newFolder(): string {
    const folder = temporaryPath(this.folder)
    fs.mkdirSync(path.join(folder, 'fs'), { recursive: true, mode: 0o755 })
    return folder
  }

  /** Unpack `blob` into `folder`/fs. */
  #start(
    digest: Digest,
    blob: string,
    folder: string,
    options: JobOptions,
    growing?: Growing['progress'],
  ): Unpacking {
    const { whiteouts } = this.#options
    const fd = fs.openSync(blob, 'r')
    const request: ApplyRequest = {
      fd,
      ...(growing === undefined ? {} : { growing }),
      whiteouts,
      umask: process.umask(),
      maxBytes: this.maxLayerBytes,
    }
    const files = path.join(folder, 'fs')
    const job = startJob('apply', files, request, options)
    void job.ended.then(() => fs.closeSync(fd))
    return { job, unpacked: this.#finished(job, folder, digest) }
  }

  async #finished(job: Job<ApplyResult>, folder: string, digest: Digest): Promise<Unpacked> {
    try {
      const { diffId = digest, size } = await job.result
      return { folder, diffId, size }
    } catch (error) {
      await job.ended
      this.#remove(folder)
      throw error
    }
  }

  collect(keep: Iterable<ChainId>): { removed: ChainId[]; bytes: number } {
    const needed = new Set<ChainId>()
    const need = (chain: ChainId) => {
      for (let next: ChainId | undefined = chain; next !== undefined && !needed.has(next); ) {
        needed.add(next)
        next = this.#known.get(next)?.parent
      }
    }
    for (const chain of keep) need(chain)
    for (const chain of this.#holds.values()) need(chain)
    for (const wanted of this.#wanted) for (const chain of wanted) need(chain)
    const gone = [...this.#known.values()].filter(record => !needed.has(record.chain))
    gone.sort((a, b) => this.stack(b.chain).length - this.stack(a.chain).length)
    let bytes = 0
    for (const { chain, size } of gone) {
      bytes += size
      this.forget(chain)
    }
    return { removed: gone.map(record => record.chain), bytes }
  }

  isHeld(chain: ChainId): boolean {
    return [...this.#holds.values()].some(held => this.stack(held).includes(chain))
  }

  #remove(folder: string): void {
    const removal = fs.promises.rm(folder, { recursive: true, force: true }).catch(() => {})
    this.#removing = Promise.all([this.#removing, removal])
  }

  /** Resolves when nothing is being removed in the background. */
  async settled(): Promise<void> {
    await this.#removing
  }
}
