/**
 * Limits as writes to the files of the v1 controllers, in an order that the kernel accepts. Source:
 * Documentation/admin-guide/cgroup-v1/.
 */
import type { LinuxResources, ThrottleRate } from '../spec.ts'
import { deviceLine, effectiveDevices } from './device-rules.ts'

export interface LimitWrite {
  controller: string
  file: string
  value: string
}

/** The writes for a new cgroup. */
export function v1Limits(resources: LinuxResources): LimitWrite[] {
  return [
    ...deviceLimits(resources),
    ...memoryLimits(resources),
    ...cpuLimits(resources),
    ...cpusetLimits(resources),
    ...pidsLimits(resources),
    ...blkioLimits(resources),
  ]
}

const write = (controller: string, file: string, value: string | number | undefined): LimitWrite[] =>
  value === undefined || value === ''
    ? []
    : [{ controller, file: `${controller}.${file}`, value: String(value) }]

/** Of limits where 0 means "as it is". */
const unlessZero = (value: number | undefined): number | undefined => value || undefined

function deviceLimits({ devices }: LinuxResources): LimitWrite[] {
  if (!devices) return []
  const { allowAll, rules } = effectiveDevices(devices)
  // A new cgroup has what its parent has: everything.
  if (allowAll) return rules.flatMap(rule => write('devices', 'deny', deviceLine(rule)))
  return [
    ...write('devices', 'deny', 'a'),
    ...rules.flatMap(rule => write('devices', 'allow', deviceLine(rule))),
  ]
}

/**
 * Memory first, then memory and swap: the second may never be the smaller. `raising` turns it round, for a live cgroup whose
 * limits grow.
 */
export function memoryLimits({ memory = {} }: LinuxResources, raising = false): LimitWrite[] {
  const limit = write('memory', 'limit_in_bytes', unlessZero(memory.limit))
  const swap = write('memory', 'memsw.limit_in_bytes', unlessZero(memory.swap))
  return [
    ...(raising ? [...swap, ...limit] : [...limit, ...swap]),
    ...write('memory', 'soft_limit_in_bytes', unlessZero(memory.reservation)),
    ...write('memory', 'kmem.tcp.limit_in_bytes', unlessZero(memory.kernelTCP)),
    ...write('memory', 'oom_control', memory.disableOOMKiller ? 1 : undefined),
    ...write('memory', 'swappiness', memory.swappiness),
  ]
}

function cpuLimits({ cpu = {} }: LinuxResources): LimitWrite[] {
  return [
    ...write('cpu', 'shares', unlessZero(cpu.shares)),
    ...write('cpu', 'rt_period_us', unlessZero(cpu.realtimePeriod)),
    ...write('cpu', 'rt_runtime_us', unlessZero(cpu.realtimeRuntime)),
    ...write('cpu', 'cfs_period_us', unlessZero(cpu.period)),
    ...write('cpu', 'cfs_quota_us', unlessZero(cpu.quota)),
  ]
}

function cpusetLimits({ cpu = {} }: LinuxResources): LimitWrite[] {
  return [...write('cpuset', 'cpus', cpu.cpus), ...write('cpuset', 'mems', cpu.mems)]
}

function pidsLimits({ pids }: LinuxResources): LimitWrite[] {
  return pids ? write('pids', 'max', pids.limit > 0 ? pids.limit : 'max') : []
}

function blkioLimits({ blockIO = {} }: LinuxResources): LimitWrite[] {
  const throttle = (file: string, rates: ThrottleRate[] = []): LimitWrite[] =>
    rates.flatMap(({ major, minor, rate }) => write('blkio', `throttle.${file}`, `${major}:${minor} ${rate}`))
  return [
    ...write('blkio', 'weight', unlessZero(blockIO.weight)),
    ...(blockIO.weightDevice ?? []).flatMap(({ major, minor, weight }) =>
      write('blkio', 'weight_device', `${major}:${minor} ${weight}`),
    ),
    ...throttle('read_bps_device', blockIO.throttleReadBpsDevice),
    ...throttle('write_bps_device', blockIO.throttleWriteBpsDevice),
    ...throttle('read_iops_device', blockIO.throttleReadIOPSDevice),
    ...throttle('write_iops_device', blockIO.throttleWriteIOPSDevice),
  ]
}
