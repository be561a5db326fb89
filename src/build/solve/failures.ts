/** Which vertex an error came from, so that its lines in the source can be shown. */
import type { Vertex } from '../plan/ops.ts'

const failures = new WeakMap<object, Vertex>()

/** The first vertex that tells of an error is where it happened. */
export function noteFailure(error: unknown, vertex: Vertex): void {
  if (typeof error === 'object' && error !== null && !failures.has(error)) failures.set(error, vertex)
}

export function failedVertex(error: unknown): Vertex | undefined {
  return typeof error === 'object' && error !== null ? failures.get(error) : undefined
}
