/** Capability names, sets and Docker's rules for adding and dropping them. Source: capabilities(7). */
import { readFileSync } from 'node:fs'
import { invalid, messageOf } from '../errors.ts'
import type { CapabilitySets } from './spec.ts'

/** Index is the capability's number. */
const NAMES = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_DAC_READ_SEARCH',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETPCAP',
  'CAP_LINUX_IMMUTABLE',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_BROADCAST',
  'CAP_NET_ADMIN',
  'CAP_NET_RAW',
  'CAP_IPC_LOCK',
  'CAP_IPC_OWNER',
  'CAP_SYS_MODULE',
  'CAP_SYS_RAWIO',
  'CAP_SYS_CHROOT',
  'CAP_SYS_PTRACE',
  'CAP_SYS_PACCT',
  'CAP_SYS_ADMIN',
  'CAP_SYS_BOOT',
  'CAP_SYS_NICE',
  'CAP_SYS_RESOURCE',
  'CAP_SYS_TIME',
  'CAP_SYS_TTY_CONFIG',
  'CAP_MKNOD',
  'CAP_LEASE',
  'CAP_AUDIT_WRITE',
  'CAP_AUDIT_CONTROL',
  'CAP_SETFCAP',
  'CAP_MAC_OVERRIDE',
  'CAP_MAC_ADMIN',
  'CAP_SYSLOG',
  'CAP_WAKE_ALARM',
  'CAP_BLOCK_SUSPEND',
  'CAP_AUDIT_READ',
  'CAP_PERFMON',
  'CAP_BPF',
  'CAP_CHECKPOINT_RESTORE',
] as const

const NUMBERS = new Map<string, number>(NAMES.map((name, number) => [name, number]))

/** What a container has unless told otherwise, in Docker's order. */
export const defaultCapabilities: readonly string[] = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FSETID',
  'CAP_FOWNER',
  'CAP_MKNOD',
  'CAP_NET_RAW',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETFCAP',
  'CAP_SETPCAP',
  'CAP_NET_BIND_SERVICE',
  'CAP_SYS_CHROOT',
  'CAP_KILL',
  'CAP_AUDIT_WRITE',
]

let available: string[] | undefined

/**
 * The capabilities that this process may hand on: those the kernel knows and its own bounding set holds. A daemon in a
 * container can not give more than it has.
 */
export function allCapabilities(): readonly string[] {
  available ??= maskToNames(ownBoundingSet())
  return available
}

function ownBoundingSet(): bigint {
  const line = /^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))
  return line ? BigInt(`0x${line[1]}`) : 0n
}

/** The capabilities' names for a bit mask as in `/proc/PID/status`. */
export function maskToNames(mask: bigint): string[] {
  return NAMES.filter((_, number) => (mask >> BigInt(number)) & 1n)
}

/** A bit mask as `capset(2)` wants it. Names that this table does not hold are refused. */
export function capabilityMask(names: readonly string[] = []): bigint {
  let mask = 0n
  for (const name of names) {
    const number = NUMBERS.get(name)
    if (number === undefined) throw invalid(`unknown capability: "${name}"`)
    mask |= 1n << BigInt(number)
  }
  return mask
}

/** Upper case with `CAP_`, or `ALL`. Throws with Docker's text for a name that is not one. */
function normalize(names: readonly string[]): string[] {
  return names.map(given => {
    const upper = given.toUpperCase()
    if (upper === 'ALL') return upper
    const name = upper.startsWith('CAP_') ? upper : `CAP_${upper}`
    if (!NUMBERS.has(name)) throw new Error(`unknown capability: "${name}"`)
    if (!allCapabilities().includes(name)) {
      throw new Error(
        `capability not supported by your kernel or not available in the current environment: "${name}"`,
      )
    }
    return name
  })
}

function normalizeOption(option: 'CapAdd' | 'CapDrop', names: readonly string[]): string[] {
  try {
    return normalize(names)
  } catch (error) {
    throw invalid(`invalid ${option}: ${messageOf(error)}`)
  }
}

/**
 * Docker's rules for `--cap-add` and `--cap-drop`: adding `ALL` gives everything but what is dropped by name, dropping
 * `ALL` leaves what is added by name. Names may lack `CAP_` and be in any case; a wrong one raises Docker's error.
 */
export function tweakCapabilities(add: readonly string[] = [], drop: readonly string[] = []): string[] {
  const adding = normalizeOption('CapAdd', add)
  const dropping = new Set(normalizeOption('CapDrop', drop))
  if (adding.includes('ALL')) return allCapabilities().filter(name => !dropping.has(name))
  const kept = dropping.has('ALL') ? [] : defaultCapabilities.filter(name => !dropping.has(name))
  return [...new Set([...kept, ...adding])]
}

/** The OCI sets of a process that starts with `names`. As Docker, no set is inheritable or ambient. */
export function capabilitySets(names: string[]): CapabilitySets {
  return { bounding: names, effective: names, permitted: names }
}
