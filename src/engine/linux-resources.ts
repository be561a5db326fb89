/** Docker's limits as the OCI runtime spec has them. */
import * as fs from 'node:fs'
import { invalid } from '../errors.ts'
import { deviceMajor, deviceMinor } from '../runtime/devices.ts'
import type { LinuxResources, ThrottleRate } from '../runtime/spec.ts'
import type { Resources, ThrottleDevice } from './types.ts'

const CPU_PERIOD = 100_000

export function linuxResources(resources: Resources): LinuxResources {
  const memory = compact({
    limit: positive(resources.memory),
    reservation: positive(resources.memoryReservation),
    swap: resources.memorySwap || undefined,
    swappiness: resources.memorySwappiness === -1 ? undefined : resources.memorySwappiness,
    disableOOMKiller: resources.oomKillDisable || undefined,
  })
  const cpu = compact({
    shares: resources.cpuShares || undefined,
    ...quota(resources),
    realtimeRuntime: resources.cpuRealtimeRuntime || undefined,
    realtimePeriod: resources.cpuRealtimePeriod || undefined,
    cpus: resources.cpusetCpus || undefined,
    mems: resources.cpusetMems || undefined,
  })
  const blockIO = compact({
    weight: resources.blkioWeight || undefined,
    weightDevice: resources.blkioWeightDevice?.map(({ path, weight }) => ({ ...device(path), weight })),
    throttleReadBpsDevice: rates(resources.blkioDeviceReadBps),
    throttleWriteBpsDevice: rates(resources.blkioDeviceWriteBps),
    throttleReadIOPSDevice: rates(resources.blkioDeviceReadIops),
    throttleWriteIOPSDevice: rates(resources.blkioDeviceWriteIops),
  })
  const pids = resources.pidsLimit && resources.pidsLimit > 0 ? { limit: resources.pidsLimit } : undefined
  return compact({ memory, cpu, blockIO, pids }) ?? {}
}

function quota({ nanoCpus, cpuQuota, cpuPeriod }: Resources): { quota?: number; period?: number } {
  if (nanoCpus) return { quota: Math.round((nanoCpus / 1e9) * CPU_PERIOD), period: CPU_PERIOD }
  return { ...(cpuQuota && { quota: cpuQuota }), ...(cpuPeriod && { period: cpuPeriod }) }
}

const positive = (value: number | undefined): number | undefined => (value && value > 0 ? value : undefined)

/** Without what is undefined or empty; undefined where nothing is left. */
function compact<T extends object>(value: T): T | undefined {
  const entries = Object.entries(value).filter(
    ([, field]) => field !== undefined && !(Array.isArray(field) && field.length === 0),
  )
  return entries.length > 0 ? (Object.fromEntries(entries) as T) : undefined
}

function rates(devices: readonly ThrottleDevice[] | undefined): ThrottleRate[] | undefined {
  return devices?.map(({ path, rate }) => ({ ...device(path), rate }))
}

function device(path: string): { major: number; minor: number } {
  const stats = fs.statSync(path, { throwIfNoEntry: false })
  if (!stats) throw invalid(`stat ${path}: no such file or directory`)
  return { major: deviceMajor(stats.rdev), minor: deviceMinor(stats.rdev) }
}
