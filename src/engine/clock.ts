/** Wall time with nanoseconds, as events, logs and states carry it. */

/** Docker's "never". */
export const NEVER = '0001-01-01T00:00:00Z'

const REANCHOR_MS = 5
let anchorWall = 0n
let anchorSteady = 0n
let last = 0n

/** Nanoseconds since 1970; never the same twice, and forward unless someone sets the clock back. */
export function nowNano(): bigint {
  const steady = process.hrtime.bigint()
  const wall = BigInt(Date.now()) * 1_000_000n
  let now = anchorWall + (steady - anchorSteady)
  const drift = now - wall
  if (drift > BigInt(REANCHOR_MS) * 1_000_000n || drift < -BigInt(REANCHOR_MS) * 1_000_000n) {
    anchorWall = wall
    anchorSteady = steady
    now = wall
    last = 0n
  }
  if (now <= last) now = last + 1n
  last = now
  return now
}

/** RFC 3339 in UTC with as many digits of the nanoseconds as are not zero, as Go prints it. */
export function formatNano(nano: bigint): string {
  const milliseconds = nano / 1_000_000n
  const seconds = new Date(Number(milliseconds)).toISOString().slice(0, 19)
  const fraction = (nano % 1_000_000_000n).toString().padStart(9, '0').replace(/0+$/, '')
  return fraction ? `${seconds}.${fraction}Z` : `${seconds}Z`
}

export function nowText(): string {
  return formatNano(nowNano())
}

/** Nanoseconds since 1970 of an RFC 3339 text; undefined where it is none. */
export function parseNano(text: string): bigint | undefined {
  const parts = /^(.{19})(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)$/.exec(text)
  if (!parts) return undefined
  const milliseconds = Date.parse(parts[1]! + parts[3]!)
  if (Number.isNaN(milliseconds)) return undefined
  return BigInt(milliseconds) * 1_000_000n + BigInt((parts[2] ?? '').padEnd(9, '0'))
}

/** Milliseconds since 1970; 0 for {@link NEVER}. */
export function millisecondsOf(text: string): number {
  return text === NEVER ? 0 : Date.parse(text)
}
