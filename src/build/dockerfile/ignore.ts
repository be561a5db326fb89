/** The patterns of `.dockerignore` and of `--exclude`: Go's path matching, and `**`, and `!`. */
import * as path from 'node:path'
import { invalid } from '../../errors.ts'
import { literal } from './glob.ts'

interface Pattern {
  negated: boolean
  matches: RegExp
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
  readonly #patterns: Pattern[] = []
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

/** One pattern as a regular expression over a whole path. `**` is any number of folders. */
function compile(pattern: string): RegExp {
  const chars = [...pattern]
  let source = ''
  let inClass = false
  for (let index = 0; index < chars.length; index++) {
    const char = chars[index]!
    if (inClass) {
      if (char === '\\') {
        const escaped = chars[++index]
        if (escaped === undefined) throw bad(pattern)
        source += literal(escaped)
        continue
      }
      inClass = char !== ']'
      source += char === '[' ? '\\[' : char
    } else if (char === '*' && chars[index + 1] === '*') {
      while (chars[index + 1] === '*') index++
      if (chars[index + 1] === '/') index++
      source += index + 1 >= chars.length ? '.*' : '(?:.*/)?'
    } else if (char === '*') source += '[^/]*'
    else if (char === '?') source += '[^/]'
    else if (char === '[') {
      inClass = true
      source += '['
    } else if (char === '\\') {
      const escaped = chars[++index]
      if (escaped === undefined) throw bad(pattern)
      source += literal(escaped)
    } else source += literal(char)
  }
  try {
    return new RegExp(`^${source}$`, 'su')
  } catch {
    throw bad(pattern)
  }
}

const bad = (pattern: string) => invalid(`invalid pattern "${pattern}": syntax error in pattern`)

/** Go's `filepath.Match` for one path: `*` and `?` do not cross a slash, `**` is nothing special. */
export function wildcard(pattern: string): RegExp {
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
