/** Limits: what may be asked of this host, in Docker's words (moby daemon/daemon_unix.go, verifyPlatformContainerResources). */
import { cpus, totalmem } from 'node:os'
import { invalid } from '../errors.ts'
import { cgroupSupport } from '../runtime/cgroup/index.ts'
import type { HostSpec, Resources } from './types.ts'

const MINIMUM_MEMORY = 6 * 1024 * 1024
const cpuCount = cpus().length

/** Checks and drops what this kernel cannot do (a warning each). Changes `resources`. `current` are those that an update changes. */
export function checkResources(resources: HostSpec, current?: Resources): string[] {
  const warnings: string[] = []
  checkMemory(resources, current, warnings)
  checkCpu(resources, current, warnings)
  checkCpuset('cpus', 'CPUs', resources.cpusetCpus, `0${cpuCount > 1 ? `-${cpuCount - 1}` : ''}`)
  checkCpuset('mems', 'memory nodes', resources.cpusetMems, '0')
  checkBlockIo(resources, warnings)
  const support = cgroupSupport()
  if (resources.pidsLimit && resources.pidsLimit > 0 && !support.pidsLimit) {
    warnings.push(
      'Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.',
    )
    delete resources.pidsLimit
  }
  return warnings
}

function checkMemory(resources: Resources, current: Resources | undefined, warnings: string[]): void {
  const support = cgroupSupport()
  const memory = resources.memory ?? 0
  const swap = resources.memorySwap ?? 0
  const reservation = resources.memoryReservation ?? 0
  const swappiness = resources.memorySwappiness
  if (memory !== 0 && memory < MINIMUM_MEMORY) throw invalid('Minimum memory limit allowed is 6MB')
  if (memory > 0 && !support.memoryLimit) {
    warnings.push(
      'Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.',
    )
    resources.memory = 0
    resources.memorySwap = -1
  }
  if (memory > 0 && swap !== -1 && !support.swapLimit) {
    warnings.push(
      'Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.',
    )
    resources.memorySwap = -1
  }
  if (memory > 0 && swap > 0 && swap < memory) {
    throw invalid('Minimum memoryswap limit should be larger than memory limit, see usage')
  }
  if (memory === 0 && swap > 0 && !current) {
    throw invalid('You should always set the Memory limit when using Memoryswap limit, see usage')
  }
  if (swappiness !== undefined && swappiness !== -1) {
    if (swappiness < 0 || swappiness > 100) {
      throw invalid(`Invalid value: ${swappiness}, valid memory swappiness range is 0-100`)
    }
    if (!support.memorySwappiness) {
      warnings.push(
        'Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.',
      )
      delete resources.memorySwappiness
    }
  }
  if (reservation > 0 && reservation < MINIMUM_MEMORY) {
    throw invalid('Minimum memory reservation allowed is 6MB')
  }
  if (memory > 0 && reservation > 0 && memory < reservation) {
    throw invalid('Minimum memory limit can not be less than memory reservation limit, see usage')
  }
  if (resources.oomKillDisable) {
    if (!support.oomKillDisable) {
      warnings.push('Your kernel does not support OomKillDisable. OomKillDisable discarded.')
      delete resources.oomKillDisable
    } else if (!memory && !current?.memory) {
      warnings.push(
        'OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.',
      )
    }
  }
}

function checkCpu(resources: Resources, current: Resources | undefined, warnings: string[]): void {
  const support = cgroupSupport()
  const nano = resources.nanoCpus ?? 0
  if (nano !== 0) {
    if (resources.cpuPeriod) throw invalid('Conflicting options: Nano CPUs and CPU Period cannot both be set')
    if (resources.cpuQuota) throw invalid('Conflicting options: Nano CPUs and CPU Quota cannot both be set')
    if (nano < 0 || nano > cpuCount * 1e9) {
      throw invalid(
        `range of CPUs is from 0.01 to ${cpuCount.toFixed(2)}, as there are only ${cpuCount} CPUs available`,
      )
    }
    if (!support.cpuCfs) {
      throw invalid(
        'NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted',
      )
    }
  }
  const period = resources.cpuPeriod ?? 0
  const quota = resources.cpuQuota ?? 0
  if (period !== 0 && (period < 1000 || period > 1_000_000)) {
    throw invalid('CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)')
  }
  if (quota > 0 && quota < 1000) throw invalid('CPU cfs quota can not be less than 1ms (i.e. 1000)')
  if ((resources.cpuShares ?? 0) < 0 && !current) {
    throw invalid(`invalid CPU shares (${resources.cpuShares}): value must be a positive integer`)
  }
  if ((resources.cpuShares ?? 0) > 0 && !support.cpuShares) {
    warnings.push('Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.')
    delete resources.cpuShares
  }
  const runtime = resources.cpuRealtimeRuntime ?? 0
  const realtimePeriod = resources.cpuRealtimePeriod ?? 0
  if ((runtime || realtimePeriod) && !support.cpuRealtime) {
    throw invalid('Your kernel does not support CPU real-time scheduler')
  }
  if (runtime && realtimePeriod && runtime > realtimePeriod) {
    throw invalid('cpu real-time runtime cannot be higher than cpu real-time period')
  }
}

/** `0-2,7`: raises invalid for other forms and for what the host does not have. */
function checkCpuset(name: string, label: string, wanted: string | undefined, available: string): void {
  if (!wanted) return
  const have = parseCpuset(available)!
  const asked = parseCpuset(wanted)
  if (!asked) throw invalid(`Invalid value ${wanted} for cpuset ${name}: invalid format: ${wanted}`)
  for (const number of asked) {
    if (!have.has(number)) {
      throw invalid(`Requested ${label} are not available - requested ${wanted}, available: ${available}`)
    }
  }
}

function parseCpuset(text: string): Set<number> | undefined {
  const numbers = new Set<number>()
  for (const part of text.split(',')) {
    const range = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part)
    if (!range) return undefined
    const from = Number(range[1])
    const to = Number(range[2] ?? from)
    if (to < from) return undefined
    for (let number = from; number <= to; number++) numbers.add(number)
  }
  return numbers
}

const THROTTLES = [
  ['blkioDeviceReadBps', 'blkioReadBps', 'BPS Block I/O read'],
  ['blkioDeviceWriteBps', 'blkioWriteBps', 'BPS Block I/O write'],
  ['blkioDeviceReadIops', 'blkioReadIops', 'IOPS Block read'],
  ['blkioDeviceWriteIops', 'blkioWriteIops', 'IOPS Block I/O write'],
] as const

function checkBlockIo(resources: Resources, warnings: string[]): void {
  const support = cgroupSupport()
  const weight = resources.blkioWeight ?? 0
  if (weight && !support.blkioWeight) {
    warnings.push(
      'Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.',
    )
    delete resources.blkioWeight
  } else if (weight && (weight < 10 || weight > 1000)) {
    throw invalid('Range of blkio weight is from 10 to 1000')
  }
  if (resources.blkioWeightDevice?.length && !support.blkioWeight) {
    warnings.push(
      'Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.',
    )
    resources.blkioWeightDevice = []
  }
  for (const [key, supported, label] of THROTTLES) {
    if (resources[key]?.length && !support[supported]) {
      warnings.push(
        `Your kernel does not support ${label} limit or the cgroup is not mounted. ${label} limit discarded.`,
      )
      delete resources[key]
    }
  }
}

/** Bytes of memory of the host: what an unlimited container may use. */
export const hostMemory = totalmem()
