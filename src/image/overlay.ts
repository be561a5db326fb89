/**
 * {@link Snapshots} with overlayfs. A container's mount is never attached on the host: it is a detached mount that lives
 * as long as someone holds its fd or runs in it, so that nothing stray can stay behind.
 */
import * as fs from 'node:fs'
import * as path from 'node:path'
import type { Readable } from 'node:stream'
import * as linux from '../linux/index.ts'
import { Chains } from './chains.ts'
import { startJob } from './confined/job.ts'
import type { ContentStore, Growing } from './content-store.ts'
import type { ChainId } from './digest.ts'
import type { ReplacedFolder } from './layer/diff.ts'
import type { DiffRequest } from './layer/diff-task.ts'
import type {
  Change,
  LayerBlob,
  MountOptions,
  ReadAhead,
  Snapshots,
  UnpackLimits,
  UnpackOptions,
  WritableSnapshot,
} from './snapshots.ts'
import type { Digest } from './types.ts'

/** A layer from outside must not redirect a path, nor borrow the content of another file. */
const TRUST_NO_LAYER = ['index=off', 'metacopy=off', 'redirect_dir=nofollow']

export class OverlaySnapshots implements Snapshots {
  readonly driver = 'overlay2'
  readonly maxLayerBytes: number
  readonly #chains: Chains
  /** Overlay wants at least one layer below; an image may have none. */
  readonly #empty: string

  constructor(root: string, content: ContentStore, limits?: UnpackLimits) {
    this.#chains = new Chains(root, { content, whiteouts: 'overlay', ...(limits && { limits }) })
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

  adopt(...layer: Parameters<Snapshots['adopt']>): string | undefined {
    return this.#chains.adopt(...layer) ? this.#chains.files(layer[1].chain) : undefined
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

  async prepare(folder: string, parent: ChainId | undefined): Promise<WritableSnapshot> {
    const lowerdirs = this.#lowerdirs(parent)
    const snapshot = { folder, parent, lowerdirs, ...writableFolders(folder) }
    makeFolder(snapshot.upperdir, 0o755)
    makeFolder(snapshot.workdir, 0o700)
    this.#chains.hold(folder, parent)
    return snapshot
  }

  #lowerdirs(chain: ChainId | undefined): string[] {
    return this.#chains.stack(chain).map(each => this.#chains.files(each))
  }

  mount(snapshot: WritableSnapshot, options: MountOptions = {}): number {
    const { lowerdirs, upperdir, workdir } = snapshot
    if (options.readOnly) return this.#mount([upperdir, ...lowerdirs])
    return this.#mount(lowerdirs, { upperdir, workdir }, options.volatile)
  }

  /** Two layers at least, since overlay refuses a single one that cannot be written. */
  #mount(
    lowerdirs: readonly string[],
    writable?: { upperdir: string; workdir: string },
    isVolatile = false,
  ): number {
    const missing = Math.max(0, (writable === undefined ? 2 : 1) - lowerdirs.length)
    const layers = [...lowerdirs, ...[this.#empty, `${this.#empty}/.`].slice(0, missing)]
    const options = isVolatile && linux.knowsVolatile() ? [...TRUST_NO_LAYER, 'volatile'] : TRUST_NO_LAYER
    return linux.mountOverlay({ ...writable, lowerdirs: layers, options })
  }

  async usage(snapshot: WritableSnapshot): Promise<{ rw: number; rootFs: number }> {
    const { size: rw } = await this.#inspect(snapshot, 'usage').result
    const below = this.#chains.stack(snapshot.parent).reduce((sum, chain) => sum + this.layerSize(chain), 0)
    return { rw, rootFs: rw + below }
  }

  async changes(snapshot: WritableSnapshot, signal?: AbortSignal): Promise<Change[]> {
    const lower = this.#mount(snapshot.lowerdirs)
    try {
      const { changes, replaced } = await this.#inspect(snapshot, 'changes', { lower, signal }).result
      return withLost(changes, replaced, lower)
    } finally {
      fs.closeSync(lower)
    }
  }

  diff(snapshot: WritableSnapshot, signal?: AbortSignal): Readable {
    return this.#inspect(snapshot, 'tar', { signal }).output
  }

  #inspect(
    snapshot: WritableSnapshot,
    want: DiffRequest['want'],
    options: { lower?: number; signal?: AbortSignal | undefined } = {},
  ) {
    const request: DiffRequest = { want, style: 'overlay', lower: options.lower }
    return startJob('diff', snapshot.upperdir, request, options)
  }

  graphDriverData(of: WritableSnapshot | ChainId | undefined): Record<string, string> {
    if (of === undefined) return {}
    if (typeof of !== 'string') {
      const { lowerdirs, upperdir, workdir, folder } = of
      const merged = path.join(folder, 'merged')
      return {
        LowerDir: lowerdirs.join(':'),
        MergedDir: merged,
        UpperDir: upperdir,
        WorkDir: workdir,
      }
    }
    if (!this.has(of)) return {}
    const [top, ...below] = this.#lowerdirs(of)
    const folder = path.dirname(top!)
    return {
      ...(below.length > 0 && { LowerDir: below.join(':') }),
      MergedDir: path.join(folder, 'merged'),
      UpperDir: top!,
      WorkDir: path.join(folder, 'work'),
    }
  }

  async release(folder: string): Promise<void> {
    this.#chains.release(folder)
    if (!fs.existsSync(folder)) return // thrown away with what it was in
    const { upperdir, workdir } = writableFolders(folder)
    const options = { recursive: true, force: true }
    await Promise.all([upperdir, workdir].map(each => fs.promises.rm(each, options)))
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

/** Add what replaced folders lost. A thread that sees only the upper folder cannot list those below. */
function withLost(changes: Change[], replaced: readonly ReplacedFolder[], lower: number): Change[] {
  if (replaced.length === 0) return changes
  const kinds = new Map(changes.map(({ path, kind }) => [path, kind]))
  for (const { path: folder, kept } of replaced) {
    const flags = fs.constants.O_RDONLY | fs.constants.O_DIRECTORY
    const fd = linux.openat2(lower, folder, { flags, resolve: linux.RESOLVE_IN_ROOT })
    try {
      const lost = fs.readdirSync(`/proc/self/fd/${fd}`).filter(name => !kept.includes(name))
      for (const name of lost) kinds.set(`${folder}/${name}`, 2)
      if (lost.length === 0) continue
      for (let each = folder; each !== '/'; each = path.dirname(each))
        if (!kinds.has(each)) kinds.set(each, 0)
    } finally {
      fs.closeSync(fd)
    }
  }
  return [...kinds].map(([path, kind]) => ({ path, kind })).sort((a, b) => (a.path < b.path ? -1 : 1))
}

function writableFolders(folder: string): { upperdir: string; workdir: string } {
  return { upperdir: path.join(folder, 'upper'), workdir: path.join(folder, 'work') }
}

function makeFolder(folder: string, mode: number): void {
  if (!fs.existsSync(folder)) fs.mkdirSync(folder, { recursive: true, mode })
}
