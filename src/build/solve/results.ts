/** The results of one build's steps: found in the cache, or made and kept there. */

import type { ImportedStep } from '../cache/imported.ts'
import type { Trace, TraceInput } from '../cache/trace.ts'
import type { Vertex } from '../plan/ops.ts'
import { noteFailure } from './failures.ts'
import { describe } from './keys.ts'
import { type CacheRecord, rootOf } from './records.ts'
import type { Root, Solved } from './root.ts'
import type { BuildSession } from './session.ts'
import type { Solver } from './solver.ts'
import { Watch } from './watch.ts'

/** A step's result that is looked for, and how it is made where it is not found. */
export interface Wanted {
  vertex: Vertex
  key: string
  type: CacheRecord['type']
  inputs: Solved[]
  traced: TraceInput[]
  /** What the new layer goes upon. */
  below: Root
  /** Roots that it looks into without their content being part of the key. */
  mounted?: readonly Root[]
  work: (upperdir: string, mountFd: number) => Promise<void>
}

export class Results {
  /** What this build's steps were made from, by their keys. */
  readonly traces = new Map<string, Trace>()
  readonly #solver: Solver
  readonly #session: BuildSession
  readonly #releases: (() => void)[] = []
  /** Results that are known by their keys and not here yet. */
  readonly #deferred = new Map<string, Root>()

  constructor(solver: Solver, session: BuildSession) {
    this.#solver = solver
    this.#session = session
  }

  /** What the build used may be pruned from now on. */
  release(): void {
    for (const release of this.#releases.splice(0)) release()
  }

  /** The result under `key`, made by `work` in a new layer where there is none. Only one build makes it at a time. */
  async get(wanted: Wanted, watch: Watch): Promise<Root> {
    const { key, type, traced } = wanted
    const root = await this.#find(wanted, watch)
    if (type === 'regular') this.traces.set(key, { key, inputs: traced, layer: root.layers.at(-1)! })
    return root
  }

  async #find(wanted: Wanted, watch: Watch): Promise<Root> {
    const { vertex, key, type, below, mounted = [] } = wanted
    const { records } = this.#solver.options
    // A step that it stands on may have been made anew since, and have come to something else.
    // What an imported cache only tells of was not made anew.
    const { layers } = this.#solver.options
    const isTold = [below, ...mounted].some(one => one.layers.some(id => layers.isDeferred(id)))
    const find = (): CacheRecord | undefined => {
      const record = vertex.ignoreCache ? undefined : records.find(key)
      return record && (isTold || (isOver(record, below) && isOf(record, mounted))) ? record : undefined
    }
    const take = (record: CacheRecord): Root => {
      records.touch(record)
      this.#releases.push(records.hold(record.id))
      watch.cached = true
      return rootOf(record)
    }
    const known = find()
    if (known) return take(known)
    const told = vertex.ignoreCache || type !== 'regular' ? undefined : this.#session.imported?.find(key)
    if (told) {
      watch.cached = true
      return this.#defer(wanted, told)
    }
    return this.#solver.locks.run(key, async () => {
      const made = find()
      if (made) return take(made)
      return this.#solver.slots.run(async () => {
        watch.start()
        return this.#make(wanted)
      }, this.#session.signal)
    })
  }

  /** Do the work in a new layer, `id` if that was said before, and remember it. */
  async #make(wanted: Wanted, id?: string): Promise<Root> {
    const { layers } = this.#solver.options
    const draft = await layers.draft(wanted.below, id)
    try {
      await wanted.work(draft.snapshot.upperdir, draft.mountFd)
      this.#session.signal.throwIfAborted()
    } catch (error) {
      layers.drop(draft)
      throw error
    }
    layers.keep(draft)
    try {
      return this.#remember(wanted, draft.id)
    } catch (error) {
      layers.remove(draft.id)
      throw error
    }
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
      const watch = new Watch(vertex, this.#session)
      watch.start()
      try {
        if (!layer) await this.#make(wanted, id)
        else {
          await layers.ensure(below.layers) // a record stands for all of its layers
          await layers.fill(id, folder => this.#session.imported!.unpack(layer, id, folder))
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

/** Whether a result was made upon these very layers. */
const isOver = ({ layers }: CacheRecord, below: Root): boolean =>
  layers.length === below.layers.length + 1 && below.layers.every((layer, index) => layers[index] === layer)

/** Whether a result was made with these very roots, as far as they are steps' results. */
const isOf = ({ parents }: CacheRecord, mounted: readonly Root[]): boolean =>
  mounted.every(({ layers }) => layers.length === 0 || parents.includes(layers.at(-1)!))
