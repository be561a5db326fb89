/**
 * The one place where a container's state changes. Every function here is called under that container's lock; it changes the
 * record, writes it, and then tells: those who wait, and the event bus.
 *
 * A start or an end is written without waiting for the disk: the shim's exit record in the exec-root says the same after a
 * crash of the engine, and after a power cut there is no exec-root, which says that everything ended.
 */
import { formatNano, millisecondsOf, NEVER, nowNano } from './clock.ts'
import type { Container } from './container.ts'
import type { Events } from './events.ts'
import type { ContainerStore } from './store.ts'
import type { ContainerState, HealthState } from './types.ts'

export const initialState: Readonly<ContainerState> = {
  status: 'created',
  pid: 0,
  exitCode: 0,
  error: '',
  oomKilled: false,
  startedAt: NEVER,
  finishedAt: NEVER,
  restartCount: 0,
  manuallyStopped: false,
}

export interface ExitReport {
  exitCode: number
  oomKilled: boolean
  /** Nanoseconds since 1970. */
  exitedAt: bigint
  /** Why, where it is not the process's own doing. */
  error?: string
}

export class States {
  readonly #store: ContainerStore
  readonly #events: Events

  constructor(store: ContainerStore, events: Events) {
    this.#store = store
    this.#events = events
  }

  #change(container: Container, change: Partial<ContainerState>, sync = false): void {
    Object.assign(container.record.state, change)
    this.#store.writeState(container.record, sync)
  }

  #tell(container: Container, action: string, more: Record<string, string> = {}, at?: bigint): void {
    this.#events.emit('container', action, container.id, { ...container.attributes, ...more }, at)
  }

  /** Something that is no change of state: attach, kill, resize, … */
  note(container: Container, action: string, more?: Record<string, string>): void {
    this.#tell(container, action, more)
  }

  created(container: Container): void {
    this.#tell(container, 'create')
  }

  /** The process is about to run its program. */
  started(container: Container, pid: number, health: HealthState | undefined): void {
    const at = nowNano()
    this.#change(container, {
      status: 'running',
      pid,
      exitCode: 0,
      error: '',
      oomKilled: false,
      startedAt: formatNano(at),
      manuallyStopped: false,
      health,
    })
    this.#tell(container, 'start', {}, at)
  }

  /** The start did not come to a running program, which is no end of a run: nobody who waits is told.  `exitCode` as Docker's: 126, 127 or 128. */
  startFailed(container: Container, exitCode: number, error: string): void {
    const { status } = container.record.state
    this.#change(container, { status: status === 'created' ? 'created' : 'exited', pid: 0, exitCode, error })
  }

  /** The program ended; nothing of it runs any more. `next` is restarting where the policy brings it back. */
  exited(container: Container, report: ExitReport, next: 'exited' | 'restarting'): void {
    const { state } = container.record
    const seconds = Math.max(0, Number(report.exitedAt / 1_000_000n) - millisecondsOf(state.startedAt)) / 1000
    // Where nobody was there to tell it when it happened.
    if (report.oomKilled && !state.oomKilled) this.#tell(container, 'oom')
    const change: Partial<ContainerState> = {
      status: next,
      pid: 0,
      exitCode: report.exitCode,
      oomKilled: report.oomKilled || state.oomKilled,
      error: report.error ?? '',
      finishedAt: formatNano(report.exitedAt),
    }
    if (state.health) change.health = { ...state.health, status: 'unhealthy' }
    this.#change(container, change)
    container.tellExited({ exitCode: report.exitCode, error: report.error ?? '' })
    if (container.stopping) this.#tell(container, 'stop')
    this.#tell(container, 'die', {
      execDuration: String(Math.floor(seconds)),
      exitCode: String(report.exitCode),
    })
  }

  /** Found stopped when the engine opened: the state is settled, and told as it would have been. */
  settled(container: Container, report: ExitReport): void {
    this.exited(container, report, 'exited')
  }

  /** One more run by the policy is about to begin. */
  restartCounted(container: Container): void {
    this.#change(container, { restartCount: container.record.state.restartCount + 1 })
  }

  restartCountReset(container: Container): void {
    if (container.record.state.restartCount !== 0) this.#change(container, { restartCount: 0 })
  }

  /** A restart that was waited for will not come. */
  restartGivenUp(container: Container): void {
    if (container.record.state.status !== 'restarting') return
    this.#change(container, { status: 'exited' })
    const { exitCode, error } = container.record.state
    container.tellExited({ exitCode, error })
  }

  /** A person stopped it: durable, because a restart policy must respect it after a power cut too. */
  manuallyStopped(container: Container): void {
    if (container.record.state.manuallyStopped) return
    const policy = container.record.host.restartPolicy?.name ?? 'no'
    this.#change(container, { manuallyStopped: true }, policy !== 'no' && policy !== '')
  }

  /** Limits, restart policy or ports changed. */
  updated(container: Container, more?: Record<string, string>): void {
    this.#store.write(container.record, true)
    this.#tell(container, 'update', more)
  }

  stopped(container: Container): void {
    this.#tell(container, 'stop')
  }

  restarted(container: Container): void {
    this.#tell(container, 'restart')
  }

  paused(container: Container, forCommit = false): void {
    this.#change(container, { status: 'paused', pausedForCommit: forCommit })
    this.#tell(container, 'pause')
  }

  unpaused(container: Container): void {
    this.#change(container, { status: 'running', pausedForCommit: false })
    this.#tell(container, 'unpause')
  }

  /** Memory ran out: as a rule one of its processes was killed for that. */
  oom(container: Container): void {
    if (!container.record.state.oomKilled) this.#change(container, { oomKilled: true })
    this.#tell(container, 'oom')
  }

  health(container: Container, health: HealthState): void {
    const before = container.record.state.health?.status
    this.#change(container, { health })
    if (before !== health.status) this.#tell(container, `health_status: ${health.status}`)
  }

  /** Its folder is gone. */
  removed(container: Container): void {
    this.#store.remove(container)
    // Whoever waits for the removal was told of a failed start by that start.
    container.tellRemoved({ exitCode: container.record.state.exitCode, error: '' })
    this.#tell(container, 'destroy')
  }

  /** It could not be removed; what is left is remembered, and can be removed again. */
  dead(container: Container, error: string): void {
    this.#change(container, { status: 'dead', error })
  }
}
