/**
 * The outer grammar of a Dockerfile: directives, comments, continued lines and here-documents. What comes out is a list
 * of {@link RawInstruction}s: a keyword, its flags and the rest of its text, nothing of it expanded yet.
 */
import { DockerfileError, type LineRange, parseError } from './errors.ts'
import { type Heredoc, heredocsOf } from './heredoc.ts'

export type Directives = Partial<Record<'syntax' | 'escape' | 'check', { value: string; line: number }>>

export interface RawInstruction {
  /** Upper case. */
  keyword: string
  /** As it was written. */
  written: string
  /** `--name` or `--name=value`, quotes and escapes resolved. */
  flags: string[]
  /** The rest of the logical line, trimmed. */
  rest: string
  /** The logical line as one: continuations joined, white space around it trimmed. */
  original: string
  heredocs: Heredoc[]
  range: LineRange
  /** The comment lines straight above, without `#`. */
  comments: string[]
}

export interface SourceFile {
  directives: Directives
  /** `\` unless a directive says `` ` ``. */
  escapeChar: string
  instructions: RawInstruction[]
  /** Blank lines inside continued instructions: allowed, but a warning. */
  emptyContinuations: LineRange[]
  text: string
}

const HEREDOC_KEYWORDS = new Set(['ADD', 'COPY', 'RUN'])

/** Split a Dockerfile into instructions. A byte-order mark and CRLF are accepted. */
export function splitInstructions(source: string): SourceFile {
  const text = source.charCodeAt(0) === 0xfeff ? source.slice(1) : source
  const lines = text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  const { directives, escapeChar } = readDirectives(lines)
  const file: SourceFile = { directives, escapeChar, instructions: [], emptyContinuations: [], text }
  let comments: string[] = []
  for (let index = 0; index < lines.length; ) {
    const start = index + 1
    const line = chomp(lines[index++]!).trimStart()
    if (line.startsWith('#')) {
      if (!Object.values(directives).some(directive => directive.line === start))
        comments.push(line.slice(1).trim())
      continue
    }
    if (line.trim() === '') continue
    let [joined, more] = withoutContinuation(line, escapeChar)
    let blank = false
    while (more && index < lines.length) {
      const next = chomp(lines[index++]!)
      if (/^\s*#/.test(next)) continue
      if (next.trim() === '') {
        blank = true
        continue
      }
      const [part, continues] = withoutContinuation(next, escapeChar)
      joined += part
      more = continues
    }
    if (blank) file.emptyContinuations.push({ start, end: index })
    const range = { start, end: index }
    const instruction = readInstruction(joined, range, escapeChar)
    for (const heredoc of instruction.heredocs) {
      index = readHeredoc(heredoc, lines, index)
      if (index < 0) throw parseErrorless('unterminated heredoc', { start, end: lines.length })
    }
    range.end = index
    instruction.comments = comments
    comments = []
    file.instructions.push(instruction)
  }
  return file
}

const parseErrorless = (message: string, range: LineRange) => new DockerfileError(message, range)
const chomp = (line: string) => withoutEnd(line, '\r')

/** Without those of `chars` that stand at its end. A regular expression would look at each run of them again and again. */
function withoutEnd(text: string, chars: string): string {
  let end = text.length
  while (end > 0 && chars.includes(text[end - 1]!)) end--
  return text.slice(0, end)
}

const DIRECTIVE = /^#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=/
const KNOWN = new Set(['syntax', 'escape', 'check'])

/** Directives stand at the very top; the first line that is none ends them. */
function readDirectives(lines: string[]): { directives: Directives; escapeChar: string } {
  const directives: Directives = {}
  let escapeChar = '\\'
  for (const [index, line] of lines.entries()) {
    const match = DIRECTIVE.exec(line)
    const value = line.slice(match?.[0].length).trim()
    if (!match || value === '') break
    const name = match[1]!.toLowerCase() as keyof Directives
    if (!KNOWN.has(name)) break
    const range = { start: index + 1, end: index + 1 }
    if (directives[name]) {
      throw parseErrorless(`only one ${name} parser directive can be used`, range)
    }
    directives[name] = { value, line: index + 1 }
    if (name !== 'escape') continue
    escapeChar = value
    if (escapeChar !== '\\' && escapeChar !== '`') {
      throw parseErrorless(`invalid escape token '${escapeChar}' does not match \` or \\`, range)
    }
  }
  return { directives, escapeChar }
}

/** The line without a trailing escape character, and whether it had one. Two of them are a literal one. */
function withoutContinuation(line: string, escapeChar: string): [string, boolean] {
  const end = withoutEnd(line, ' \t')
  if (!end.endsWith(escapeChar) || end.endsWith(escapeChar + escapeChar)) return [line, false]
  return [end.slice(0, -1), true]
}

function readInstruction(joined: string, range: LineRange, escapeChar: string): RawInstruction {
  const original = joined.trim()
  const { written, flags, rest } = splitKeyword(original, range, escapeChar)
  const keyword = written.toUpperCase()
  const inner = keyword === 'ONBUILD' ? rest.split(/\s/, 1)[0]!.toUpperCase() : keyword
  const heredocs = HEREDOC_KEYWORDS.has(inner) ? heredocsOf(rest, escapeChar) : []
  return { keyword, written, flags, rest, original, heredocs, range, comments: [] }
}

/** `COPY --from=a b c` into `COPY`, `[--from=a]` and `b c`. */
export function splitKeyword(
  line: string,
  range: LineRange,
  escapeChar = '\\',
): { written: string; flags: string[]; rest: string } {
  const space = line.search(/\s/)
  if (space < 0) return { written: line, flags: [], rest: '' }
  const { flags, rest } = splitFlags(line.slice(space).trim(), escapeChar, range)
  return { written: line.slice(0, space), flags, rest }
}

/** Leading words that begin with `--`. Quotes and escapes in them are resolved, as a shell would. */
function splitFlags(text: string, escapeChar: string, range: LineRange): { flags: string[]; rest: string } {
  const flags: string[] = []
  let position = 0
  for (;;) {
    while (/\s/.test(text[position] ?? '')) position++
    if (!text.startsWith('--', position)) break
    let word = ''
    let quote = ''
    while (position < text.length) {
      const char = text[position]!
      if (quote === '' && /\s/.test(char)) break
      if (quote === '' && (char === '"' || char === "'")) quote = char
      else if (char === quote) quote = ''
      else if (char === escapeChar && position + 1 < text.length) word += text[++position]
      else word += char
      position++
    }
    if (word === '--') break
    if (quote !== '') throw parseError(range, `unexpected end of statement while looking for matching quote`)
    flags.push(word)
  }
  return { flags, rest: text.slice(position).trim() }
}

/** Fills in the content; answers the line after the terminator, or -1 if there is none. */
function readHeredoc(heredoc: Heredoc, lines: string[], from: number): number {
  const content: string[] = []
  for (let index = from; index < lines.length; index++) {
    const line = lines[index]!
    const candidate = chomp(heredoc.chomp ? line.replace(/^\t+/, '') : line)
    if (candidate === heredoc.name) {
      heredoc.content = content.join('')
      return index + 1
    }
    content.push(line + '\n')
  }
  return -1
}
