/** `HEALTHCHECK [--interval=…] CMD …` and `HEALTHCHECK NONE`. */
import type { HealthcheckSpec } from '../../engine/types.ts'
import { invalid } from '../../errors.ts'
import { parseDuration } from './duration.ts'
import type { FlagValues } from './flags.ts'
import type { CommandForm } from './instructions.ts'

const MINIMUM = 1_000_000

export function parseHealthcheck(
  text: string,
  flags: FlagValues,
  commandForm: (rest: string) => CommandForm,
): HealthcheckSpec {
  const [, written = '', rest = ''] = /^(\S*)\s*(.*)$/s.exec(text) ?? []
  if (written === '') throw invalid('HEALTHCHECK requires at least one argument')
  const kind = written.toUpperCase()
  if (kind === 'NONE') {
    if (rest !== '') throw invalid('HEALTHCHECK NONE takes no arguments')
    return { test: ['NONE'] }
  }
  if (kind !== 'CMD') throw invalid(`Unknown type "${kind}" in HEALTHCHECK (try CMD)`)
  const { words, shell } = commandForm(rest)
  if (words.length === 0) throw invalid('Missing command after HEALTHCHECK CMD')
  const check: HealthcheckSpec = { test: shell ? ['CMD-SHELL', ...words] : ['CMD', ...words] }
  const duration = (name: string): number | undefined => {
    const value = flags.string(name)
    if (value === undefined || value === '') return undefined
    const nanoseconds = parseDuration(value)
    if (nanoseconds !== 0 && nanoseconds < MINIMUM) {
      throw invalid(`Interval "${name}" cannot be less than 1ms`)
    }
    return nanoseconds
  }
  const interval = duration('interval')
  const timeout = duration('timeout')
  const startPeriod = duration('start-period')
  const startInterval = duration('start-interval')
  const retriesText = flags.string('retries')
  const retries = retriesText === undefined || retriesText === '' ? undefined : readRetries(retriesText)
  return {
    ...check,
    ...(interval && { interval }),
    ...(timeout && { timeout }),
    ...(startPeriod && { startPeriod }),
    ...(startInterval && { startInterval }),
    ...(retries && { retries }),
  }
}

function readRetries(text: string): number {
  if (!/^[+-]?\d+$/.test(text)) throw invalid(`strconv.ParseInt: parsing "${text}": invalid syntax`)
  const retries = Number(text)
  if (retries < 0) throw invalid(`--retries cannot be negative (${retries})`)
  return retries
}
