/** Durations as Go writes them: `1h30m`, `1.5s`, `300ms`. */
import { invalid } from '../../errors.ts'

const UNITS: Record<string, number> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
}

/** Nanoseconds. Raises Go's sentences, which users of Docker know. */
export function parseDuration(text: string): number {
  if (/^[+-]?0$/.test(text)) return 0
  const sign = text.startsWith('-') ? -1 : 1
  const body = text.replace(/^[+-]/, '')
  const part = /(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)?/y
  let total = 0
  while (part.lastIndex < body.length || body === '') {
    const at = part.lastIndex
    const match = part.exec(body)
    if (!match)
      throw invalid(`time: ${at === 0 ? 'invalid' : 'unknown unit in'} duration ${JSON.stringify(text)}`)
    if (match[2] === undefined) {
      const unit = /^[a-zA-Z]+/.exec(body.slice(part.lastIndex))?.[0]
      throw invalid(
        unit === undefined
          ? `time: missing unit in duration ${JSON.stringify(text)}`
          : `time: unknown unit ${JSON.stringify(unit)} in duration ${JSON.stringify(text)}`,
      )
    }
    total += Number(match[1]) * UNITS[match[2]]!
  }
  return sign * Math.round(total)
}
