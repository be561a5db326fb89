/** What a list of device rules comes to: the last rule that matches decides. */
import type { DeviceRule } from '../spec.ts'

/** Rules that name what is an exception to {@link EffectiveDevices.allowAll}. */
export interface EffectiveDevices {
  /** What happens to a device that no rule names. */
  allowAll: boolean
  rules: Required<DeviceAccessRule>[]
}

interface DeviceAccessRule {
  allow: boolean
  type: 'c' | 'b'
  /** -1 is every number. */
  major: number
  minor: number
  access: string
}

const rule = (type: 'c' | 'b', major: number, minor: number, access: string): DeviceRule => ({
  allow: true,
  type,
  access,
  ...(major >= 0 && { major }),
  ...(minor >= 0 && { minor }),
})

/**
 * What every container may use, whatever its rules say (runc: the devices it makes itself). Making nodes is harmless,
 * opening them is what the other rules decide.
 */
const alwaysAllowed: readonly DeviceRule[] = [
  rule('c', -1, -1, 'm'),
  rule('b', -1, -1, 'm'),
  rule('c', 1, 3, 'rwm'), // null
  rule('c', 1, 8, 'rwm'), // random
  rule('c', 1, 7, 'rwm'), // full
  rule('c', 5, 0, 'rwm'), // tty
  rule('c', 1, 5, 'rwm'), // zero
  rule('c', 1, 9, 'rwm'), // urandom
  rule('c', 136, -1, 'rwm'), // pts/N
  rule('c', 5, 2, 'rwm'), // ptmx
  rule('c', 10, 200, 'rwm'), // net/tun
]

/** Rules in order, then {@link alwaysAllowed}, reduced to what still matters. */
export function effectiveDevices(rules: readonly DeviceRule[]): EffectiveDevices {
  let allowAll = true
  let kept: DeviceAccessRule[] = []
  for (const given of [...rules, ...alwaysAllowed]) {
    const everything = (given.type ?? 'a') === 'a' && given.major === undefined && given.minor === undefined
    if (everything) {
      allowAll = given.allow
      kept = []
      continue
    }
    for (const type of given.type === 'c' || given.type === 'b' ? [given.type] : (['c', 'b'] as const)) {
      const next = { ...given, type, major: given.major ?? -1, minor: given.minor ?? -1 }
      kept = merge(kept, { ...next, access: given.access || 'rwm' }, allowAll)
    }
  }
  return { allowAll, rules: kept }
}

/** Take `next` in: what it repeats or takes back from earlier rules for the same numbers goes. */
function merge(kept: DeviceAccessRule[], next: DeviceAccessRule, allowAll: boolean): DeviceAccessRule[] {
  const same = (other: DeviceAccessRule): boolean =>
    other.type === next.type && other.major === next.major && other.minor === next.minor
  const present = kept.find(same)
  const others = kept.filter(other => !same(other))
  const exceptional = new Set(present?.access)
  // A kept rule is always an exception to allowAll: its sense is the opposite.
  for (const letter of next.access) {
    if (next.allow === allowAll) exceptional.delete(letter)
    else exceptional.add(letter)
  }
  if (exceptional.size === 0) return others
  const access = [...'rwm'].filter(letter => exceptional.has(letter)).join('')
  return [...others, { ...next, allow: !allowAll, access }]
}

/** As the v1 files want it: `c 1:3 rwm`. */
export function deviceLine({ type, major, minor, access }: DeviceAccessRule): string {
  const number = (value: number): string => (value < 0 ? '*' : String(value))
  return `${type} ${number(major)}:${number(minor)} ${access}`
}
