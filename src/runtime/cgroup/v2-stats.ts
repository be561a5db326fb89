/** Statistics from the v2 tree. Source: Documentation/admin-guide/cgroup-v2.rst. */
import { readNumber, readTable, readText } from './files.ts'
import type { BlkioEntry, CgroupStats } from './stats.ts'

const NANOSECONDS = 1000

export function v2Stats(folder: string): CgroupStats {
  const cpu = readTable(`${folder}/cpu.stat`)
  const pidsLimit = readNumber(`${folder}/pids.max`, -1)
  return {
    cpu: {
      total: (cpu['usage_usec'] ?? 0) * NANOSECONDS,
      user: (cpu['user_usec'] ?? 0) * NANOSECONDS,
      kernel: (cpu['system_usec'] ?? 0) * NANOSECONDS,
      throttling: {
        periods: cpu['nr_periods'] ?? 0,
        throttledPeriods: cpu['nr_throttled'] ?? 0,
        throttledTime: (cpu['throttled_usec'] ?? 0) * NANOSECONDS,
      },
    },
    memory: {
      usage: readNumber(`${folder}/memory.current`),
      limit: readNumber(`${folder}/memory.max`, UNLIMITED),
      stats: readTable(`${folder}/memory.stat`),
    },
    blkio: {
      ioServiceBytesRecursive: parseIoStat(readText(`${folder}/io.stat`) ?? ''),
      ioServicedRecursive: [],
      ioQueuedRecursive: [],
      ioServiceTimeRecursive: [],
      ioWaitTimeRecursive: [],
      ioMergedRecursive: [],
      ioTimeRecursive: [],
      sectorsRecursive: [],
    },
    pids: { current: readNumber(`${folder}/pids.current`), ...(pidsLimit >= 0 && { limit: pidsLimit }) },
  }
}

/** What `max` stands for where a number is wanted: 2^64-1, as near as a double gets. */
const UNLIMITED = 2 ** 64

/** Lines of `major:minor rbytes=1 wbytes=2 …`; Docker shows the bytes only. */
export function parseIoStat(text: string): BlkioEntry[] {
  return text.split('\n').flatMap(line => {
    const device = /^(\d+):(\d+) /.exec(line)
    if (!device) return []
    const [major, minor] = [Number(device[1]), Number(device[2])]
    const value = (key: string): number => Number(new RegExp(` ${key}=(\\d+)`).exec(line)?.[1] ?? 0)
    return [
      { major, minor, op: 'read', value: value('rbytes') },
      { major, minor, op: 'write', value: value('wbytes') },
    ]
  })
}
