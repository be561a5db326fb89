/** `docker stats`: readings of a container's counters. One reading a second serves everyone who watches that container. */
import * as fs from 'node:fs'
import { cpus } from 'node:os'
import * as linux from '../linux/index.ts'
import type { BlkioEntry, CgroupStats } from '../runtime/cgroup/stats.ts'
import { NEVER, nowText } from './clock.ts'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'
import { hostMemory } from './resources.ts'
import type { CpuStats, StatsSample } from './results.ts'

const INTERVAL = 1000

interface StatsOptions {
  stream?: boolean
  oneShot?: boolean
  signal?: AbortSignal
}

type Reading = Omit<StatsSample, 'precpu' | 'preread'>

interface Watch {
  timer: NodeJS.Timeout
  listeners: Set<(sample: StatsSample) => void>
  last: Reading | undefined
}

export class Statistics {
  readonly #context: EngineContext
  readonly #watches = new Map<string, Watch>()

  constructor(context: EngineContext) {
    this.#context = context
  }

  async *read(container: Container, options: StatsOptions): AsyncGenerator<StatsSample> {
    if (!options.stream) {
      yield await this.#once(container, options)
      return
    }
    const queue: StatsSample[] = []
    let wake = (): void => {}
    const listener = (sample: StatsSample): void => {
      // A reader that does not keep up gets the newest.
      queue.splice(0, queue.length, sample)
      wake()
    }
    const abort = (): void => wake()
    options.signal?.addEventListener('abort', abort)
    this.#listen(container, listener)
    try {
      listener(complete(this.#take(container), undefined))
      while (!options.signal?.aborted && !container.removed && !this.#context.closing.aborted) {
        const sample = queue.shift()
        if (sample) yield sample
        else
          await new Promise<void>(resolve => {
            wake = resolve
          })
      }
    } finally {
      options.signal?.removeEventListener('abort', abort)
      this.#unlisten(container, listener)
    }
  }

  async #once(container: Container, { oneShot, signal }: StatsOptions): Promise<StatsSample> {
    const first = this.#take(container)
    if (oneShot || !container.task) return complete(first, undefined)
    await new Promise<void>(resolve => {
      const timer = setTimeout(resolve, INTERVAL)
      signal?.addEventListener('abort', () => {
        clearTimeout(timer)
        resolve()
      })
    })
    return complete(this.#take(container), first)
  }

  #listen(container: Container, listener: (sample: StatsSample) => void): void {
    let watch = this.#watches.get(container.id)
    if (!watch) {
      watch = {
        timer: setInterval(() => this.#tick(container), INTERVAL),
        listeners: new Set(),
        last: undefined,
      }
      this.#watches.set(container.id, watch)
    }
    watch.listeners.add(listener)
  }

  #unlisten(container: Container, listener: (sample: StatsSample) => void): void {
    const watch = this.#watches.get(container.id)
    watch?.listeners.delete(listener)
    if (!watch || watch.listeners.size > 0) return
    clearInterval(watch.timer)
    this.#watches.delete(container.id)
  }

  #tick(container: Container): void {
    const watch = this.#watches.get(container.id)!
    const reading = this.#take(container)
    const sample = complete(reading, watch.last)
    watch.last = reading
    for (const listener of watch.listeners) listener(sample)
  }

  #take(container: Container): Reading {
    const base = { id: container.id, name: `/${container.name}`, osType: 'linux' }
    const { cgroup } = container
    if (!container.task || !cgroup) return { ...base, read: NEVER, ...NOTHING }
    let stats: CgroupStats
    try {
      stats = cgroup.stats()
    } catch {
      return { ...base, read: NEVER, ...NOTHING }
    }
    return {
      ...base,
      read: nowText(),
      pids: stats.pids,
      cpu: cpuOf(stats),
      memory: memoryOf(stats),
      blkio: blkioOf(stats),
      networks: this.#context.networks.stats(this.#networkOwner(container)),
    }
  }

  /** Counters of a shared network are its owner's. */
  #networkOwner({ record }: Container): string {
    const mode = record.host.networkMode ?? ''
    return mode.startsWith('container:') ? mode.slice('container:'.length) : record.id
  }
}

const NO_CPU: CpuStats = {
  totalUsage: 0,
  usageInKernelmode: 0,
  usageInUsermode: 0,
  throttling: { periods: 0, throttledPeriods: 0, throttledTime: 0 },
}

const NOTHING: Omit<Reading, 'id' | 'name' | 'osType' | 'read'> = {
  pids: {},
  cpu: NO_CPU,
  memory: {},
  blkio: {
    ioServiceBytesRecursive: null,
    ioServicedRecursive: null,
    ioQueueRecursive: null,
    ioServiceTimeRecursive: null,
    ioWaitTimeRecursive: null,
    ioMergedRecursive: null,
    ioTimeRecursive: null,
    sectorsRecursive: null,
  },
}

function complete(reading: Reading, before: Reading | undefined): StatsSample {
  return { ...reading, preread: before?.read ?? NEVER, precpu: before?.cpu ?? NO_CPU }
}

const cpuCount = cpus().length

function cpuOf({ cpu }: CgroupStats): CpuStats {
  return {
    totalUsage: cpu.total,
    ...(cpu.perCpu && { percpuUsage: cpu.perCpu }),
    usageInKernelmode: cpu.kernel,
    usageInUsermode: cpu.user,
    systemUsage: systemUsage(),
    onlineCpus: cpuCount,
    throttling: cpu.throttling,
  }
}

function memoryOf({ memory }: CgroupStats): StatsSample['memory'] {
  return {
    usage: memory.usage,
    ...(memory.maxUsage !== undefined && { maxUsage: memory.maxUsage }),
    ...(memory.failcnt && { failcnt: memory.failcnt }),
    limit: Math.min(memory.limit, hostMemory),
    stats: memory.stats,
  }
}

function blkioOf({ blkio }: CgroupStats): StatsSample['blkio'] {
  const table = (entries: BlkioEntry[]) => entries
  return {
    ioServiceBytesRecursive: table(blkio.ioServiceBytesRecursive),
    ioServicedRecursive: table(blkio.ioServicedRecursive),
    ioQueueRecursive: table(blkio.ioQueuedRecursive),
    ioServiceTimeRecursive: table(blkio.ioServiceTimeRecursive),
    ioWaitTimeRecursive: table(blkio.ioWaitTimeRecursive),
    ioMergedRecursive: table(blkio.ioMergedRecursive),
    ioTimeRecursive: table(blkio.ioTimeRecursive),
    sectorsRecursive: table(blkio.sectorsRecursive),
  }
}

let ticks = 0
let cached = { at: 0, value: 0 }

/** Nanoseconds that all CPUs together spent, idle included: the first line of /proc/stat. Read once for readings of one moment. */
function systemUsage(): number {
  const now = Date.now()
  if (now - cached.at < 50) return cached.value
  ticks ||= linux.clockTicks()
  const line = fs.readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]!
  const sum = line
    .split(/\s+/)
    .slice(1, 8)
    .reduce((total, value) => total + Number(value), 0)
  cached = { at: now, value: (sum * 1_000_000_000) / ticks }
  return cached.value
}
