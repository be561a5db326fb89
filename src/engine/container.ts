/** A container in the engine's memory: its record, and what only matters while this process lives. */
import type { WritableSnapshot } from '../image/snapshots.ts'
import type { Cgroup } from '../runtime/cgroup/cgroup.ts'
import type { Task } from '../runtime/launcher.ts'
import type { RuntimeSpec } from '../runtime/spec.ts'
import type { Attachment } from './attachment.ts'
import type { ContainerRecord } from './types.ts'

/** How a container's last run ended. */
export interface Ending {
  exitCode: number
  error: string
}

type Waiter = (ending: Ending) => void

export class Container {
  readonly record: ContainerRecord
  /** The running process; also while paused. */
  task: Task | undefined
  /** Its writable layer: there as long as the container. */
  snapshot!: WritableSnapshot
  /** Of the run, while {@link task} is there. */
  spec: RuntimeSpec | undefined
  cgroup: Cgroup | undefined
  /** Streams that were opened before the start that they wait for. */
  readonly waitingAttachments = new Set<Attachment>()
  /** The last run's shim and folder going away. */
  cleanup: Promise<void> | undefined
  /** Execs that are not gone, by id. */
  readonly execIds = new Set<string>()
  /** Ends what belongs to this run (health checks), and nothing else. */
  running: AbortController | undefined
  /** Ends the back-off before a restart. */
  backoff: AbortController | undefined
  /** Milliseconds that the next restart waits. */
  backoffMilliseconds = 0
  /** The next end is final, whatever the restart policy says. */
  exitOnNext = false
  /** `stop` waits for the end, and it is told as its doing. */
  stopping = false
  removed = false
  #exitWaiters = new Set<Waiter>()
  #removeWaiters = new Set<Waiter>()
  lastEnding: Ending | undefined

  constructor(record: ContainerRecord) {
    this.record = record
  }

  get id(): string {
    return this.record.id
  }

  get name(): string {
    return this.record.name
  }

  /** Running, paused, or between two runs of a restart policy. */
  get isAlive(): boolean {
    const { status } = this.record.state
    return status === 'running' || status === 'paused' || status === 'restarting'
  }

  get hasProcess(): boolean {
    const { status } = this.record.state
    return status === 'running' || status === 'paused'
  }

  /** Attributes of its events: the labels, the image, the name. */
  get attributes(): Record<string, string> {
    return { ...this.record.config.labels, image: this.record.config.image, name: this.record.name }
  }

  /** The next end of a run. Rejects with the signal's reason. */
  onceExited(signal?: AbortSignal): Promise<Ending> {
    return once(this.#exitWaiters, signal)
  }

  onceRemoved(signal?: AbortSignal): Promise<Ending> {
    return once(this.#removeWaiters, signal)
  }

  /** Called by {@link file://./state.ts} only. */
  tellExited(ending: Ending): void {
    this.lastEnding = ending
    tell(this.#exitWaiters, ending)
  }

  /** Called by {@link file://./state.ts} only. */
  tellRemoved(ending: Ending): void {
    this.removed = true
    tell(this.#removeWaiters, ending)
    tell(this.#exitWaiters, ending)
  }
}

function tell(waiters: Set<Waiter>, ending: Ending): void {
  for (const waiter of [...waiters]) waiter(ending)
}

function once(waiters: Set<Waiter>, signal?: AbortSignal): Promise<Ending> {
  return new Promise((resolve, reject) => {
    const done = (): void => {
      waiters.delete(waiter)
      signal?.removeEventListener('abort', abort)
    }
    const waiter = (ending: Ending): void => {
      done()
      resolve(ending)
    }
    const abort = (): void => {
      done()
      reject(signal!.reason)
    }
    if (signal?.aborted) return reject(signal.reason)
    signal?.addEventListener('abort', abort, { once: true })
    waiters.add(waiter)
  })
}
