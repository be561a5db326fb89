/**
 * Solves a plan: every vertex once, inputs first, independent ones side by side, and none whose result is known by its content.
 *
 * A vertex's key is made from its operation and from what its inputs *are*, not from where they came: a copy's from the digest of
 * what it takes, a command's from the key of its root. So a context that was touched and not changed leads to the same keys.
 */
import * as fs from 'node:fs'
import { Semaphore } from '../../image/semaphore.ts'
import type { Digest } from '../../image/types.ts'
import { KeyedMutex } from '../../mutex.ts'
import { canonical, type Operation } from '../plan/ops.ts'
import type { CacheMounts } from './cache-mounts.ts'
import type { Selection } from './checksum.ts'
import type { FilePool } from './file-pool.ts'
import type { Layers } from './layers.ts'
import type { Records } from './records.ts'
import { type ImageBase, isRoot, type Solved } from './root.ts'

import type { BuildSession, LocalFolder } from './session.ts'
import { Solving } from './solving.ts'
import type { StepExecutor } from './step.ts'

/** What fetches things from elsewhere; each answers with a root. */
export interface Sources {
  image(op: Extract<Operation, { kind: 'image' }>, session: BuildSession, vertex: Digest): Promise<ImageBase>
  /** `folder` is filled; the answer names the content. */
  git(op: Extract<Operation, { kind: 'git' }>, session: BuildSession): Promise<Fetched>
  http(op: Extract<Operation, { kind: 'http' }>, session: BuildSession): Promise<Fetched>
}

export interface Fetched {
  key: string
  /** Fill this folder, where the content is not known yet. */
  fill(folder: string): Promise<void>
  /** Let go of what was fetched. */
  discard?(): void
}

export interface SolverOptions {
  layers: Layers
  records: Records
  files: FilePool
  executor: StepExecutor
  sources: Sources
  caches: CacheMounts
  /** Vertices that may work at once. */
  parallelism: number
}

/** Digests of selections that are kept in memory. */
const MAX_REMEMBERED = 10_000

export class Solver {
  readonly options: SolverOptions
  readonly locks = new KeyedMutex()
  readonly slots: Semaphore
  /** Digests of selections from what never changes: roots, and folders of which a version is known. */
  readonly #selections = new Map<string, string | undefined>()

  constructor(options: SolverOptions) {
    this.options = options
    this.slots = new Semaphore(options.parallelism)
  }

  /** Begin to solve for one build. */
  begin(session: BuildSession): Solving {
    return new Solving(this, session)
  }

  /** Digests of what is selected from `source`; `undefined` for nothing. */
  async selectionDigests(source: Solved, selections: Selection[]): Promise<(string | undefined)[]> {
    if (!isRoot(source)) return Promise.all(selections.map(each => this.#localDigest(source.local, each)))
    // Of the very layers: the same step may have come to something else when it was made anew.
    const place = source.layers.length > 0 ? source.layers.join() : source.key
    const keys = selections.map(selection => `${place} ${canonical(selection)}`)
    if (keys.every(key => this.#selections.has(key))) return keys.map(key => this.#selections.get(key))
    const { files, layers } = this.options
    const fd = await layers.mount(source)
    try {
      const digests = await files.run<(string | undefined)[]>({ job: 'digest', rootFd: fd, selections })
      for (const [index, key] of keys.entries()) this.#remember(key, digests[index])
      return digests
    } finally {
      fs.closeSync(fd)
    }
  }

  async #localDigest(local: LocalFolder, selection: Selection): Promise<string | undefined> {
    const listing = local.contents?.listing
    const key = `${listing?.version} ${canonical(selection)}`
    if (listing && this.#selections.has(key)) return this.#selections.get(key)
    const digest = listing?.tells(selection)
      ? await listing.digest(selection)
      : await this.#askFiles(local, selection)
    if (listing) this.#remember(key, digest)
    return digest
  }

  async #askFiles({ path, contents }: LocalFolder, selection: Selection): Promise<string | undefined> {
    const fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY)
    try {
      const { listing, isPlain = false } = contents ?? {}
      const known = { sums: listing?.sums(selection) ?? new Map(), isPlain }
      const job = { job: 'digest' as const, rootFd: fd, selections: [selection], known }
      const [digest] = await this.options.files.run<(string | undefined)[]>(job, path)
      return digest
    } finally {
      fs.closeSync(fd)
    }
  }

  #remember(key: string, digest: string | undefined): void {
    if (this.#selections.size >= MAX_REMEMBERED) this.#selections.clear()
    this.#selections.set(key, digest)
  }
}
