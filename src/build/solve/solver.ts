/**
 * Solves a plan: every vertex once, inputs first, independent ones side by side, and none whose result is known by its content.
 *
 * A vertex's key is made from its operation and from what its inputs *are*, not from where they came: a copy's from the digest of
 * what it takes, a command's from the key of its root. So a context that was touched and not changed leads to the same keys.
 */
import { createHash, randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import { notFound } from '../../errors.ts'
import type { Digest } from '../../image/types.ts'
import { KeyedMutex } from '../../mutex.ts'
import type { ImportedStep } from '../cache/imported.ts'
import type { Trace, TraceInput } from '../cache/trace.ts'
import {
  canonical,
  type ExecOp,
  type FileOp,
  type LocalOp,
  type Operation,
  type Vertex,
} from '../plan/ops.ts'
import type { CacheMounts } from './cache-mounts.ts'
import { contentsOf, type Selection } from './checksum.ts'
import { noteFailure } from './failures.ts'
import type { FilePool } from './file-pool.ts'
import type { Layers } from './layers.ts'
import { type CacheRecord, type Records, rootOf } from './records.ts'
import { EMPTY_ROOT, type ImageBase, type Root } from './root.ts'
import { runStep } from './run-step.ts'
import { Semaphore } from './semaphore.ts'
import type { BuildSession, LocalFolder } from './session.ts'
import type { StepExecutor } from './step.ts'
import { Watch } from './watch.ts'

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

/** What a vertex came to: a root of layers, or a folder of the client's, which is only read. */
export type Solved = Root | { key: string; local: LocalFolder }

export const isRoot = (solved: Solved): solved is Root => 'layers' in solved

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

/** A step's result that is looked for, and how it is made where it is not found. */
interface Wanted {
  vertex: Vertex
  key: string
  type: CacheRecord['type']
  inputs: Solved[]
  traced: TraceInput[]
  /** What the new layer goes upon. */
  below: Root
  work: (upperdir: string, mountFd: number) => Promise<void>
}

/** One build's walk over the graph. */
export class Solving {
  readonly session: BuildSession
  /** What this build's steps were made from, by their keys. */
  readonly traces = new Map<string, Trace>()
  readonly #solver: Solver
  readonly #results = new Map<Digest, Promise<Solved>>()
  readonly #releases: (() => void)[] = []
  /** Results that are known by their keys and not here yet. */
  readonly #deferred = new Map<string, Root>()
  /** What each local folder has to bring, over all its users. */
  readonly #paths = new Map<Digest, string[] | undefined>()

  constructor(solver: Solver, session: BuildSession) {
    this.#solver = solver
    this.session = session
  }

  /** Say which vertices will be asked for, so that folders are fetched once with all that is needed of them. */
  announce(vertices: readonly Vertex[]): void {
    for (const vertex of vertices) {
      this.session.onProgress({
        type: 'vertex',
        digest: vertex.digest,
        inputs: vertex.inputs.map(input => input.digest),
        name: vertex.name,
      })
      for (const [index, input] of vertex.inputs.entries()) {
        if (input.op.kind !== 'local') continue
        const wanted = pathsWanted(vertex.op, index)
        const before = this.#paths.has(input.digest) ? this.#paths.get(input.digest) : []
        this.#paths.set(input.digest, before && wanted ? [...before, ...wanted] : undefined)
      }
    }
  }

  solve(vertex: Vertex): Promise<Solved> {
    const known = this.#results.get(vertex.digest)
    if (known) return known
    const result = this.#solve(vertex)
    this.#results.set(vertex.digest, result)
    return result
  }

  /** The root that a vertex leads to; a folder of the client's becomes a layer. */
  async root(vertex: Vertex | undefined): Promise<Root> {
    if (!vertex) return EMPTY_ROOT
    const solved = await this.solve(vertex)
    return isRoot(solved) ? solved : this.#import(vertex, solved.local)
  }

  /** What the build used may be pruned from now on. */
  release(): void {
    for (const release of this.#releases.splice(0)) release()
  }

  async #solve(vertex: Vertex): Promise<Solved> {
    this.session.signal.throwIfAborted()
    const settled = await Promise.allSettled(vertex.inputs.map(input => this.solve(input)))
    const inputs = settled.map(one => {
      if (one.status === 'rejected') throw one.reason
      return one.value
    })
    this.session.signal.throwIfAborted()
    const watch = new Watch(vertex, this.session)
    try {
      const result = await this.#perform(vertex, inputs, watch)
      watch.done()
      return result
    } catch (error) {
      noteFailure(error, vertex)
      watch.failed(error)
      throw error
    }
  }

  async #perform(vertex: Vertex, inputs: Solved[], watch: Watch): Promise<Solved> {
    const { op } = vertex
    const { sources } = this.#solver.options
    switch (op.kind) {
      case 'image': {
        watch.start()
        const base = await sources.image(op, this.session, vertex.digest)
        watch.cached = true
        return { key: `image ${base.chain ?? 'empty'}`, base, layers: [] }
      }
      case 'local':
        watch.start()
        return this.#local(vertex, op, watch)
      case 'git':
      case 'http': {
        watch.start()
        const fetched =
          op.kind === 'git' ? await sources.git(op, this.session) : await sources.http(op, this.session)
        const type = op.kind === 'git' ? 'source.git.checkout' : 'source.http'
        try {
          const { key } = fetched
          const work = (folder: string) => fetched.fill(folder)
          const wanted: Wanted = { vertex, key, type, inputs: [], traced: [], below: EMPTY_ROOT, work }
          return await this.#cached(wanted, watch)
        } finally {
          fetched.discard?.()
        }
      }
      case 'exec':
        return this.#exec(vertex, op, inputs, watch)
      case 'file':
        return this.#file(vertex, op, inputs, watch)
      default:
        watch.start()
        return this.#combine(op.kind, inputs as Root[])
    }
  }

  async #local(vertex: Vertex, op: LocalOp, watch: Watch): Promise<Solved> {
    const paths = this.#paths.get(vertex.digest)
    const local = await this.session.local({
      name: op.name,
      exclude: op.exclude,
      ...(paths && { paths: [...new Set(paths)] }),
      signal: this.session.signal,
      onProgress: (bytes, files) => watch.status('transferring context:', bytes, files),
    })
    this.#releases.push(() => local.release())
    watch.finishStatus()
    return { key: `local ${randomBytes(16).toString('hex')}`, local }
  }

  #import(vertex: Vertex, local: LocalFolder): Promise<Root> {
    const op: FileOp = { kind: 'file', root: undefined, actions: [{ ...COPY_ALL, exclude: [] }] }
    const watch = new Watch(vertex, this.session)
    return this.#file(vertex, op, [{ key: 'local', local }], watch)
  }

  #combine(kind: 'merge' | 'diff', inputs: Root[]): Root {
    const [first, ...rest] = inputs
    const key = digestText(kind, ...inputs.map(input => input.key))
    if (kind === 'merge') {
      return { key, base: first!.base, layers: [...first!.layers, ...rest.flatMap(input => input.layers)] }
    }
    const shared = new Set(first!.layers)
    return { key, base: undefined, layers: rest[0]!.layers.filter(layer => !shared.has(layer)) }
  }

  async #exec(vertex: Vertex, op: ExecOp, inputs: Solved[], watch: Watch): Promise<Root> {
    const root = await this.#asRoot(vertex, op.root, inputs)
    const mounted: string[] = []
    const traced: TraceInput[] = [{ key: root.key }]
    for (const mount of op.mounts) {
      if ((mount.type !== 'bind' && mount.type !== 'cache') || mount.from === undefined) continue
      const from = inputs[mount.from]!
      if (isRoot(from)) {
        mounted.push(`${from.key} ${mount.source}`)
        traced.push({ key: from.key })
      } else {
        const selection = { source: mount.source, exclude: [], parents: false }
        const [digest] = await this.#solver.selectionDigests(from, [selection])
        if (digest === undefined) throw notInContext(mount.source, false)
        mounted.push(digest)
        traced.push({ digest })
      }
    }
    const kept: ExecOp = { ...op, proxyEnv: [], mounts: op.mounts.map(mount => withoutFrom(mount)) }
    const key = digestText('exec', canonical(kept), canonical(vertex.platform), root.key, ...mounted)
    const work = (_: string, rootFd: number) =>
      runStep({ solver: this.#solver, session: this.session, vertex, op, inputs, rootFd })
    return this.#cached({ vertex, key, type: 'regular', inputs, traced, below: root, work }, watch)
  }

  async #file(vertex: Vertex, op: FileOp, inputs: Solved[], watch: Watch): Promise<Root> {
    const { files, layers } = this.#solver.options
    const root = await this.#asRoot(vertex, op.root, inputs)
    const named = async (look: LookUp) => {
      const { described, traced } = await this.#describeActions(op, inputs, look)
      const key = digestText('file', canonical(described), root.key, String(this.session.epoch ?? ''))
      return { key, traced: [{ key: root.key }, ...traced] }
    }
    const { key, traced } =
      (await this.#guess(inputs, named)) ??
      (await named(async (from, selection) => (await this.#solver.selectionDigests(from, [selection]))[0]))
    const work = async (upperdir: string, rootFd: number) => {
      const fds = await this.#openInputs(op, inputs)
      const { epoch } = this.session
      const linkable = inputs.flatMap((input, index) =>
        !isRoot(input) && input.local.contents?.isPlain ? [index] : [],
      )
      // What stands alone may be merged with anything: it must not have files in common with it.
      const mayLink = op.root !== undefined && linkable.length > 0 && !(await layers.hasLinkedFiles(root))
      try {
        await files.run({
          job: 'apply',
          rootFd,
          inputs: fds,
          actions: op.actions,
          ...(mayLink && { links: { upperdir, inputs: linkable } }),
          ...(epoch !== undefined && { epoch }),
        })
      } finally {
        for (const fd of fds) if (fd !== undefined) fs.closeSync(fd)
      }
    }
    return this.#cached({ vertex, key, type: 'regular', inputs, traced, below: root, work }, watch)
  }

  /**
   * The key that an imported cache says the operation has, if that leads to a result: so that inputs of which only the cache tells need
   * not be made. Nothing is ever made under a key that was only said.
   */
  async #guess<T extends { key: string }>(
    inputs: Solved[],
    named: (look: LookUp) => Promise<T>,
  ): Promise<T | undefined> {
    const { imported } = this.session
    const { layers, records } = this.#solver.options
    const isDeferred = (input: Solved) => isRoot(input) && input.layers.some(id => layers.isDeferred(id))
    if (!imported || !inputs.some(isDeferred)) return undefined
    let isKnown = true
    const guess = await named(async (from, selection) => {
      if (!isDeferred(from)) return (await this.#solver.selectionDigests(from, [selection]))[0]
      const said = imported.selection(from.key, canonical(selection))
      isKnown &&= said !== undefined
      return said ?? ''
    })
    if (!isKnown) return undefined
    return records.find(guess.key) || imported.find(guess.key)?.layer ? guess : undefined
  }

  /** The actions with what they take instead of where they take it from. */
  async #describeActions(
    op: FileOp,
    inputs: Solved[],
    look: LookUp,
  ): Promise<{ described: unknown[]; traced: TraceInput[] }> {
    const traced: TraceInput[] = []
    const described = await Promise.all(
      op.actions.map(async (action, index) => {
        if (action.action !== 'copy' || action.from === undefined) return action
        const { source, exclude, parents } = action
        const from = inputs[action.from]!
        const selection = { source, exclude, parents }
        const digest = await look(from, selection)
        if (digest === undefined && !action.allowEmpty) throw notInContext(source, isRoot(from))
        const place = isRoot(from) ? { key: from.key, selector: canonical(selection) } : {}
        traced[index] = { ...place, digest }
        return { ...action, from: undefined, source: undefined, digest }
      }),
    )
    return { described, traced: traced.filter(Boolean) }
  }

  async #openInputs(op: FileOp, inputs: Solved[]): Promise<(number | undefined)[]> {
    const used = new Set(op.actions.flatMap(action => (action.action === 'copy' ? [action.from] : [])))
    return Promise.all(
      inputs.map(async (input, index) => {
        if (!used.has(index)) return undefined
        if (isRoot(input)) return this.#solver.options.layers.mount(input)
        return fs.openSync(input.local.path, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY)
      }),
    )
  }

  async #asRoot(vertex: Vertex, index: number | undefined, inputs: Solved[]): Promise<Root> {
    if (index === undefined) return EMPTY_ROOT
    const input = inputs[index]!
    return isRoot(input) ? input : this.#import(vertex.inputs[index]!, input.local)
  }

  /** The result under `key`, made by `work` in a new layer where there is none. Only one build makes it at a time. */
  async #cached(wanted: Wanted, watch: Watch): Promise<Root> {
    const { key, type, traced } = wanted
    const root = await this.#find(wanted, watch)
    if (type === 'regular') this.traces.set(key, { key, inputs: traced, layer: root.layers.at(-1)! })
    return root
  }

  async #find(wanted: Wanted, watch: Watch): Promise<Root> {
    const { vertex, key, type } = wanted
    const { records } = this.#solver.options
    const take = (record: CacheRecord): Root => {
      records.touch(record)
      this.#releases.push(records.hold(record.id))
      watch.cached = true
      return rootOf(record)
    }
    const known = vertex.ignoreCache ? undefined : records.find(key)
    if (known) return take(known)
    const told = vertex.ignoreCache || type !== 'regular' ? undefined : this.session.imported?.find(key)
    if (told) {
      watch.cached = true
      return this.#defer(wanted, told)
    }
    return this.#solver.locks.run(key, async () => {
      const made = vertex.ignoreCache ? undefined : records.find(key)
      if (made) return take(made)
      return this.#solver.slots.run(async () => {
        this.session.signal.throwIfAborted()
        watch.start()
        return this.#make(wanted)
      })
    })
  }

  /** Do the work in a new layer, `id` if that was said before, and remember it. */
  async #make(wanted: Wanted, id?: string): Promise<Root> {
    const { layers } = this.#solver.options
    const draft = await layers.draft(wanted.below, id)
    try {
      await wanted.work(draft.snapshot.upperdir, draft.mountFd)
      this.session.signal.throwIfAborted()
    } catch (error) {
      layers.drop(draft)
      throw error
    }
    layers.keep(draft)
    return this.#remember(wanted, draft.id)
  }

  #remember({ vertex, key, type, below, inputs }: Wanted, id: string, madeAt?: number): Root {
    const { records } = this.#solver.options
    const now = Date.now()
    const record: CacheRecord = {
      version: 1,
      id,
      key,
      type,
      ...(below.base && { base: below.base }),
      layers: [...below.layers, id],
      parents: inputs.flatMap(input => records.find(input.key)?.id ?? []),
      description: describe(vertex),
      createdAt: now,
      ...(madeAt !== undefined && { madeAt }),
      lastUsedAt: now,
      usageCount: 1,
    }
    records.add(record)
    this.#releases.push(records.hold(record.id))
    return rootOf(record)
  }

  /** A result that an imported cache tells of: brought here, or made after all if it only tells that there was one, when its files are needed. */
  #defer(wanted: Wanted, { layer, createdAt }: ImportedStep): Root {
    const { key, below, vertex } = wanted
    const known = this.#deferred.get(key)
    if (known) return known
    const { layers } = this.#solver.options
    const id = layers.defer(async id => {
      const watch = new Watch(vertex, this.session)
      watch.start()
      try {
        if (!layer) await this.#make(wanted, id)
        else {
          await layers.ensure(below.layers) // a record stands for all of its layers
          await layers.fill(id, folder => this.session.imported!.unpack(layer, id, folder))
          this.#remember(wanted, id, createdAt)
        }
      } catch (error) {
        noteFailure(error, vertex)
        watch.failed(error)
        throw error
      }
      watch.cached = layer !== undefined
      watch.done()
    })
    this.#releases.push(() => layers.forget(id))
    const root: Root = { key, base: below.base, layers: [...below.layers, id] }
    this.#deferred.set(key, root)
    return root
  }
}

