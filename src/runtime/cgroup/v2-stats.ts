/** Statistics from the v2 tree. Source: Documentation/admin-guide/cgroup-v2.rst. */
import { CounterFiles } from './counter-files.ts'
import type { BlkioEntry, CgroupCounters } from './stats.ts'

const NANOSECONDS = 1000

/** What `max` stands for where a number is wanted: 2^64-1, as near as a double gets. */
const UNLIMITED = 2 ** 64

export function v2Counters(folder: string): CgroupCounters {
  const files = new CounterFiles()
  const cpu = files.table(`${folder}/cpu.stat`)
  const usage = files.number(`${folder}/memory.current`)
  const limit = files.limit(`${folder}/memory.max`, UNLIMITED)
  const memory = files.table(`${folder}/memory.stat`)
  const io = files.file(`${folder}/io.stat`, parseIoStat, [])
  const pids = files.number(`${folder}/pids.current`)
  const pidsLimit = files.limit(`${folder}/pids.max`, undefined)
  return {
    read() {
      const {
        usage_usec = 0,
        user_usec = 0,
        system_usec = 0,
        nr_periods = 0,
        nr_throttled = 0,
        throttled_usec = 0,
      } = cpu()
      const most = pidsLimit()
      return {
        cpu: {
          total: usage_usec * NANOSECONDS,
          user: user_usec * NANOSECONDS,
          kernel: system_usec * NANOSECONDS,
          throttling: {
            periods: nr_periods,
            throttledPeriods: nr_throttled,
            throttledTime: throttled_usec * NANOSECONDS,
          },
        },
        memory: { usage: usage(), limit: limit(), stats: memory() },
        blkio: {
          ioServiceBytesRecursive: io(),
          ioServicedRecursive: [],
          ioQueueRecursive: [],
          ioServiceTimeRecursive: [],
          ioWaitTimeRecursive: [],
          ioMergedRecursive: [],
          ioTimeRecursive: [],
          sectorsRecursive: [],
        },
        pids: { current: pids(), ...(most !== undefined && { limit: most }) },
      }
    },
    close: () => files.close(),
  }
}

/** Lines of `major:minor rbytes=1 wbytes=2 …`; Docker shows the bytes only. */
function parseIoStat(text: string): BlkioEntry[] {
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
