/**
 * `docker stats`: readings of containers' counters. One round a second reads each container that anybody watches, once for all
 * who watch it.
 */
import * as fs from 'node:fs'
import { cpus } from 'node:os'
import { setImmediate as nextTurn } from 'node:timers/promises'
import * as linux from '../linux/index.ts'
import { type Cgroup, type CgroupCounters, type CgroupStats, CounterFiles } from '../runtime/cgroup/index.ts'
import { NEVER, nowText } from './clock.ts'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'
import { parseInterfaces } from './interface-counters.ts'
import { hostMemory } from './resources.ts'
import type { CpuStats, StatsSample } from './results.ts'

const INTERVAL = 1000
/** Milliseconds that a round takes before it lets others have their turn. */
const SLICE = 1

type Reading = Omit<StatsSample, 'precpu' | 'preread'>
/** What the next sample needs of the one before. */
type Before = Pick<Reading, 'read' | 'cpu'>

/** A container that somebody watches. */
interface Watch {
  container: Container
  watchers: Set<Watcher>
  last: Before | undefined
  /** Of the run that was read last, until that ends. */
  counters: Counters | undefined
}

interface Watcher {
  tell(sample: StatsSample): void
  end(): void
}

export class Statistics {
  readonly #context: EngineContext
  readonly #watches = new Map<string, Watch>()
  #timer: NodeJS.Timeout | undefined
  #inRound = false

  constructor(context: EngineContext) {
    this.#context = context
  }

  /** One reading; without `oneShot` a second one a second later, so that it has `precpu`. */
  async read(
    container: Container,
    { oneShot, signal }: { oneShot?: boolean; signal?: AbortSignal },
  ): Promise<StatsSample> {
    const read = (): Reading => {
      const counters = this.#open(container)
      try {
        return this.#reading(container, counters)
      } finally {
        counters?.close()
      }
    }
    const first = read()
    if (oneShot || !container.task) return complete(first, undefined)
    await new Promise<void>(resolve => {
      const timer = setTimeout(resolve, INTERVAL)
      signal?.addEventListener('abort', () => {
        clearTimeout(timer)
        resolve()
      })
    })
    return complete(read(), first)
  }

  /** Tells one reading now and one a second, until the container is removed or nobody wants more. */
  async watch(
    container: Container,
    tell: (sample: StatsSample) => void,
    signal?: AbortSignal,
  ): Promise<void> {
    if (signal?.aborted) return
    let watch = this.#watches.get(container.id)
    if (!watch) {
      watch = { container, watchers: new Set(), last: undefined, counters: undefined }
      this.#tick(watch)
      this.#watches.set(container.id, watch)
      this.#timer ??= setInterval(() => this.#round(), INTERVAL)
    }
    const { promise: ended, resolve } = Promise.withResolvers<void>()
    const end = (): void => resolve()
    const watcher: Watcher = { tell, end }
    watch.watchers.add(watcher)
    signal?.addEventListener('abort', end)
    try {
      tell(complete(this.#reading(container, watch.counters), undefined))
      await ended
    } finally {
      signal?.removeEventListener('abort', end)
      watch.watchers.delete(watcher)
      if (watch.watchers.size === 0) this.#forget(watch)
    }
  }

  #forget(watch: Watch): void {
    watch.counters?.close()
    this.#watches.delete(watch.container.id)
    if (this.#watches.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  async #round(): Promise<void> {
    if (this.#inRound) return
    this.#inRound = true
    let end = performance.now() + SLICE
    for (const watch of this.#watches.values()) {
      if (performance.now() > end) {
        await nextTurn()
        end = performance.now() + SLICE
      }
      this.#tick(watch)
    }
    this.#inRound = false
  }

  #tick(watch: Watch): void {
    const { container, last } = watch
    if (watch.counters?.closed !== false) watch.counters = this.#open(container)
    const reading = this.#reading(container, watch.counters)
    watch.last = { read: reading.read, cpu: reading.cpu }
    const sample = complete(reading, last)
    const over = container.removed || this.#context.closing.aborted
    for (const watcher of watch.watchers) over ? watcher.end() : watcher.tell(sample)
  }

  #open(container: Container): Counters | undefined {
    const { task, cgroup, running } = container
    if (!task || !cgroup || !running) return undefined
    // Counters of a shared network are shown too, those of the host are not.
    const mode = container.record.host.networkMode ?? ''
    const owner = mode.startsWith('container:') ? mode.slice('container:'.length) : container.id
    const shown = this.#context.networks.netnsFd(owner) !== undefined
    return new Counters(cgroup, shown ? task.pid : undefined, running.signal)
  }

  #reading(container: Container, counters: Counters | undefined): Reading {
    const base = { id: container.id, name: `/${container.name}`, osType: 'linux' }
    try {
      if (!counters) return { ...base, read: NEVER, ...NOTHING }
      const { cgroup, networks } = counters.read()
      return {
        ...base,
        read: nowText(),
        pids: cgroup.pids,
        cpu: cpuOf(cgroup),
        memory: memoryOf(cgroup),
        blkio: cgroup.blkio,
        networks,
      }
    } catch {
      // It is just ending, or no file can be opened: it cannot be read now.
      return { ...base, read: NEVER, ...NOTHING }
    }
  }
}

/** What one run of a container is counted by, held open until the run ends: an open `net/dev` keeps the whole namespace alive. */
class Counters {
  readonly #cgroup: CgroupCounters
  readonly #files = new CounterFiles()
  readonly #networks: () => NonNullable<StatsSample['networks']>
  readonly #ended: AbortSignal
  closed = false

  /** Without `pid`, no networks. */
  constructor(cgroup: Cgroup, pid: number | undefined, ended: AbortSignal) {
    this.#cgroup = cgroup.counters()
    this.#networks = this.#files.file(
      pid === undefined ? undefined : `/proc/${pid}/net/dev`,
      parseInterfaces,
      {},
    )
    this.#ended = ended
    ended.addEventListener('abort', this.close)
  }

  read() {
    return { cgroup: this.#cgroup.read(), networks: this.#networks() }
  }

  close = (): void => {
    if (this.closed) return
    this.closed = true
    this.#ended.removeEventListener('abort', this.close)
    this.#cgroup.close()
    this.#files.close()
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

function complete(reading: Reading, before: Before | undefined): StatsSample {
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
