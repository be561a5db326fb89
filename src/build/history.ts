/** Builds that were and that run: what `docker buildx history` shows. Kept in memory and as one JSON file each. */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { readJson, sweepTemporary, writeJsonDurable } from '../durable.ts'
import { messageOf } from '../errors.ts'
import type { BuildRequest, BuildResult } from './request.ts'
import type { ProgressEvent, VertexEvent } from './solve/progress.ts'

export interface HistoryRecord {
  id: string
  /** Milliseconds since 1970. */
  createdAt: number
  completedAt?: number
  error?: string
  target: string
  dockerfile: string
  steps: number
  cachedSteps: number
  completedSteps: number
  warnings: number
  /** Attributes as BuildKit's clients name them. Never secrets: build arguments are not among them. */
  attributes: Record<string, string>
  metadata?: Record<string, string>
}

/** Records that are kept. */
const MAX_RECORDS = 100

/** Milliseconds for which a finished build can still be followed: its client may ask a little late. */
const LINGER = 10_000

interface Live {
  events: ProgressEvent[]
  listeners: Set<(event?: ProgressEvent) => void>
  ended: boolean
}

export type HistoryListener = (record: HistoryRecord, change: 'started' | 'complete' | 'deleted') => void

export class BuildHistory {
  readonly #folder: string
  readonly #records = new Map<string, HistoryRecord>()
  readonly #listeners = new Set<HistoryListener>()
  /** Everything that a running build told so far, and who listens to it. */
  readonly #live = new Map<string, Live>()

  constructor(root: string) {
    this.#folder = path.join(root, 'history')
    fs.mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
    sweepTemporary(this.#folder)
    const found = fs.readdirSync(this.#folder).flatMap(name => this.#load(name))
    for (const record of found.sort((a, b) => a.createdAt - b.createdAt)) this.#records.set(record.id, record)
  }

  #load(name: string): HistoryRecord[] {
    try {
      const record = readJson<HistoryRecord>(path.join(this.#folder, name))
      return record ? [record] : []
    } catch {
      return []
    }
  }

  list(): HistoryRecord[] {
    return [...this.#records.values()]
  }

  get(id: string): HistoryRecord | undefined {
    return this.#records.get(id)
  }

  listen(listener: HistoryListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  remove(id: string): void {
    const record = this.#records.get(id)
    if (!record || this.#live.get(id)?.ended === false) return
    this.#records.delete(id)
    fs.rmSync(path.join(this.#folder, `${id}.json`), { force: true })
    for (const listener of this.#listeners) listener(record, 'deleted')
  }

  /** Events of a build from its start on; `undefined` ends them. Returns how to stop; `undefined` for a build that does not run. */
  follow(id: string, listener: (event?: ProgressEvent) => void): (() => void) | undefined {
    const live = this.#live.get(id)
    if (!live) return undefined
    for (const event of live.events) listener(event)
    if (live.ended) listener(undefined)
    live.listeners.add(listener)
    return () => live.listeners.delete(listener)
  }

  /** As {@link follow}, for a build that may be about to begin. */
  async followSoon(
    id: string,
    patience: number,
    signal: AbortSignal,
    listener: (event?: ProgressEvent) => void,
  ): Promise<(() => void) | undefined> {
    const known = this.follow(id, listener)
    if (known || signal.aborted) return known
    return new Promise(resolve => {
      const end = (stop?: () => void): void => {
        clearTimeout(timer)
        unlisten()
        signal.removeEventListener('abort', onAbort)
        resolve(stop)
      }
      const onAbort = () => end()
      const timer = setTimeout(end, patience)
      const unlisten = this.listen((record, change) => {
        if (record.id === id && change === 'started') end(this.follow(id, listener))
      })
      signal.addEventListener('abort', onAbort, { once: true })
    })
  }

  begin(id: string, request: BuildRequest): HistoryEntry {
    const record: HistoryRecord = {
      id,
      createdAt: Date.now(),
      target: request.target ?? '',
      dockerfile: request.dockerfile ?? 'Dockerfile',
      steps: 0,
      cachedSteps: 0,
      completedSteps: 0,
      warnings: 0,
      attributes: {
        ...(request.target && { target: request.target }),
        ...(request.dockerfile && { filename: request.dockerfile }),
      },
    }
    const live: Live = { events: [], listeners: new Set(), ended: false }
    this.#records.set(id, record)
    this.#live.set(id, live)
    for (const listener of this.#listeners) listener(record, 'started')
    const seen = new Map<string, VertexEvent>()
    const end = (): void => {
      record.completedAt = Date.now()
      record.steps = seen.size
      record.cachedSteps = [...seen.values()].filter(event => event.cached).length
      record.completedSteps = [...seen.values()].filter(event => event.completed && !event.error).length
      live.ended = true
      setTimeout(() => this.#live.delete(id), LINGER).unref()
      for (const listener of live.listeners) listener(undefined)
      this.#keep(record)
      for (const listener of this.#listeners) listener(record, 'complete')
    }
    return {
      progress(event) {
        live.events.push(event)
        if (event.type === 'vertex') seen.set(event.digest, event)
        if (event.type === 'warning') record.warnings++
        for (const listener of live.listeners) listener(event)
      },
      completed(result) {
        record.metadata = result.metadata
        end()
      },
      failed(error) {
        record.error = messageOf(error)
        end()
      },
    }
  }

  #keep(record: HistoryRecord): void {
    writeJsonDurable(path.join(this.#folder, `${safeName(record.id)}.json`), record, { sync: false })
    for (const id of this.#records.keys()) {
      if (this.#records.size <= MAX_RECORDS) break
      this.remove(id)
    }
  }
}

export interface HistoryEntry {
  progress(event: ProgressEvent): void
  completed(result: BuildResult): void
  failed(error: unknown): void
}

const safeName = (id: string): string => id.replace(/[^\w.-]/g, '_').slice(0, 128)
