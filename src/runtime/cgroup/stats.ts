/** What the kernel counted in a cgroup, as Docker's statistics want it; the same shape from v1 and v2. */

export interface CgroupStats {
  cpu: CpuStats
  memory: MemoryStats
  blkio: BlkioStats
  /** `limit` is absent where there is none. */
  pids: { current: number; limit?: number }
}

/** What is counted in one cgroup, held open: a reading costs microseconds. Once the cgroup is gone it reads zeros. */
export interface CgroupCounters {
  /** Parts that did not change since the last reading may be the same objects. */
  read(): CgroupStats
  close(): void
}

export function readOnce(counters: CgroupCounters): CgroupStats {
  try {
    return counters.read()
  } finally {
    counters.close()
  }
}

/** Nanoseconds. */
export interface CpuStats {
  total: number
  user: number
  kernel: number
  /** v1 only. */
  perCpu?: number[]
  throttling: { periods: number; throttledPeriods: number; throttledTime: number }
}

/** Bytes. */
export interface MemoryStats {
  /** With the page cache. */
  usage: number
  /** v1 only. */
  maxUsage?: number
  /** v1 only: how often the limit was hit. */
  failcnt?: number
  /** The kernel's number for "none" is returned as it is: the engine shows the machine's memory instead. */
  limit: number
  /** memory.stat, by its own names. */
  stats: Record<string, number>
}

export interface BlkioEntry {
  major: number
  minor: number
  /** `read`, `write`, `sync`, `async`, `discard`, `total`; v1 has them capitalised. */
  op: string
  value: number
}

/** Tables that this kernel does not have are empty. */
export interface BlkioStats {
  ioServiceBytesRecursive: BlkioEntry[]
  ioServicedRecursive: BlkioEntry[]
  ioQueueRecursive: BlkioEntry[]
  ioServiceTimeRecursive: BlkioEntry[]
  ioWaitTimeRecursive: BlkioEntry[]
  ioMergedRecursive: BlkioEntry[]
  ioTimeRecursive: BlkioEntry[]
  sectorsRecursive: BlkioEntry[]
}
