/** Signals by the names that Docker takes. signal(7) */
import * as os from 'node:os'
import { invalid } from '../errors.ts'

const SIGRTMIN = 34
const SIGRTMAX = 64

const numbers = new Map<string, number>()
for (const [name, number] of Object.entries(os.constants.signals)) numbers.set(name.slice(3), number)
numbers.set('CLD', numbers.get('CHLD')!)
numbers.set('STKFLT', 16)
numbers.set('PWR', 30)
numbers.set('IO', 29)
numbers.set('POLL', 29)
numbers.set('RTMIN', SIGRTMIN)
numbers.set('RTMAX', SIGRTMAX)
for (let i = 1; i <= 15; i++) numbers.set(`RTMIN+${i}`, SIGRTMIN + i)
for (let i = 1; i <= 14; i++) numbers.set(`RTMAX-${i}`, SIGRTMAX - i)

/** `SIGTERM`, `term`, `15` → 15. Raises invalid. */
export function parseSignal(text: string): number {
  const number = findSignal(text)
  if (number === undefined) throw invalid(`invalid signal: ${text}`)
  return number
}

function findSignal(text: string): number | undefined {
  if (/^\d+$/.test(text)) {
    const number = Number(text)
    return number > 0 && number <= SIGRTMAX ? number : undefined
  }
  return numbers.get(text.toUpperCase().replace(/^SIG/, ''))
}

export const SIGKILL = 9
export const SIGTERM = 15

/** The container's own stop signal; SIGTERM where it has none or one that nobody knows. */
export function stopSignalOf(config: { stopSignal?: string }): number {
  return config.stopSignal ? (findSignal(config.stopSignal) ?? SIGTERM) : SIGTERM
}
