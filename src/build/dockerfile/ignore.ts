/** The patterns of `.dockerignore` and of `--exclude`: Go's path matching, and `**`, and `!`. */
import * as path from 'node:path'
import { invalid } from '../../errors.ts'
import { ANY_MANY, exactly, IN_NAME, IN_NAME_MANY, Pattern, type Token } from './pattern.ts'

/** Says whether it fits all of a text. */
export interface Matcher {
  test(text: string): boolean
}

interface Rule {
  negated: boolean
  matches: Matcher
}

/** The patterns in a `.dockerignore`: comments and blank lines dropped, paths made clean and relative. */
export function parseIgnore(text: string): string[] {
  const body = text.charCodeAt(0) === 0xfeff ? text.slice(1) : text
  const patterns: string[] = []
  for (const line of body.split('\n')) {
    if (line.startsWith('#')) continue
    let pattern = line.trim()
    if (pattern === '') continue
    const negated = pattern.startsWith('!')
    if (negated) pattern = pattern.slice(1).trim()
    if (pattern !== '') {
      pattern = clean(pattern)
      if (pattern.length > 1 && pattern.startsWith('/')) pattern = pattern.slice(1)
    }
    patterns.push(negated ? `!${pattern}` : pattern)
  }
  new IgnoreMatcher(patterns) // says what is wrong with them
  return patterns
}

/** As Go's `filepath.Clean`: no trailing slash, no `.` or `..` that can be resolved. */
function clean(file: string): string {
  const normal = path.posix.normalize(file)
  return normal.length > 1 && normal.endsWith('/') ? normal.slice(0, -1) : normal
}

/** Which paths a list of patterns takes out. The last pattern that fits a path decides. */
export class IgnoreMatcher {
  readonly #patterns: Rule[] = []
  /** Whether a `!` can bring something back from inside a folder that is out. */
  readonly hasNegation: boolean

  constructor(patterns: readonly string[]) {
    for (const written of patterns) {
      const trimmed = written.trim()
      if (trimmed === '') continue
      const negated = trimmed.startsWith('!')
      if (negated && trimmed.length === 1) throw invalid('illegal exclusion pattern: "!"')
      const pattern = clean(negated ? trimmed.slice(1) : trimmed)
      this.#patterns.push({ negated, matches: compile(pattern) })
    }
    this.hasNegation = this.#patterns.some(pattern => pattern.negated)
  }

  /** Whether `file`, relative and with slashes, is out: by itself or with one of its folders. */
  ignores(file: string): boolean {
    let ignored = false
    let prefixes: string[] | undefined
    for (const { negated, matches } of this.#patterns) {
      if (negated !== ignored) continue
      prefixes ??= prefixesOf(file)
      if (prefixes.some(prefix => matches.test(prefix))) ignored = !negated
    }
    return ignored
  }
}

/** `a/b/c` is `a/b/c`, `a`, `a/b`: the path itself first, which mostly decides. */
function prefixesOf(file: string): string[] {
  const prefixes = [file]
  for (let slash = file.indexOf('/'); slash > 0; slash = file.indexOf('/', slash + 1)) {
    prefixes.push(file.slice(0, slash))
  }
  return prefixes
}

/** More stars than that, and a regular expression may take for ever. */
const MAX_STARS = 2

/** One pattern over a whole path. `**` is any number of folders. @throws GantryError `invalid` */
export function compile(pattern: string, maxStars = MAX_STARS): Matcher {
  const chars = [...pattern]
  const tokens: Token[] = []
  let source = ''
  let stars = 0
  const add = (token: Token, text: string): void => {
    tokens.push(token)
    source += text
    if (token === 'folders' || token.many) stars++
  }
  for (let index = 0; index < chars.length; index++) {
    const char = chars[index]!
    if (char === '*' && chars[index + 1] === '*') {
      while (chars[index + 1] === '*') index++
      if (chars[index + 1] === '/') index++
      if (index + 1 >= chars.length) add(ANY_MANY, '.*')
      else add('folders', '(?:.*/)?')
    } else if (char === '*') add(IN_NAME_MANY, '[^/]*')
    else if (char === '?') add(IN_NAME, '[^/]')
    else if (char === '[') {
      const { text, end } = readClass(chars, index, pattern)
      const one = new RegExp(`^${text}$`, 'su')
      add({ fits: other => one.test(other) }, text)
      index = end
    } else if (char === '\\') {
      const escaped = chars[++index]
      if (escaped === undefined) throw bad(pattern)
      add(exactly(escaped), literal(escaped))
    } else add(exactly(char), literal(char))
  }
  return stars > maxStars ? new Pattern(tokens) : new RegExp(`^${source}$`, 'su')
}

/** `[a-z]`, as a regular expression has it; `end` is where its bracket closes. */
function readClass(chars: readonly string[], start: number, pattern: string): { text: string; end: number } {
  let text = '['
  for (let index = start + 1; index < chars.length; index++) {
    const char = chars[index]!
    if (char === '\\') {
      const escaped = chars[++index]
      if (escaped === undefined) break
      text += literal(escaped)
    } else if (char === ']') {
      try {
        new RegExp(`${text}]`, 'su')
      } catch {
        break
      }
      return { text: `${text}]`, end: index }
    } else text += char === '[' ? '\\[' : char
  }
  throw bad(pattern)
}

/** `char` as it has to stand in a regular expression to mean itself. */
function literal(char: string): string {
  return /[\\^$.*+?()[\]{}|/]/.test(char) ? `\\${char}` : char
}

const bad = (pattern: string) => invalid(`invalid pattern "${pattern}": syntax error in pattern`)

/** Go's `filepath.Match` for one path: `*` and `?` do not cross a slash, `**` is nothing special. */
export function wildcard(pattern: string): Matcher {
  return compile(pattern.replace(/\*{2,}/g, '*'))
}

/** Whether a source of a `COPY` is a pattern and not a name. */
export function hasWildcard(text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    if (text[index] === '\\') index++
    else if ('*?['.includes(text[index]!)) return true
  }
  return false
}
