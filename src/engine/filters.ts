/** The `filters` of list, prune and events queries: checked once, then asked. */
import { invalid } from '../errors.ts'
import { millisecondsOf } from './clock.ts'
import type { Filters } from './results.ts'

/** Raises invalid for a key that is not in `accepted`. */
export function checkFilters(filters: Filters, accepted: readonly string[]): void {
  for (const key of Object.keys(filters)) {
    if (!accepted.includes(key)) throw invalid(`invalid filter '${key}'`)
  }
}

/** Values of one filter; undefined where it was not asked, so that everything passes. */
export function valuesOf(filters: Filters, key: string): string[] | undefined {
  const values = filters[key]
  return values?.length ? values : undefined
}

/** A filter that takes `true`/`false`/`1`/`0`; `fallback` where it was not asked. */
export function booleanOf(filters: Filters, key: string): boolean | undefined {
  const values = valuesOf(filters, key)
  if (!values) return undefined
  const yes = values.some(value => value === 'true' || value === '1')
  const no = values.some(value => value === 'false' || value === '0')
  if (yes === no) throw invalid(`invalid filter '${key}=[${values.join(' ')}]'`)
  return yes
}

function hasLabel(labels: Record<string, string>, wanted: string): boolean {
  const [key, value] = splitOnce(wanted, '=')
  return key in labels && (value === undefined || labels[key] === value)
}

/** All of `label`, none of `label!`. */
export function matchesLabels(filters: Filters, labels: Record<string, string> | null | undefined): boolean {
  const own = labels ?? {}
  return (
    (filters['label'] ?? []).every(wanted => hasLabel(own, wanted)) &&
    !(filters['label!'] ?? []).some(wanted => hasLabel(own, wanted))
  )
}

/** `a=b=c` at the first separator: `['a', 'b=c']`. */
export function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator)
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + separator.length)]
}

const UNITS: Record<string, number> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
}

/** Milliseconds of a Go duration: `1h30m`, `250ms`; undefined where it is none. */
export function parseDuration(text: string): number | undefined {
  if (!/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$/.test(text)) return undefined
  let total = 0
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)) {
    total += Number(amount) * UNITS[unit!]!
  }
  return total
}

/** `until`: milliseconds since 1970 before which things are meant. A time, seconds since 1970, or a duration back from now. */
export function untilOf(filters: Filters, now = Date.now()): number | undefined {
  const values = valuesOf(filters, 'until')
  if (!values) return undefined
  if (values.length > 1) throw invalid('more than one until filter specified')
  const text = values[0]!
  const duration = parseDuration(text)
  if (duration !== undefined) return now - duration
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000
  const time = millisecondsOf(text)
  if (Number.isNaN(time)) throw invalid(`invalid until filter value: ${text}`)
  return time
}
