/** `daemon.json` and the flags, put together as dockerd does: unknown keys and contradictions are refused. */
import * as fs from 'node:fs'
import { hasCode, invalid, messageOf } from '../../errors.ts'
import { type Kind, keyOf, rows } from './options.ts'

export type Values = Record<string, unknown>

const goTypes: Record<Kind, string> = {
  boolean: 'bool',
  number: 'int',
  text: 'string',
  list: '[]string',
  map: 'map[string]string',
  object: 'map[string]interface {}',
}

/**
 * The options in `file`, by their keys. A file that is not there holds nothing, unless someone asked for it (`required`).
 * Raises `invalid` for JSON that is none, unknown keys and wrong types.
 */
export function readConfigFile(file: string, required: boolean): Values {
  const fail = (reason: string) =>
    invalid(`unable to configure the Docker daemon with file ${file}: ${reason}`)
  let text: string
  try {
    text = fs.readFileSync(file, 'utf8')
  } catch (error) {
    if (!required && hasCode(error, 'ENOENT')) return {}
    throw fail(hasCode(error, 'ENOENT') ? `open ${file}: no such file or directory` : messageOf(error))
  }
  if (text.trim() === '') return {}
  let values: unknown
  try {
    values = JSON.parse(text)
  } catch (error) {
    throw fail(`invalid JSON: ${messageOf(error)}`)
  }
  if (typeof values !== 'object' || values === null || Array.isArray(values)) {
    throw fail('invalid JSON: the file must hold an object')
  }
  const unknown = Object.keys(values).filter(key => !rows.some(row => keyOf(row) === key))
  if (unknown.length > 0) {
    throw fail(`the following directives don't match any configuration option: ${unknown.join(', ')}`)
  }
  for (const [key, value] of Object.entries(values)) {
    const { kind } = rows.find(row => keyOf(row) === key)!
    if (!fits(key, kind, value)) {
      const found = Array.isArray(value) ? 'array' : typeof value === 'boolean' ? 'bool' : typeof value
      throw fail(
        `invalid JSON: json: cannot unmarshal ${found} into Go struct field Config.${key} of type ${goTypes[kind]}`,
      )
    }
  }
  return values as Values
}

/** These hold objects in the file and lines on the command line. */
const structured = ['runtimes', 'default-ulimits', 'default-address-pools', 'builder', 'proxies', 'features']

/** Sizes: text with a unit, or bytes. */
const sizes = ['default-shm-size', 'max-layer-size']

function fits(key: string, kind: Kind, value: unknown): boolean {
  if (structured.includes(key)) return typeof value === 'object' && value !== null
  switch (kind) {
    case 'boolean':
    case 'number':
      return typeof value === kind
    case 'text':
      return typeof value === 'string' || (sizes.includes(key) && typeof value === 'number')
    case 'list':
      return Array.isArray(value) && value.every(entry => typeof entry === 'string')
    default:
      return typeof value === 'object' && value !== null && !Array.isArray(value)
  }
}

/** Lists that may stand in both places: dockerd joins them. */
const joined = ['insecure-registries', 'registry-mirrors']

/** Flags (by their keys in the file) over the file. Raises `invalid` for what both say, in dockerd's words. */
export function mergeValues(flags: Values, file: Values, path: string): Values {
  const both = Object.keys(file).filter(key => key in flags && !joined.includes(key))
  if (both.length > 0) {
    const conflicts = both.map(
      key => `${key}: (from flag: ${show(flags[key])}, from file: ${show(file[key])})`,
    )
    throw invalid(
      `unable to configure the Docker daemon with file ${path}: the following directives are specified both as a flag and in ` +
        `the configuration file: ${conflicts.join(', ')}`,
    )
  }
  const merged: Values = { ...file, ...flags }
  for (const key of joined) {
    if (key in flags && key in file) merged[key] = [...(file[key] as string[]), ...(flags[key] as string[])]
  }
  return merged
}

/** As Go's `%v` prints it. */
function show(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(show).join(' ')}]`
  if (typeof value !== 'object' || value === null) return String(value)
  return `map[${Object.entries(value)
    .map(([key, entry]) => `${key}:${show(entry)}`)
    .join(' ')}]`
}
