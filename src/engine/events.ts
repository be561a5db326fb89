/** The bus on which everything that happens is told, with the last 256 events to look back on. */
import { notImplemented } from '../errors.ts'
import type { Filters } from './results.ts'
import type { EngineEvent } from './types.ts'

export interface EventQuery {
  /** Nanoseconds since 1970. Without it nothing old is given. */
  since?: bigint
  /** Ends the stream when that time comes; at once for the past. */
  until?: bigint
  filters?: Filters
  signal?: AbortSignal
}

export class Events {
  emit(
    _type: EngineEvent['type'],
    _action: string,
    _id: string,
    _attributes: Record<string, string> = {},
  ): void {
    throw notImplemented('events are not implemented')
  }

  /** Listening begins with the call, not with the first `next()`. Raises invalid for an unknown filter. */
  subscribe(_query: EventQuery = {}): AsyncIterable<EngineEvent> {
    throw notImplemented('events are not implemented')
  }
}
