/** Here-documents: `RUN <<EOF`, `COPY <<-"one" <<two /dest`. */
import { type ExpandOptions, splitWords } from './expand.ts'

export interface Heredoc {
  /** The terminator, unquoted. */
  name: string
  /** The file descriptor before `<<`; 0 unless written. */
  fd: number
  /** Whether variables in the content are expanded: not when the terminator was quoted. */
  expand: boolean
  /** `<<-`: leading tabs are taken off. */
  chomp: boolean
  /** The lines up to the terminator, as written. */
  content: string
}

const HEREDOC = /^(\d*)<<(-?)([^<]*)$/

/** The heredoc that a word opens, if it opens one. */
export function heredocOf(word: string, escapeChar = '\\'): Heredoc | undefined {
  const match = HEREDOC.exec(word)
  const rest = match?.[3] ?? ''
  if (!match || rest === '') return undefined
  const raw: ExpandOptions = { escapeChar, rawQuotes: true, rawEscapes: true, keepUnset: true }
  const quoted = tryWords(rest, raw)
  const plain = tryWords(rest, { escapeChar, keepUnset: true })
  if (quoted?.length !== 1 || plain?.length !== 1) return undefined
  return {
    name: plain[0]!,
    fd: match[1] === '' ? 0 : Number(match[1]),
    expand: quoted[0] === plain[0],
    chomp: match[2] === '-',
    content: '',
  }
}

function tryWords(text: string, options: ExpandOptions): string[] | undefined {
  try {
    return splitWords(text, () => undefined, options)
  } catch {
    return undefined
  }
}

/** The heredocs that a line opens, in order, their content still empty. */
export function heredocsOf(line: string, escapeChar: string): Heredoc[] {
  const words = tryWords(line, { escapeChar, rawQuotes: true, rawEscapes: true, keepUnset: true }) ?? []
  return words.flatMap(word => heredocOf(word, escapeChar) ?? [])
}

/** The content with leading tabs taken off where `<<-` asked for it. */
export function heredocText(heredoc: Heredoc): string {
  return heredoc.chomp ? heredoc.content.replace(/^\t+/gm, '') : heredoc.content
}
