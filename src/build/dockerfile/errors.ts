/** What is wrong with a Dockerfile: the sentence, the lines it is about, and the excerpt that shows them. */
import { GantryError } from '../../errors.ts'

/** Lines counted from 1, both included. */
export interface LineRange {
  start: number
  end: number
}

/** A problem with a place. `message` is the whole sentence that a client prints. */
export class DockerfileError extends GantryError {
  readonly range: LineRange | undefined

  constructor(message: string, range?: LineRange, options?: ErrorOptions) {
    super('invalid', message, options)
    this.name = 'DockerfileError'
    this.range = range
  }
}

/** `dockerfile parse error on line 3: …`, which is how a mistake in an instruction's form is told. */
export function parseError(range: LineRange, problem: string): DockerfileError {
  return new DockerfileError(`dockerfile parse error on line ${range.start}: ${problem}`, range)
}

const AROUND = 4

/**
 * The lines around `range` as BuildKit's clients show them, `>>>` before those that are meant. Up to four lines of
 * surroundings go with a single line, fewer with more, so that an excerpt stays short.
 */
export function excerpt(file: string, text: string, range: LineRange): string {
  const lines = text.split('\n').map(line => line.replace(/\r$/, ''))
  const end = Math.min(Math.max(range.end, range.start), lines.length)
  let first = range.start
  let last = end
  for (let padding = 0; padding < AROUND && last - first < AROUND; ) {
    const before = [first, last]
    if (first > 1) {
      first--
      padding++
    }
    if (last !== lines.length) {
      last++
      padding++
    }
    if (before[0] === first && before[1] === last) break
  }
  const shown = lines.slice(first - 1, last).map((line, index) => {
    const number = first + index
    const marked = number >= range.start && number <= end
    return ` ${String(number).padStart(3)} | ${marked ? '>>>' : '   '} ${line}`
  })
  const rule = '--------------------'
  return [`${file}:${range.start}`, rule, ...shown, rule].join('\n')
}
