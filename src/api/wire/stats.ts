/** One reading of a container's counters, as `docker stats` reads it. */
import type { CpuStats, StatsSample } from '../../engine/results.ts'

const lines = new WeakMap<StatsSample, string>()

/** A sample as one line of a stream, written once for all who are told it. */
export function statsLine(sample: StatsSample): string {
  let line = lines.get(sample)
  if (line === undefined) {
    line = `${JSON.stringify(encodeStats(sample))}\n`
    lines.set(sample, line)
  }
  return line
}

export function encodeStats(sample: StatsSample): Record<string, unknown> {
  const { memory, blkio } = sample
  return {
    name: sample.name,
    id: sample.id,
    ...(sample.osType && { os_type: sample.osType }),
    read: sample.read,
    cpu_stats: encodeCpu(sample.cpu),
    memory_stats: {
      ...(memory.usage !== undefined && { usage: memory.usage }),
      ...(memory.maxUsage !== undefined && { max_usage: memory.maxUsage }),
      ...(memory.stats && { stats: memory.stats }),
      ...(memory.failcnt && { failcnt: memory.failcnt }),
      ...(memory.limit !== undefined && { limit: memory.limit }),
    },
    blkio_stats: Object.fromEntries(
      (
        [
          ['io_service_bytes_recursive', blkio.ioServiceBytesRecursive],
          ['io_serviced_recursive', blkio.ioServicedRecursive],
          ['io_queue_recursive', blkio.ioQueueRecursive],
          ['io_service_time_recursive', blkio.ioServiceTimeRecursive],
          ['io_wait_time_recursive', blkio.ioWaitTimeRecursive],
          ['io_merged_recursive', blkio.ioMergedRecursive],
          ['io_time_recursive', blkio.ioTimeRecursive],
          ['sectors_recursive', blkio.sectorsRecursive],
        ] as const
      ).map(([name, entries]) => [name, entries]),
    ),
    pids_stats: sample.pids,
    ...(sample.networks && {
      networks: Object.fromEntries(
        Object.entries(sample.networks).map(([name, counters]) => [
          name,
          {
            rx_bytes: counters.rxBytes,
            rx_packets: counters.rxPackets,
            rx_errors: counters.rxErrors,
            rx_dropped: counters.rxDropped,
            tx_bytes: counters.txBytes,
            tx_packets: counters.txPackets,
            tx_errors: counters.txErrors,
            tx_dropped: counters.txDropped,
          },
        ]),
      ),
    }),
    num_procs: 0,
    storage_stats: {},
    preread: sample.preread,
    precpu_stats: encodeCpu(sample.precpu),
  }
}

function encodeCpu(cpu: CpuStats): Record<string, unknown> {
  return {
    cpu_usage: {
      total_usage: cpu.totalUsage,
      ...(cpu.percpuUsage && { percpu_usage: cpu.percpuUsage }),
      usage_in_kernelmode: cpu.usageInKernelmode,
      usage_in_usermode: cpu.usageInUsermode,
    },
    ...(cpu.systemUsage && { system_cpu_usage: cpu.systemUsage }),
    ...(cpu.onlineCpus && { online_cpus: cpu.onlineCpus }),
    throttling_data: {
      periods: cpu.throttling.periods,
      throttled_periods: cpu.throttling.throttledPeriods,
      throttled_time: cpu.throttling.throttledTime,
    },
  }
}
