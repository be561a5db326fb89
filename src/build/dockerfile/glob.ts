/** The shell patterns of `${name#pattern}`: `*`, `?` and escapes, as the source of a regular expression. */

export interface GlobOptions {
  /** `*` takes as much as it can. */
  greedy: boolean
  escapeChar?: string
  /** For a text that is matched from its end: the parts come out in reverse order. */
  reversed?: boolean
}

/** The source of a regular expression (flags `su`) that matches what `pattern` matches. Not anchored. */
export function globSource(pattern: string, options: GlobOptions): string {
  const escapeChar = options.escapeChar ?? '\\'
  const parts: string[] = []
  const chars = [...pattern]
  for (let index = 0; index < chars.length; index++) {
    const char = chars[index]!
    if (char === '*') {
      if (parts.at(-1) !== anything(options)) parts.push(anything(options))
    } else if (char === '?') parts.push('.')
    else if (char === escapeChar && index + 1 < chars.length) parts.push(literal(chars[++index]!))
    else parts.push(literal(char))
  }
  return (options.reversed ? parts.reverse() : parts).join('')
}

const anything = (options: GlobOptions) => (options.greedy ? '.*' : '.*?')

/** `char` as it has to stand in a regular expression to mean itself. */
export function literal(char: string): string {
  return /[\\^$.*+?()[\]{}|/]/.test(char) ? `\\${char}` : char
}