/** Finds the digest of what is selected from an input; `undefined` where there is nothing. */
type LookUp = (from: Solved, selection: Selection) => Promise<string | undefined>

const COPY_ALL = {
  action: 'copy' as const,
  from: 0,
  source: '/',
  destination: '/',
  parents: false,
  unpack: false,
  allowEmpty: true,
}

/** Which paths of input `index` the operation looks at; `undefined` is all. */
function pathsWanted(op: Operation, index: number): string[] | undefined {
  if (op.kind === 'file') {
    if (op.root === index) return undefined
    const copies = op.actions.flatMap(action =>
      action.action === 'copy' && action.from === index ? [action] : [],
    )
    return copies.map(action => action.source.replace('/./', '/'))
  }
  if (op.kind === 'exec') {
    if (op.root === index) return undefined
    return op.mounts.flatMap(mount =>
      (mount.type === 'bind' || mount.type === 'cache') && mount.from === index ? [mount.source] : [],
    )
  }
  return undefined
}

function withoutFrom(mount: ExecOp['mounts'][number]): ExecOp['mounts'][number] {
  return mount.type === 'bind' || mount.type === 'cache' ? { ...mount, from: undefined } : mount
}

/** BuildKit's sentence, which names the file and the reference that was searched. */
function notInContext(source: string, isStage: boolean): Error {
  const where = isStage ? 'stage' : 'context'
  const ref = randomBytes(12).toString('hex')
  return notFound(
    `failed to compute cache key: failed to calculate checksum of ref ${where}::${ref}: ${JSON.stringify(source)}: not found`,
  )
}

function describe(vertex: Vertex): string {
  const { op } = vertex
  if (op.kind === 'exec') return `mount / from exec ${op.argv.join(' ')}`
  return vertex.name
}

export function digestText(...parts: string[]): string {
  const sum = createHash('sha256')
  for (const part of parts) sum.update(`${part.length}:${part}`)
  return `sha256:${sum.digest('hex')}`
}
