/** Tells how one vertex fares. */
import type { Vertex } from '../plan/ops.ts'
import type { BuildSession } from './session.ts'

export class Watch {
  cached = false
  readonly #vertex: Vertex
  readonly #session: BuildSession
  #started: number | undefined
  #status: { id: string; current: number; started: number; sent: number } | undefined

  constructor(vertex: Vertex, session: BuildSession) {
    this.#vertex = vertex
    this.#session = session
  }

  start(): void {
    if (this.#started !== undefined) return
    this.#started = Date.now()
    this.#tell({ started: this.#started })
  }

  done(): void {
    const now = Date.now()
    this.#tell({ started: this.#started ?? now, completed: now, cached: this.cached })
  }

  failed(error: unknown): void {
    const now = Date.now()
    const message = error instanceof Error ? error.message : String(error)
    this.#tell({ started: this.#started ?? now, completed: now, error: message })
  }

  status(id: string, bytes: number, _files: number): void {
    const now = Date.now()
    this.#status ??= { id, current: 0, started: now, sent: 0 }
    this.#status.current = bytes
    if (now - this.#status.sent < 100) return
    this.#status.sent = now
    this.#tellStatus(now)
  }

  finishStatus(): void {
    if (this.#status) this.#tellStatus(Date.now(), true)
  }

  #tellStatus(now: number, completed = false): void {
    const { id, current, started } = this.#status!
    this.#session.onProgress({
      type: 'status',
      vertex: this.#vertex.digest,
      id,
      current,
      total: 0,
      timestamp: now,
      started,
      ...(completed && { completed: now }),
    })
  }

  #tell(fields: { started?: number; completed?: number; cached?: boolean; error?: string }): void {
    const { digest, inputs, name } = this.#vertex
    this.#session.onProgress({
      type: 'vertex',
      digest,
      inputs: inputs.map(input => input.digest),
      name,
      ...fields,
    })
  }
}
