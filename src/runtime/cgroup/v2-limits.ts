/**
 * Limits as writes to the files of the v2 tree. A request speaks v1's language, so some values are converted; the formulas
 * are those that runc uses since 1.3.2. Source: Documentation/admin-guide/cgroup-v2.rst.
 */
import type { LinuxResources, ThrottleRate } from '../spec.ts'

export interface FileWrite {
  file: string
  value: string
}

const MAX = 'max'

export function v2Limits(resources: LinuxResources): FileWrite[] {
  return [
    ...memory(resources),
    ...cpu(resources),
    ...write('cpuset.cpus', resources.cpu?.cpus || undefined),
    ...write('cpuset.mems', resources.cpu?.mems || undefined),
    ...write('pids.max', resources.pids && (resources.pids.limit > 0 ? resources.pids.limit : MAX)),
    ...blockIO(resources),
    ...Object.entries(resources.unified ?? {}).flatMap(([file, value]) => write(file, value)),
  ]
}

const write = (file: string, value: string | number | undefined): FileWrite[] =>
  value === undefined ? [] : [{ file, value: String(value) }]

/** Bytes, where 0 means "as it is" and a negative number no limit. */
const bytes = (value: number | undefined): string | undefined =>
  !value ? undefined : value < 0 ? MAX : String(value)

function memory({ memory = {} }: LinuxResources): FileWrite[] {
  return [
    ...write('memory.swap.max', swapLimit(memory.limit, memory.swap)),
    ...write('memory.max', bytes(memory.limit)),
    ...write('memory.low', bytes(memory.reservation)),
  ]
}

/** v1 limits memory and swap together, v2 swap alone. */
export function swapLimit(limit: number | undefined, both: number | undefined): string | undefined {
  if (!both) return undefined
  if (both < 0) return MAX
  return limit && limit > 0 ? String(Math.max(0, both - limit)) : undefined
}

function cpu({ cpu = {} }: LinuxResources): FileWrite[] {
  const { quota, period } = cpu
  const max = quota ? (quota < 0 ? MAX : String(quota)) : period ? MAX : undefined
  return [
    ...write('cpu.weight', cpu.shares ? cpuWeight(cpu.shares) : undefined),
    ...write('cpu.max', max && (period ? `${max} ${period}` : max)),
  ]
}

/** 2 to 262144 shares (1024 is normal) to a weight of 1 to 10000 (100 is normal). */
export function cpuWeight(shares: number): number {
  if (shares <= 2) return 1
  if (shares >= 262144) return 10000
  const exponent = Math.log2(shares)
  return Math.ceil(10 ** ((exponent * exponent + 125 * exponent) / 612 - 7 / 34))
}

/** 10 to 1000 to a weight of 1 to 10000. */
export function ioWeight(weight: number): number {
  return 1 + Math.floor(((weight - 10) * 9999) / 990)
}

function blockIO({ blockIO = {} }: LinuxResources): FileWrite[] {
  const limit = (key: string, rates: ThrottleRate[] = []): FileWrite[] =>
    rates.flatMap(({ major, minor, rate }) => write('io.max', `${major}:${minor} ${key}=${rate || MAX}`))
  return [
    ...write('io.weight', blockIO.weight ? `default ${ioWeight(blockIO.weight)}` : undefined),
    ...(blockIO.weightDevice ?? []).flatMap(({ major, minor, weight }) =>
      write('io.weight', `${major}:${minor} ${ioWeight(weight)}`),
    ),
    ...limit('rbps', blockIO.throttleReadBpsDevice),
    ...limit('wbps', blockIO.throttleWriteBpsDevice),
    ...limit('riops', blockIO.throttleReadIOPSDevice),
    ...limit('wiops', blockIO.throttleWriteIOPSDevice),
  ]
}
