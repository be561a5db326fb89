/** Statistics from the v1 controllers. Source: Documentation/admin-guide/cgroup-v1/{cpuacct,memory,blkio-controller}.rst. */
import { CounterFiles } from './counter-files.ts'
import type { BlkioEntry, BlkioStats, CgroupCounters, CgroupStats, CpuStats, MemoryStats } from './stats.ts'

/** `folder` gives a controller's folder of the container, `undefined` where the controller is not there. */
export function v1Counters(folder: (controller: string) => string | undefined): CgroupCounters {
  const files = new CounterFiles()
  const cpu = cpuCounters(files, folder('cpuacct'), folder('cpu'))
  const memory = memoryCounters(files, folder('memory'))
  const blkio = blkioCounters(files, folder('blkio'))
  const pids = pidsCounters(files, folder('pids'))
  return {
    read: () => ({ cpu: cpu(), memory: memory(), blkio: blkio(), pids: pids() }),
    close: () => files.close(),
  }
}

const inside = (folder: string | undefined, name: string): string | undefined =>
  folder === undefined ? undefined : `${folder}/${name}`

/** cpuacct.stat counts in USER_HZ, which is 100 on every architecture that Linux has it compiled in for. */
const NANOSECONDS_PER_TICK = 1e7

function cpuCounters(
  files: CounterFiles,
  cpuacct: string | undefined,
  cpu: string | undefined,
): () => CpuStats {
  const ticks = files.table(inside(cpuacct, 'cpuacct.stat'))
  const usage = files.file(inside(cpuacct, 'cpuacct.usage_percpu'), text => text.split(/\s+/).map(Number), [])
  const throttling = files.table(inside(cpu, 'cpu.stat'))
  return () => {
    const { user = 0, system = 0 } = ticks()
    const { nr_periods = 0, nr_throttled = 0, throttled_time = 0 } = throttling()
    const perCpu = usage()
    return {
      total: perCpu.reduce((sum, time) => sum + time, 0),
      user: user * NANOSECONDS_PER_TICK,
      kernel: system * NANOSECONDS_PER_TICK,
      perCpu,
      throttling: {
        periods: nr_periods,
        throttledPeriods: nr_throttled,
        throttledTime: throttled_time,
      },
    }
  }
}

function memoryCounters(files: CounterFiles, folder: string | undefined): () => MemoryStats {
  if (folder === undefined) return () => ({ usage: 0, limit: 0, stats: {} })
  const usage = files.number(`${folder}/memory.usage_in_bytes`)
  const maxUsage = files.number(`${folder}/memory.max_usage_in_bytes`)
  const failcnt = files.number(`${folder}/memory.failcnt`)
  const limit = files.limit(`${folder}/memory.limit_in_bytes`, 0)
  const stats = files.table(`${folder}/memory.stat`)
  return () => ({
    usage: usage(),
    maxUsage: maxUsage(),
    failcnt: failcnt(),
    limit: limit(),
    stats: stats(),
  })
}

function pidsCounters(files: CounterFiles, folder: string | undefined): () => CgroupStats['pids'] {
  const current = files.number(inside(folder, 'pids.current'))
  const limit = files.limit(inside(folder, 'pids.max'), undefined)
  return () => {
    const most = limit()
    return { current: current(), ...(most !== undefined && { limit: most }) }
  }
}

/** The BFQ scheduler's tables where it has any, else those of the throttler, which every disk has. */
function blkioCounters(files: CounterFiles, folder: string | undefined): () => BlkioStats {
  const table = (...names: string[]): (() => BlkioEntry[]) => {
    const tables = names.map(name => files.file(inside(folder, name), parseBlkio, []))
    return () => {
      for (const entries of tables) {
        const found = entries()
        if (found.length > 0) return found
      }
      return []
    }
  }
  const bytes = table('blkio.bfq.io_service_bytes_recursive', 'blkio.throttle.io_service_bytes_recursive')
  const serviced = table('blkio.bfq.io_serviced_recursive', 'blkio.throttle.io_serviced_recursive')
  const queued = table('blkio.bfq.io_queued_recursive')
  const serviceTime = table('blkio.bfq.io_service_time_recursive')
  const waitTime = table('blkio.bfq.io_wait_time_recursive')
  const merged = table('blkio.bfq.io_merged_recursive')
  const time = table('blkio.bfq.time_recursive')
  const sectors = table('blkio.bfq.sectors_recursive')
  return () => ({
    ioServiceBytesRecursive: bytes(),
    ioServicedRecursive: serviced(),
    ioQueueRecursive: queued(),
    ioServiceTimeRecursive: serviceTime(),
    ioWaitTimeRecursive: waitTime(),
    ioMergedRecursive: merged(),
    ioTimeRecursive: time(),
    sectorsRecursive: sectors(),
  })
}

/** Lines of `major:minor [Operation] value`; the last, `Total value`, sums all up and is left out. */
function parseBlkio(text: string): BlkioEntry[] {
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
