/** The flags of an instruction: `--from=build`, `--link`, `--mount=…` (several). */
import { invalid } from '../../errors.ts'
import { withSuggestion } from './suggest.ts'

export type FlagKind = 'string' | 'boolean' | 'strings'

export interface FlagValues {
  string(name: string): string | undefined
  boolean(name: string): boolean | undefined
  strings(name: string): string[]
}

/** Read `flags` against what the instruction knows. Raises Docker's sentences for what it does not. */
export function readFlags(flags: string[], known: Record<string, FlagKind>): FlagValues {
  const values = new Map<string, string[]>()
  for (const flag of flags) {
    const [, name = '', equals, value = ''] = /^--([^=]*)(=)?(.*)$/s.exec(flag) ?? []
    const kind = Object.hasOwn(known, name) ? known[name] : undefined
    if (!kind) throw invalid(withSuggestion(`unknown flag: --${name}`, name, Object.keys(known)))
    const before = values.get(name)
    if (before && kind !== 'strings') throw invalid(`duplicate flag specified: --${name}`)
    if (kind === 'boolean') {
      const text = equals ? value.toLowerCase() : 'true'
      if (text !== 'true' && text !== 'false') {
        throw invalid(`expecting boolean value for flag --${name}, not: ${value}`)
      }
      values.set(name, [text])
    } else {
      if (!equals) throw invalid(`missing a value on flag: --${name}`)
      values.set(name, [...(before ?? []), value])
    }
  }
  return {
    string: name => values.get(name)?.[0],
    boolean: name => (values.has(name) ? values.get(name)![0] === 'true' : undefined),
    strings: name => values.get(name) ?? [],
  }
}
