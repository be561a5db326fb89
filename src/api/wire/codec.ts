/**
 * Translation between the wire and the domain by tables. A {@link Codec} knows one type in both directions: it decodes what a
 * client sent (refusing a wrong type in the words of Go's encoding/json, which clients of Docker know), and encodes what
 * inspect shows. An object is a table of fields, each a wire name, the domain's name and a codec.
 *
 * A zero (`""`, `0`, `false`) is what an absent field means on the wire, so it decodes to `undefined` and `undefined` encodes to
 * it; where Docker tells the two apart, the codec is {@link nullable}. `null` and an empty list are kept apart, as inspect does.
 */
import { invalid } from '../../errors.ts'

export interface Codec<T = unknown> {
  /** What Go calls the type: part of the message about a wrong one. */
  readonly goType: string
  /** What an absent value encodes to. */
  readonly zero: unknown
  /** Go's pointer to a struct: shown although it is empty. */
  readonly isStruct?: boolean
  decode(value: unknown, path: string): T | undefined
  encode(value: T): unknown
}

/** Raises what Go says of a value that does not fit. */
export function mismatch(value: unknown, path: string, goType: string): never {
  const kind = kindOfJson(value)
  const what = kind === 'number' && !Number.isInteger(value) && path !== '' ? `number ${value}` : kind
  throw invalid(
    path === ''
      ? `invalid JSON: json: cannot unmarshal ${what} into Go value of type ${goType}`
      : `invalid JSON: json: cannot unmarshal ${what} into Go struct field ${path} of type ${goType}`,
  )
}

function kindOfJson(value: unknown): string {
  if (Array.isArray(value)) return 'array'
  return typeof value === 'boolean' ? 'bool' : typeof value
}

function scalar<T extends string | number | boolean>(
  goType: string,
  zero: T,
  fits: (value: unknown) => boolean,
): Codec<T> {
  return {
    goType,
    zero,
    decode(value, path) {
      if (!fits(value)) mismatch(value, path, goType)
      return value === zero ? undefined : (value as T)
    },
    encode: value => value,
  }
}

const isInteger = (value: unknown) => typeof value === 'number' && Number.isInteger(value)

export const string = scalar<string>('string', '', value => typeof value === 'string')
export const bool = scalar<boolean>('bool', false, value => typeof value === 'boolean')
export const int64 = scalar<number>('int64', 0, isInteger)
export const int = scalar<number>('int', 0, isInteger)
export const uint64 = scalar<number>('uint64', 0, value => isInteger(value) && (value as number) >= 0)

/** A pointer in Go: absent is `null`, and a zero is a value. */
export function nullable<T>(inner: Codec<T>): Codec<T> {
  return {
    ...inner,
    zero: null,
    decode: (value, path) => {
      const decoded = inner.decode(value, path)
      return decoded === undefined ? (inner.zero as T) : decoded
    },
  }
}

/** A string of the domain that is one of a few words, which the domain checks. */
export function words<T extends string>(): Codec<T> {
  return string as unknown as Codec<T>
}

export function list<T>(item: Codec<T>): Codec<T[]> {
  return {
    goType: `[]${item.goType}`,
    zero: null,
    decode(value, path) {
      if (!Array.isArray(value)) mismatch(value, path, this.goType)
      return value.map((entry, index) => present(item, entry, `${path}.${index}`))
    },
    encode: value => value.map(entry => item.encode(entry)),
  }
}

export function map<T>(item: Codec<T>): Codec<Record<string, T>> {
  return {
    goType: `map[string]${item.goType}`,
    zero: null,
    decode(value, path) {
      if (!isObject(value)) mismatch(value, path, this.goType)
      return Object.fromEntries(
        Object.entries(value).map(([key, entry]) => [key, present(item, entry, `${path}.${pointer(key)}`)]),
      )
    },
    encode: value =>
      Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, item.encode(entry)])),
  }
}

/** A Go set, `{"80/tcp": {}}`; a list of its keys in the domain. */
export const set: Codec<string[]> = {
  goType: 'map[string]struct {}',
  zero: null,
  decode(value, path) {
    if (!isObject(value)) mismatch(value, path, this.goType)
    const keys = Object.keys(value)
    return keys.length > 0 ? keys : undefined
  },
  encode: value => (value.length > 0 ? Object.fromEntries(value.map(key => [key, {}])) : null),
}

/** moby's `strslice`: a list, or one string. */
export const strings = list(string)
export const stringOrStrings: Codec<string[]> = {
  ...strings,
  decode(value, path) {
    if (typeof value === 'string') return [value]
    if (!Array.isArray(value)) mismatch(value, '', 'string')
    return strings.decode(value, path)
  },
}

export interface Field {
  wire: string
  name: string
  codec: Codec
  /** Not shown when absent (or zero), as Go's `omitempty`. */
  omit: boolean
}

/** A field of an object: its wire name, its name in the domain, its codec. */
export function field<T, K extends keyof T & string>(
  wire: string,
  name: K,
  codec: Codec<NonNullable<T[K]>>,
  options: { omit?: boolean } = {},
): Field {
  return { wire, name, codec: codec as unknown as Codec, omit: options.omit ?? false }
}

export interface ObjectCodec<T> extends Codec<T> {
  encode(value: T): Record<string, unknown>
}

/** An object by its table. Names match without regard to case, as Go's do; unknown ones are ignored. */
export function object<T>(goType: string, fields: Field[]): ObjectCodec<T> {
  const byName = new Map(fields.map(entry => [entry.wire.toLowerCase(), entry]))
  return {
    goType,
    zero: null,
    isStruct: true,
    decode(value, path) {
      if (!isObject(value)) mismatch(value, path, goType)
      const result: Record<string, unknown> = {}
      for (const [key, given] of Object.entries(value)) {
        const entry = byName.get(key.toLowerCase())
        if (!entry || given === null) continue
        const decoded = entry.codec.decode(given, `${path}.${entry.wire}`)
        if (decoded !== undefined) result[entry.name] = decoded
      }
      return result as T
    },
    encode(value) {
      const source = value as Record<string, unknown>
      const result: Record<string, unknown> = {}
      for (const { wire, name, codec, omit } of fields) {
        const given = source[name]
        if (given !== undefined) {
          if (omit && !codec.isStruct && isEmpty(given)) continue
          result[wire] = codec.encode(given)
        } else if (!omit) result[wire] = codec.zero
      }
      return result
    },
  }
}

function isEmpty(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0
  return isObject(value) && Object.keys(value).length === 0
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** An entry of a list or map: a `null` there is Go's zero. */
function present<T>(codec: Codec<T>, value: unknown, path: string): T {
  const decoded = value === null ? undefined : codec.decode(value, path)
  if (decoded !== undefined) return decoded
  return (codec.zero ?? (codec.goType.startsWith('[]') ? [] : {})) as T
}

/** JSON pointer escapes, as Go prints them. */
function pointer(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1')
}

/** The decoded body of a request; an object even where the client sent `null`. */
export function decodeBody<T>(codec: Codec<T>, value: unknown): T {
  if (value === null || value === undefined) return {} as T
  return codec.decode(value, '') as T
}
