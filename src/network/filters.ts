/** `--filter` of `network ls` and `network prune`, with Docker's refusals. */
import { invalid } from '../errors.ts'
import type { Network } from './catalog.ts'

/** `filters` of a query, by key. Values as given: `label=x`, `label=x=y`, `dangling=true`, … */
export type Filters = Record<string, string[]>

const LISTABLE = ['driver', 'type', 'name', 'id', 'label', 'scope', 'dangling']
const PRUNABLE = ['until', 'label', 'label!']

/** Those of `networks` that `filters` let through. `inUse`: whether a network has endpoints. */
export function filterNetworks(
  networks: Network[],
  filters: Filters,
  inUse: (network: Network) => boolean,
): Network[] {
  refuseUnknown(filters, LISTABLE)
  const dangling = filters['dangling'] && parseFlag(filters['dangling'])
  for (const type of filters['type'] ?? []) {
    if (type !== 'custom' && type !== 'builtin') throw invalid(`invalid filter: 'type'='${type}'`)
  }
  const matches = (key: string, test: (value: string) => boolean) => {
    const values = filters[key]
    return values === undefined || values.length === 0 || values.some(test)
  }
  return networks.filter(network => {
    const { record } = network
    return (
      matches('driver', value => record.driver === value) &&
      matches('name', value => partOf(value, record.name)) &&
      matches('id', value => partOf(value, record.id)) &&
      matches('scope', value => record.scope === value) &&
      matches('type', value => (value === 'builtin') === (record.predefined ?? false)) &&
      (filters['label'] ?? []).every(label => hasLabel(record.labels, label)) &&
      (dangling === undefined || (dangling === !inUse(network) && !record.predefined))
    )
  })
}

/** Those of `networks` that a prune with `filters` takes. */
export function prunableNetworks(networks: Network[], filters: Filters): Network[] {
  refuseUnknown(filters, PRUNABLE)
  const until = filters['until']?.map(parseTime)
  if (until && until.length > 1) throw invalid('more than one until filter specified')
  return networks.filter(
    ({ record }) =>
      !record.predefined &&
      (until === undefined || Date.parse(record.created) < until[0]!) &&
      (filters['label'] ?? []).every(label => hasLabel(record.labels, label)) &&
      (filters['label!'] ?? []).every(label => !hasLabel(record.labels, label)),
  )
}

function refuseUnknown(filters: Filters, known: string[]): void {
  for (const key of Object.keys(filters)) {
    if (!known.includes(key)) throw invalid(`invalid filter '${key}'`)
  }
}

function parseFlag(values: string[]): boolean {
  if (values.every(value => value === 'true' || value === '1')) return true
  if (values.every(value => value === 'false' || value === '0')) return false
  throw invalid(`invalid value for filter 'dangling', must be "true" (or "1"), or "false" (or "0")`)
}

/** Docker takes the value as a regular expression where it is one, and as a part of the word. */
function partOf(value: string, word: string): boolean {
  if (word.includes(value)) return true
  try {
    return new RegExp(value).test(word)
  } catch {
    return false
  }
}

function hasLabel(labels: Record<string, string>, label: string): boolean {
  const at = label.indexOf('=')
  return at < 0 ? label in labels : labels[label.slice(0, at)] === label.slice(at + 1)
}

const UNITS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/** A point in time, in milliseconds since 1970: a timestamp, a date, or a duration before now (`10m`, `1h30m`). */
function parseTime(text: string): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)]
  if (parts.length > 0 && parts.map(part => part[0]).join('') === text) {
    return Date.now() - parts.reduce((sum, [, count, unit]) => sum + Number(count) * UNITS[unit!]!, 0)
  }
  const time = Date.parse(text)
  if (Number.isNaN(time)) throw invalid(`failed to parse value as time or duration: ${JSON.stringify(text)}`)
  return time
}
