/** The shell patterns of `${name#pattern}`: `*`, `?` and escapes. */
import { ANY, ANY_MANY, exactly, Pattern, type Token } from './pattern.ts'

function globTokens(pattern: string, escapeChar: string): Token[] {
  const tokens: Token[] = []
  const chars = [...pattern]
  for (let index = 0; index < chars.length; index++) {
    const char = chars[index]!
    if (char === '*') {
      if (tokens.at(-1) !== ANY_MANY) tokens.push(ANY_MANY)
    } else if (char === '?') tokens.push(ANY)
    else if (char === escapeChar && index + 1 < chars.length) tokens.push(exactly(chars[++index]!))
    else tokens.push(exactly(char))
  }
  return tokens
}

/** `value` without the shortest, or longest, piece at its beginning that fits. */
export function trimPrefix(value: string, pattern: string, longest: boolean): string {
  const chars = [...value]
  const length = new Pattern(globTokens(pattern, '\\')).prefix(chars, 0, longest) ?? 0
  return chars.slice(length).join('')
}

/** As {@link trimPrefix}, at its end. */
export function trimSuffix(value: string, pattern: string, longest: boolean): string {
  const chars = [...value].reverse()
  const length = new Pattern(globTokens(pattern, '\\').reverse()).prefix(chars, 0, longest) ?? 0
  return chars.slice(length).reverse().join('')
}

/** `value` with the first piece that fits, or `all` of them, replaced; each is as long as it can be. */
export function replaceGlob(
  value: string,
  pattern: string,
  replacement: string,
  { all, escapeChar }: { all: boolean; escapeChar: string },
): string {
  const tokens = globTokens(pattern, escapeChar)
  const matcher = new Pattern(tokens)
  const chars = [...value]
  let result = ''
  for (let at = 0; at <= chars.length; ) {
    const length = matcher.prefix(chars, at, true)
    // What begins with a star and fits nothing from here on fits nothing later.
    if (length === undefined && tokens[0] === ANY_MANY) return result + chars.slice(at).join('')
    if (length === undefined) {
      result += chars[at++] ?? ''
      continue
    }
    result += replacement
    if (!all) return result + chars.slice(at + length).join('')
    if (length === 0) result += chars[at] ?? ''
    at += Math.max(length, 1)
    if (at === chars.length && length > 0) break
  }
  return result
}
