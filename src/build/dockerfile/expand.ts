/**
 * Variables and quotes in a Dockerfile's words, in the subset of the shell's grammar that Docker supports:
 * `$name`, `${name}`, `${name:-word}`, `:+`, `:?` and the same without colon, `#`, `##`, `%`, `%%`, `/`, `//`.
 */
import { invalid } from '../../errors.ts'
import { replaceGlob, trimPrefix, trimSuffix } from './glob.ts'

/** The value of a variable, or `undefined` where it is not set. */
export type Lookup = (name: string) => string | undefined

export interface ExpandOptions {
  /** The escape character; `\` unless told. */
  escapeChar?: string
  /** Leave quotes in place. */
  rawQuotes?: boolean
  /** Leave escapes in place. */
  rawEscapes?: boolean
  /** Leave `$name` in place where it is not set, instead of dropping it. */
  keepUnset?: boolean
  /** Told the name of each variable that was looked up and not found. */
  onUnmatched?: (name: string) => void
}

/** `text` as one word: expanded and unquoted, its white space kept. */
export function expandWord(text: string, lookup: Lookup, options: ExpandOptions = {}): string {
  return new Expansion(text, lookup, options).run().word
}

/** `text` as words: as {@link expandWord}, split where white space is outside of quotes. */
export function splitWords(text: string, lookup: Lookup, options: ExpandOptions = {}): string[] {
  return new Expansion(text, lookup, options).run().words
}

/** Collects characters into one word, and at the same time into words. */
class Words {
  readonly #done: string[] = []
  #current = ''
  #inWord = false

  /** A character as written: white space ends a word. */
  add(char: string): void {
    if (/\s/.test(char)) this.#end()
    else this.addRaw(char)
  }

  /** A character that belongs to a word whatever it is. */
  addRaw(text: string): void {
    this.#current += text
    this.#inWord = true
  }

  addExpanded(text: string): void {
    for (const char of text) this.add(char)
  }

  #end(): void {
    if (this.#inWord) this.#done.push(this.#current)
    this.#current = ''
    this.#inWord = false
  }

  finish(): string[] {
    this.#end()
    return this.#done
  }
}

const SPECIAL = new Set('@*#?-$!0')
const MAX_DEPTH = 100

class Expansion {
  readonly #chars: string[]
  #position = 0
  #depth = 0
  readonly #lookup: Lookup
  readonly #escape: string
  readonly #options: ExpandOptions

  constructor(text: string, lookup: Lookup, options: ExpandOptions) {
    this.#chars = [...text]
    this.#lookup = lookup
    this.#options = options
    this.#escape = options.escapeChar ?? '\\'
  }

  run(): { word: string; words: string[] } {
    return this.#until('', this.#options.rawEscapes ?? false)
  }

