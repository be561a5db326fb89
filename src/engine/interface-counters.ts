/** What a container's interfaces carried. Source: proc(5), /proc/PID/net/dev. */
import type { StatsSample } from './results.ts'

/**
 * Counters by interface, without `lo`, of the text of a `net/dev`: two lines of headings, then `NAME: ` and sixteen numbers, received
 * and sent.
 */
export function parseInterfaces(text: string): NonNullable<StatsSample['networks']> {
  const counters: NonNullable<StatsSample['networks']> = {}
  for (const line of text.split('\n').slice(2)) {
    const colon = line.lastIndexOf(':')
    const name = line.slice(0, colon).trim()
    if (colon < 0 || name === 'lo') continue
    const [rxBytes, rxPackets, rxErrors, rxDropped, , , , , txBytes, txPackets, txErrors, txDropped] = line
      .slice(colon + 1)
      .trim()
      .split(/ +/)
      .map(Number) as Row
    counters[name] = {
      rxBytes,
      rxPackets,
      rxErrors,
      rxDropped,
      txBytes,
      txPackets,
      txErrors,
      txDropped,
    }
  }
  return counters
}

type N = number
type Row = [N, N, N, N, N, N, N, N, N, N, N, N, N, N, N, N]
