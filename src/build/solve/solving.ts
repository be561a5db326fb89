/** One build's walk over the graph: what each vertex is, and what its key is made from. */
import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import type { Digest } from '../../image/types.ts'
import type { Trace, TraceInput } from '../cache/trace.ts'
import { canonical, type ExecOp, type FileOp, type LocalOp, type Vertex } from '../plan/ops.ts'
import type { Selection } from './checksum.ts'
import { noteFailure } from './failures.ts'
import { digestText, notInContext, pathsWanted, withoutFrom } from './keys.ts'
import { Results, type Wanted } from './results.ts'
import { EMPTY_ROOT, isRoot, type Root, type Solved } from './root.ts'
import { runStep } from './run-step.ts'
import type { BuildSession, LocalFolder } from './session.ts'
import type { Solver } from './solver.ts'
import { Watch } from './watch.ts'

export class Solving {
  readonly session: BuildSession
  readonly #steps: Results
  readonly #solver: Solver
  readonly #results = new Map<Digest, Promise<Solved>>()
  readonly #releases: (() => void)[] = []
  /** What each local folder has to bring, over all its users. */
  readonly #paths = new Map<Digest, string[] | undefined>()

  constructor(solver: Solver, session: BuildSession) {
    this.#solver = solver
    this.session = session
    this.#steps = new Results(solver, session)
  }

  /** What this build's steps were made from, by their keys. */
  get traces(): ReadonlyMap<string, Trace> {
    return this.#steps.traces
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
    this.#steps.release()
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
          return await this.#steps.get(wanted, watch)
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
    const roots: Root[] = []
    const traced: TraceInput[] = [{ key: root.key }]
    for (const mount of op.mounts) {
      if ((mount.type !== 'bind' && mount.type !== 'cache') || mount.from === undefined) continue
      const from = inputs[mount.from]!
      if (isRoot(from)) {
        mounted.push(`${from.key} ${mount.source}`)
        roots.push(from)
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
    return this.#steps.get(
      { vertex, key, type: 'regular', inputs, traced, below: root, mounted: roots, work },
      watch,
    )
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
    return this.#steps.get({ vertex, key, type: 'regular', inputs, traced, below: root, work }, watch)
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