  #peek(): string {
    return this.#chars[this.#position] ?? ''
  }

  #next(): string {
    return this.#chars[this.#position++] ?? ''
  }

  /** Everything up to `stop`, which is taken too; with '' up to the end. */
  #until(stop: string, rawEscapes: boolean): { word: string; words: string[] } {
    if (++this.#depth > MAX_DEPTH) throw invalid('too many nested substitutions')
    let word = ''
    const words = new Words()
    for (;;) {
      const char = this.#peek()
      if (stop !== '' && char === stop) {
        this.#next()
        break
      }
      if (char === '') {
        if (stop !== '') throw invalid(`unexpected end of statement while looking for matching ${stop}`)
        break
      }
      if (char === "'" || char === '"') {
        const text = char === "'" ? this.#singleQuoted() : this.#doubleQuoted()
        word += text
        words.addRaw(text)
      } else if (char === '$') {
        const text = this.#dollar()
        word += text
        words.addExpanded(text)
      } else {
        this.#next()
        if (char === this.#escape) {
          if (this.#options.rawEscapes || rawEscapes) {
            word += char
            words.addRaw(char)
          }
          const escaped = this.#next()
          if (escaped === '') break
          word += escaped
          words.addRaw(escaped)
        } else {
          word += char
          words.add(char)
        }
      }
    }
    this.#depth--
    return { word, words: words.finish() }
  }

  #singleQuoted(): string {
    const quote = this.#options.rawQuotes ? "'" : ''
    let text = quote
    this.#next()
    for (;;) {
      const char = this.#next()
      if (char === '') throw invalid('unexpected end of statement while looking for matching single-quote')
      if (char === "'") return text + quote
      text += char
    }
  }

  #doubleQuoted(): string {
    const quote = this.#options.rawQuotes ? '"' : ''
    let text = quote
    this.#next()
    for (;;) {
      const char = this.#peek()
      if (char === '') throw invalid('unexpected end of statement while looking for matching double-quote')
      if (char === '$') {
        text += this.#dollar()
        continue
      }
      this.#next()
      if (char === '"') return text + quote
      if (char !== this.#escape) {
        text += char
        continue
      }
      if (this.#options.rawEscapes) text += char
      const escaped = this.#next()
      if (escaped === '') throw invalid('unexpected end of statement while looking for matching double-quote')
      const kept = this.#options.rawEscapes || '"$'.includes(escaped) || escaped === this.#escape
      text += kept ? escaped : char + escaped
    }
  }

  #dollar(): string {
    this.#next()
    if (this.#peek() !== '{') {
      const name = this.#name()
      if (name === '') return '$'
      return this.#value(name) ?? (this.#options.keepUnset ? `$${name}` : '')
    }
    this.#next()
    if (this.#peek() === '}') throw invalid('syntax error: bad substitution')
    const name = this.#name()
    const operator = this.#next()
    if (operator === '}') {
      return this.#value(name) ?? (this.#options.keepUnset ? `\${${name}}` : '')
    }
    if (operator === '') throw invalid('syntax error: missing right curly brace')
    if (operator !== ':') return this.#modified(name, operator, false)
    const modifier = this.#next()
    if (modifier === '#' || modifier === '%' || modifier === '/') {
      throw invalid(`unsupported modifier (:${modifier}) in substitution`)
    }
    return this.#modified(name, modifier, true)
  }

  /** `${name<operator>word}`; the operator has been read. `colon`: empty counts as unset. */
  #modified(name: string, operator: string, colon: boolean): string {
    const written = (colon ? ':' : '') + operator
    if (operator === '' || !'+-?#%/'.includes(operator)) {
      throw invalid(`unsupported modifier (${written}) in substitution`)
    }
    if (operator === '/') return this.#replaced(name)
    const isPattern = operator === '#' || operator === '%'
    const greedy = isPattern && this.#peek() === operator
    if (greedy) this.#next()
    const word = this.#part('}', isPattern)
    const found = this.#value(name)
    const value = colon && found === '' ? undefined : found
    if (value === undefined && this.#options.keepUnset)
      return `\${${name}${written}${greedy ? operator : ''}${word}}`
    switch (operator) {
      case '-':
        return value ?? word
      case '+':
        return value === undefined ? '' : word
      case '?':
        if (value !== undefined) return value
        throw invalid(
          `${name}: ${word || (found === '' ? 'is not allowed to be empty' : 'is not allowed to be unset')}`,
        )
      case '#':
        return trimPrefix(value ?? '', word, greedy)
      default:
        return trimSuffix(value ?? '', word, greedy)
    }
  }

  #replaced(name: string): string {
    const all = this.#peek() === '/'
    if (all) this.#next()
    const pattern = this.#part('/', true)
    const replacement = this.#part('}', true)
    const value = this.#value(name)
    if (value === undefined)
      return this.#options.keepUnset ? `\${${name}/${all ? '/' : ''}${pattern}/${replacement}}` : ''
    return replaceGlob(value, pattern, replacement, { all, escapeChar: this.#escape })
  }

  /** What stands inside of `${…}` up to `stop`. */
  #part(stop: string, rawEscapes: boolean): string {
    try {
      return this.#until(stop, rawEscapes).word
    } catch (error) {
      if (this.#peek() === '') throw invalid(`syntax error: missing '${stop}'`, error)
      throw error
    }
  }

  #value(name: string): string | undefined {
    const value = this.#lookup(name)
    if (value === undefined) this.#options.onUnmatched?.(name)
    return value
  }

  #name(): string {
    const first = this.#peek()
    if (/\d/.test(first)) return this.#run(/\d/)
    if (SPECIAL.has(first)) return this.#next()
    return this.#run(/\w/)
  }

  #run(allowed: RegExp): string {
    let name = ''
    while (this.#peek() !== '' && allowed.test(this.#peek())) name += this.#next()
    return name
  }
}
