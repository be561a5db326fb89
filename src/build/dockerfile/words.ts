/** Words as `ENV`, `LABEL` and `ARG` have them: split at white space, quotes and escapes kept for the expansion. */
import { invalid } from '../../errors.ts'
import type { KeyValue } from './instructions.ts'

/** Split at white space outside of quotes. An escaped blank does not split. Quotes and escapes stay. */
export function wordsOf(text: string, escapeChar: string): string[] {
  const words: string[] = []
  let word = ''
  let quote = ''
  let inWord = false
  for (let index = 0; index < text.length; index++) {
    const char = text[index]!
    if (quote === '' && /\s/.test(char)) {
      if (inWord) words.push(word)
      word = ''
      inWord = false
      continue
    }
    inWord = true
    word += char
    if (quote === '' && (char === "'" || char === '"')) quote = char
    else if (char === quote) quote = ''
    else if (char === escapeChar && quote !== "'" && index + 1 < text.length) word += text[++index]
  }
  if (inWord) words.push(word)
  return words
}

/** `a=1 b="2 3"`, or `a rest of the line`, which is the old form. */
export function pairsOf(
  text: string,
  escapeChar: string,
  keyword: string,
): { pairs: KeyValue[]; legacy: boolean } {
  const words = wordsOf(text, escapeChar)
  const [first] = words
  if (first === undefined) return { pairs: [], legacy: false }
  if (!first.includes('=')) {
    const [, key = '', value] = /^(\S+)(?:\s+(.*))?$/s.exec(text) ?? []
    if (value === undefined) throw invalid(`${keyword} must have two arguments`)
    return { pairs: [{ key, value }], legacy: true }
  }
  const pairs = words.map(word => {
    const equals = word.indexOf('=')
    if (equals < 0) {
      throw invalid(`Syntax error - can't find = in "${word}". Must be of the form: name=value`)
    }
    return { key: word.slice(0, equals), value: word.slice(equals + 1) }
  })
  return { pairs, legacy: false }
}

/** Whether a stage may be called `name`, which is in lower case. */
export function isStageName(name: string): boolean {
  return /^[a-z][a-z0-9-_.]*$/.test(name)
}
