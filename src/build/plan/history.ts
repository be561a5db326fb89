/** What `docker history` says of each instruction, in BuildKit's forms. */
import type { HealthcheckSpec } from '../../engine/types.ts'
import type { KeyValue } from '../dockerfile/instructions.ts'

export const HISTORY_COMMENT = 'buildkit.dockerfile.v0'

/** Go's `%q` of a list: `["a" "b"]`. */
export const quotedList = (words: readonly string[]): string =>
  `[${words.map(word => JSON.stringify(word)).join(' ')}]`

/** Go's `%v` of a list: `[a b]`. */
export const plainList = (words: readonly string[]): string => `[${words.join(' ')}]`

export const pairsText = (name: string, pairs: readonly KeyValue[]): string =>
  `${name} ${pairs.map(({ key, value }) => (value === undefined ? key : `${key}=${value}`)).join(' ')}`

/** `RUN |1 V=1 /bin/sh -c make # buildkit` */
export function runText(argv: readonly string[], args: readonly KeyValue[]): string {
  const known = args.filter(arg => arg.value !== undefined).map(({ key, value }) => `${key}=${value}`)
  const prefix = known.length === 0 ? '' : `|${known.length} ${known.join(' ')} `
  return `RUN ${prefix}${argv.join(' ')} # buildkit`
}

/** Go's `%q` of the struct that a health check is there. */
export function healthcheckText(check: HealthcheckSpec): string {
  const times = [check.interval, check.timeout, check.startPeriod, check.startInterval]
  const quoted = times.map(time => JSON.stringify(durationText(time ?? 0))).join(' ')
  const retries = check.retries ?? 0
  const rune =
    retries < 0x20
      ? `'${ESCAPES[retries] ?? `\\x${retries.toString(16).padStart(2, '0')}`}'`
      : `'${String.fromCodePoint(retries)}'`
  return `HEALTHCHECK &{${quotedList(check.test ?? [])} ${quoted} ${rune}}`
}

const ESCAPES: Record<number, string> = {
  7: '\\a',
  8: '\\b',
  9: '\\t',
  10: '\\n',
  11: '\\v',
  12: '\\f',
  13: '\\r',
}

/** Nanoseconds as Go prints a duration: `1m30s`, `1.5s`, `300ms`. */
export function durationText(nanoseconds: number): string {
  if (nanoseconds === 0) return '0s'
  if (nanoseconds < 1e3) return `${nanoseconds}ns`
  if (nanoseconds < 1e6) return `${nanoseconds / 1e3}µs`
  if (nanoseconds < 1e9) return `${nanoseconds / 1e6}ms`
  const hours = Math.floor(nanoseconds / 3600e9)
  const minutes = Math.floor((nanoseconds % 3600e9) / 60e9)
  const seconds = (nanoseconds % 60e9) / 1e9
  return `${hours ? `${hours}h` : ''}${hours || minutes ? `${minutes}m` : ''}${seconds}s`
}
