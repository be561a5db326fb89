/** {@link Snapshots} without overlayfs: every folder holds its whole tree, copied. Slow and large, and works everywhere. */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { PassThrough, type Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { hasCode } from '../errors.ts'
import * as linux from '../linux/index.ts'
import { Chains } from './chains.ts'
import { type Job, startJob } from './confined/job.ts'
import type { ContentStore, Growing } from './content-store.ts'
import type { ChainId } from './digest.ts'
import type { CopyRequest } from './layer/copy-task.ts'
import type { DiffRequest, DiffResult } from './layer/diff-task.ts'
import type {
  Change,
  LayerBlob,
  ReadAhead,
  Snapshots,
  UnpackLimits,
  UnpackOptions,
  WritableSnapshot,
} from './snapshots.ts'
import type { Digest } from './types.ts'

export class VfsSnapshots implements Snapshots {
  readonly driver = 'vfs'
  readonly maxLayerBytes: number
  readonly #chains: Chains
  readonly #empty: string

  constructor(root: string, content: ContentStore, limits?: UnpackLimits) {
    const copyParent = copyTree
    this.#chains = new Chains(root, { content, whiteouts: 'plain', copyParent, ...(limits && { limits }) })
    this.maxLayerBytes = this.#chains.maxLayerBytes
    this.#empty = path.join(this.#chains.folder, 'empty')
    fs.mkdirSync(this.#empty, { recursive: true, mode: 0o755 })
  }

  readAhead(digest: Digest, growing: Growing): ReadAhead {
    return this.#chains.readAhead(digest, growing)
  }

  unpack(layers: readonly LayerBlob[], options?: UnpackOptions): Promise<ChainId | undefined> {
    return this.#chains.unpack(layers, options)
  }

  adopt(): undefined {
    return undefined
  }

  get doubtful(): ReadonlySet<ChainId> {
    return this.#chains.doubtful
  }

  forget(chain: ChainId): void {
    this.#chains.forget(chain)
  }

  has(chain: ChainId): boolean {
    return this.#chains.has(chain)
  }

  layerSize(chain: ChainId): number {
    return this.#chains.size(chain)
  }

  /** Copies the whole tree, the first time. */
  async prepare(folder: string, parent: ChainId | undefined): Promise<WritableSnapshot> {
    const upperdir = path.join(folder, 'fs')
    this.#chains.hold(folder, parent)
    if (!fs.existsSync(upperdir)) {
      const half = `${upperdir}.part`
      await fs.promises.rm(half, { recursive: true, force: true })
      fs.mkdirSync(half, { recursive: true, mode: 0o755 })
      await copyTree(this.#files(parent), half)
      fs.renameSync(half, upperdir)
    }
    return { folder, parent, lowerdirs: [], upperdir, workdir: '' }
  }

  #files(chain: ChainId | undefined): string {
    return chain === undefined ? this.#empty : this.#chains.files(chain)
  }

  mount(snapshot: WritableSnapshot, options: { readOnly?: boolean } = {}): number {
    const fd = linux.openTree(snapshot.upperdir)
    if (options.readOnly) linux.mountSetattr(fd, { set: linux.MOUNT_ATTR_RDONLY })
    return fd
  }

  async usage(snapshot: WritableSnapshot): Promise<{ rw: number; rootFs: number }> {
    const request: DiffRequest = { want: 'usage', style: 'plain' }
    const job = startJob('diff', snapshot.upperdir, request)
    const { size } = await job.result
    const below = this.#chains.stack(snapshot.parent).reduce((sum, chain) => sum + this.layerSize(chain), 0)
    return { rw: Math.max(0, size - below), rootFs: size }
  }

  async changes(snapshot: WritableSnapshot, signal?: AbortSignal): Promise<Change[]> {
    return this.#compare(snapshot, 'changes', signal, async job => (await job.result).changes)
  }

  diff(snapshot: WritableSnapshot, signal?: AbortSignal): Readable {
    const output = new PassThrough()
    const sent = this.#compare(snapshot, 'tar', signal, job => pipeline(job.output, output))
    sent.catch(error => output.destroy(error))
    return output
  }

  async #compare<T>(
    snapshot: WritableSnapshot,
    want: DiffRequest['want'],
    signal: AbortSignal | undefined,
    use: (job: Job<DiffResult>) => Promise<T>,
  ): Promise<T> {
    const below = this.#files(snapshot.parent)
    const lower = fs.openSync(below, linux.O_PATH)
    try {
      const request: DiffRequest = { want, style: 'plain', lower, lowerPaths: await allPaths(below) }
      const job = startJob('diff', snapshot.upperdir, request, { signal })
      return await use(job)
    } finally {
      fs.closeSync(lower)
    }
  }

  graphDriverData(): Record<string, string> {
    return {}
  }

  async release(folder: string): Promise<void> {
    this.#chains.release(folder)
    await fs.promises.rm(path.join(folder, 'fs'), { recursive: true, force: true })
  }

  isHeld(chain: ChainId): boolean {
    return this.#chains.isHeld(chain)
  }

  collect(keep: Iterable<ChainId>): { removed: ChainId[]; bytes: number } {
    return this.#chains.collect(keep)
  }

  settled(): Promise<void> {
    return this.#chains.settled()
  }
}

/** Copy a tree that nobody changes meanwhile, with everything that an archive can hold: it goes through one. */
async function copyTree(from: string, to: string, signal?: AbortSignal): Promise<void> {
  const request: CopyRequest = { umask: process.umask(), whiteouts: 'plain' }
  const source = startJob('export', from, { path: '/', name: '' }, { signal })
  const target = startJob('copy', to, request, { signal })
  try {
    for await (const chunk of source.output) await target.write(chunk as Buffer)
    target.end()
    await target.result
  } catch (error) {
    source.cancel(error)
    target.cancel(error)
    await target.ended
    throw error
  }
}

/** Every path below `folder`, absolute from it, parents first. An unpacked layer holds no surprises for a plain walk. */
async function allPaths(folder: string): Promise<string[]> {
  const found: string[] = []
  const visit = async (relative: string): Promise<void> => {
    for (const each of await fs.promises.readdir(path.join(folder, relative), { withFileTypes: true })) {
      const name = `${relative}/${each.name}`
      found.push(name)
      if (each.isDirectory()) await visit(name)
    }
  }
  await visit('').catch(error => {
    if (!hasCode(error, 'ENOENT')) throw error
  })
  return found
}
