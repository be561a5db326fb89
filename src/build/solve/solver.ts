/**
 * Solves a plan: every vertex once, inputs first, independent ones side by side, and none whose result is known by its content.
 *
 * A vertex's key is made from its operation and from what its inputs *are*, not from where they came: a copy's from the digest of
 * what it takes, a command's from the key of its root. So a context that was touched and not changed leads to the same keys.
 */
import * as fs from 'node:fs'
import type { Digest } from '../../image/types.ts'
import { KeyedMutex } from '../../mutex.ts'
import { canonical, type Operation } from '../plan/ops.ts'
import type { CacheMounts } from './cache-mounts.ts'
import { contentsOf, type Selection } from './checksum.ts'
import type { FilePool } from './file-pool.ts'
import type { Layers } from './layers.ts'
import type { Records } from './records.ts'
import { type ImageBase, isRoot, type Solved } from './root.ts'
import { Semaphore } from './semaphore.ts'
import type { BuildSession } from './session.ts'
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

export class Solver {
  readonly options: SolverOptions
  readonly locks = new KeyedMutex()
  readonly slots: Semaphore
  /** Digests of selections from roots, which never change. */
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
    const { files, layers } = this.options
    if (!isRoot(source)) {
      const fd = fs.openSync(source.local.path, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY)
      try {
        const { path, contents } = source.local
        const known = contents && { contents: contentsOf(contents, selections) }
        return await files.run({ job: 'digest', rootFd: fd, selections, ...known }, path)
      } finally {
        fs.closeSync(fd)
      }
    }
    const keys = selections.map(selection => `${source.key} ${canonical(selection)}`)
    if (keys.every(key => this.#selections.has(key))) return keys.map(key => this.#selections.get(key))
    const fd = await layers.mount(source)
    try {
      const digests = await files.run<(string | undefined)[]>({ job: 'digest', rootFd: fd, selections })
      for (const [index, key] of keys.entries()) this.#selections.set(key, digests[index])
      return digests
    } finally {
      fs.closeSync(fd)
    }
  }
}
