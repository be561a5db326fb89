/** The bus on which everything that happens is told, with the last {@link HISTORY} events to look back on. */
import { nowNano } from './clock.ts'
import { matchesLabels } from './filters.ts'
import type { Filters } from './results.ts'
import type { EngineEvent } from './types.ts'

/** Events that are kept; Docker's number. */
const HISTORY = 256
/** Events that wait for a slow reader; what comes on top is lost to that reader, as in Docker. */
const BACKLOG = 8192

export interface EventQuery {
  /** Nanoseconds since 1970. Without it nothing old is given. */
  since?: bigint
  /** Ends the stream when that time comes; at once for the past. */
  until?: bigint
  filters?: Filters
  signal?: AbortSignal
}

type Listener = (event: EngineEvent) => void

export class Events {
  #history: EngineEvent[] = []
  #listeners = new Set<Listener>()

  /** How many streams are open. */
  get listeners(): number {
    return this.#listeners.size
  }

  emit(
    type: EngineEvent['type'],
    action: string,
    id: string,
    attributes: Record<string, string> = {},
    timeNano = nowNano(),
  ): void {
    const event: EngineEvent = { type, action, actor: { id, attributes }, timeNano }
    this.#history.push(event)
    if (this.#history.length > HISTORY) this.#history.shift()
    for (const listener of this.#listeners) listener(event)
  }

  /** For the engine's own parts: called in the same turn as the event. Returns how to stop. */
  listen(listener: Listener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Listening begins with the call, not with the first `next()`. Raises invalid for an unknown filter. */
  subscribe(query: EventQuery = {}): AsyncIterable<EngineEvent> {
    const matches = eventMatcher(query.filters ?? {})
    const { since, until } = query
    const past = since === undefined && until === undefined ? [] : this.#history
    const queue = past.filter(
      event =>
        since !== undefined &&
        event.timeNano >= since &&
        (until === undefined || event.timeNano <= until) &&
        matches(event),
    )
    let wake = () => {}
    let ended = until !== undefined && until <= nowNano()
    const stop = ended
      ? () => {}
      : this.listen(event => {
          if (queue.length < BACKLOG && matches(event)) queue.push(event)
          wake()
        })
    const end = () => {
      ended = true
      stop()
      wake()
    }
    const timer =
      until === undefined || ended
        ? undefined
        : setTimeout(end, Math.min(Number((until - nowNano()) / 1_000_000n), 2 ** 31 - 1))
    query.signal?.addEventListener('abort', end, { once: true })
    if (query.signal?.aborted) end()

    return {
      async *[Symbol.asyncIterator]() {
        try {
          for (;;) {
            const event = queue.shift()
            if (event) yield event
            else if (ended) return
            else
              await new Promise<void>(resolve => {
                wake = resolve
              })
          }
        } finally {
          clearTimeout(timer)
          query.signal?.removeEventListener('abort', end)
          end()
        }
      },
    }
  }
}

/** Actions that carry more after a colon; a filter names them without it. */
const OPEN_ENDED = /^(health_status|exec_create|exec_start)/

/** moby daemon/events/filter.go: which events a query means. A filter that does not exist is no filter. */
function eventMatcher(filters: Filters): (event: EngineEvent) => boolean {
  const checks: ((event: EngineEvent) => boolean)[] = []
  const add = (key: string, check: (event: EngineEvent, value: string) => boolean): void => {
    const values = filters[key]
    if (values?.length) checks.push(event => values.some(value => check(event, value)))
  }
  add('type', (event, value) => event.type === value)
  add('scope', (_event, value) => value === 'local')
  add(
    'event',
    (event, value) => event.action === value || (OPEN_ENDED.test(value) && event.action.startsWith(value)),
  )
  for (const type of ['container', 'daemon', 'network', 'volume', 'plugin'] as const) {
    add(
      type,
      ({ type: actual, actor }, value) =>
        actual === type && (actor.id.startsWith(value) || (actor.attributes['name'] ?? '').startsWith(value)),
    )
  }
  add('image', ({ type, actor }, value) => {
    const name = type === 'image' ? actor.attributes['name'] : actor.attributes['image']
    const named = name !== undefined && (name === value || name.replace(/:[^:/]*$/, '') === value)
    return (type === 'image' && actor.id === value) || named
  })
  return event => checks.every(check => check(event)) && matchesLabels(filters, event.actor.attributes)
}
