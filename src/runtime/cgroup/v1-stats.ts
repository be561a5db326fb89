/** Statistics from the v1 controllers. Source: Documentation/admin-guide/cgroup-v1/{cpuacct,memory,blkio-controller}.rst. */
import { readNumber, readTable, readText } from './files.ts'
import type { BlkioEntry, BlkioStats, CgroupStats, CpuStats, MemoryStats } from './stats.ts'

/** `folder` gives a controller's folder of the container, `undefined` where the controller is not there. */
export function v1Stats(folder: (controller: string) => string | undefined): CgroupStats {
  return {
    cpu: cpuStats(folder('cpuacct'), folder('cpu')),
    memory: memoryStats(folder('memory')),
    blkio: blkioStats(folder('blkio')),
    pids: pidsStats(folder('pids')),
  }
}

/** cpuacct.stat counts in USER_HZ, which is 100 on every architecture that Linux has it compiled in for. */
const NANOSECONDS_PER_TICK = 1e7

function cpuStats(cpuacct: string | undefined, cpu: string | undefined): CpuStats {
  const ticks = cpuacct ? readTable(`${cpuacct}/cpuacct.stat`) : {}
  const stat = cpu ? readTable(`${cpu}/cpu.stat`) : {}
  const perCpu = cpuacct ? readText(`${cpuacct}/cpuacct.usage_percpu`) : undefined
  return {
    total: cpuacct ? readNumber(`${cpuacct}/cpuacct.usage`) : 0,
    user: (ticks['user'] ?? 0) * NANOSECONDS_PER_TICK,
    kernel: (ticks['system'] ?? 0) * NANOSECONDS_PER_TICK,
    ...(perCpu && { perCpu: perCpu.trim().split(/\s+/).map(Number) }),
    throttling: {
      periods: stat['nr_periods'] ?? 0,
      throttledPeriods: stat['nr_throttled'] ?? 0,
      throttledTime: stat['throttled_time'] ?? 0,
    },
  }
}

function memoryStats(folder: string | undefined): MemoryStats {
  if (!folder) return { usage: 0, limit: 0, stats: {} }
  return {
    usage: readNumber(`${folder}/memory.usage_in_bytes`),
    maxUsage: readNumber(`${folder}/memory.max_usage_in_bytes`),
    failcnt: readNumber(`${folder}/memory.failcnt`),
    limit: readNumber(`${folder}/memory.limit_in_bytes`),
    stats: readTable(`${folder}/memory.stat`),
  }
}

function pidsStats(folder: string | undefined): CgroupStats['pids'] {
  if (!folder) return { current: 0 }
  const limit = readNumber(`${folder}/pids.max`, -1)
  return { current: readNumber(`${folder}/pids.current`), ...(limit >= 0 && { limit }) }
}

/** The BFQ scheduler's tables where it has any, else those of the throttler, which every disk has. */
function blkioStats(folder: string | undefined): BlkioStats {
  const table = (...files: string[]): BlkioEntry[] => {
    for (const file of folder ? files : []) {
      const entries = parseBlkio(readText(`${folder}/${file}`) ?? '')
      if (entries.length > 0) return entries
    }
    return []
  }
  return {
    ioServiceBytesRecursive: table(
      'blkio.bfq.io_service_bytes_recursive',
      'blkio.throttle.io_service_bytes_recursive',
      'blkio.throttle.io_service_bytes',
    ),
    ioServicedRecursive: table(
      'blkio.bfq.io_serviced_recursive',
      'blkio.throttle.io_serviced_recursive',
      'blkio.throttle.io_serviced',
    ),
    ioQueuedRecursive: table('blkio.bfq.io_queued_recursive'),
    ioServiceTimeRecursive: table('blkio.bfq.io_service_time_recursive'),
    ioWaitTimeRecursive: table('blkio.bfq.io_wait_time_recursive'),
    ioMergedRecursive: table('blkio.bfq.io_merged_recursive'),
    ioTimeRecursive: table('blkio.bfq.time_recursive'),
    sectorsRecursive: table('blkio.bfq.sectors_recursive'),
  }
}

/** Lines of `major:minor [Operation] value`; the last, `Total value`, sums all up and is left out. */
export function parseBlkio(text: string): BlkioEntry[] {
  return text
    .split('\n')
    .map(line => /^(\d+):(\d+)(?: (\w+))? (\d+)$/.exec(line))
    .filter(match => match !== null)
    .map(([, major, minor, op = '', value]) => ({
      major: Number(major),
      minor: Number(minor),
      op,
      value: Number(value),
    }))
}
