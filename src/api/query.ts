/** The query of a request, read as Docker reads it. */

import type { Filters } from '../engine/results.ts'
import { GantryError, invalid } from '../errors.ts'

export class Query {
  readonly #params: URLSearchParams

  constructor(text: string) {
    this.#params = new URLSearchParams(text)
  }

  has(name: string): boolean {
    return this.#params.has(name)
  }

  /** undefined where it is absent or empty. */
  text(name: string): string | undefined {
    return this.#params.get(name) || undefined
  }

  all(name: string): string[] {
    return this.#params.getAll(name)
  }

  /** moby's `BoolValue`: everything is true but these few words. */
  flag(name: string, fallback = false): boolean {
    const value = this.#params.get(name)
    if (value === null) return fallback
    return !['', '0', 'no', 'false', 'none'].includes(value.trim().toLowerCase())
  }

  /** Raises what Go says of a bad number, which Docker answers with 500. */
  integer(name: string, parser = 'ParseInt'): number | undefined {
    const value = this.text(name)
    if (value === undefined) return undefined
    if (!/^[+-]?\d+$/.test(value)) {
      throw new GantryError('internal', `strconv.${parser}: parsing ${JSON.stringify(value)}: invalid syntax`)
    }
    return Number(value)
  }

  /** `filters`: JSON, `{"key": ["value"]}` or the older `{"key": {"value": true}}`. Raises invalid. */
  filters(): Filters {
    const text = this.text('filters')
    if (text === undefined) return {}
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch {
      throw invalid('invalid filter')
    }
    if (value === null) return {}
    if (typeof value !== 'object' || Array.isArray(value)) throw invalid('invalid filter')
    const filters: Filters = {}
    for (const [key, given] of Object.entries(value)) filters[key] = filterValues(given)
    return filters
  }

  /** `platform`: JSON since it became an object, else `os/arch/variant`. */
  json<T>(name: string): T | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    try {
      return JSON.parse(text) as T
    } catch (error) {
      throw invalid(`invalid ${name}: ${(error as Error).message}`)
    }
  }

  /** A time in seconds since 1970 with up to nine decimals (`1700000000.000000001`), as nanoseconds. */
  nanoseconds(name: string): bigint | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    const [seconds = '', fraction = ''] = text.split('.', 2)
    if (!/^-?\d+$/.test(seconds)) {
      throw new GantryError(
        'internal',
        `strconv.ParseInt: parsing ${JSON.stringify(seconds)}: invalid syntax`,
      )
    }
    if (!/^\d*$/.test(fraction)) {
      throw new GantryError(
        'internal',
        `strconv.ParseInt: parsing ${JSON.stringify(fraction)}: invalid syntax`,
      )
    }
    return BigInt(seconds) * 1_000_000_000n + BigInt(fraction.slice(0, 9).padEnd(9, '0'))
  }
}

function filterValues(given: unknown): string[] {
  if (Array.isArray(given) && given.every(value => typeof value === 'string')) return given
  if (typeof given !== 'object' || given === null || Array.isArray(given)) throw invalid('invalid filter')
  return Object.entries(given).flatMap(([value, wanted]) => {
    if (typeof wanted !== 'boolean') throw invalid('invalid filter')
    return wanted ? [value] : []
  })
}
