/** Restart policies. moby restartmanager: a wait that doubles from 100 ms to a minute, and begins anew after 10 s of running. */
import { millisecondsOf } from './clock.ts'
import type { Container } from './container.ts'
import type { ExitReport } from './state.ts'

const FIRST_WAIT = 100
const LONGEST_WAIT = 60_000
const GOOD_RUN = 10_000

export class RestartDecision {
  readonly restart: boolean
  /** To wait before. */
  readonly milliseconds: number

  private constructor(restart: boolean, milliseconds: number) {
    this.restart = restart
    this.milliseconds = milliseconds
  }

  /** Changes the container's back-off. Asked once for each end. */
  static of(container: Container, report: ExitReport): RestartDecision {
    const { host, state } = container.record
    const policy = host.restartPolicy ?? { name: 'no', maximumRetryCount: 0 }
    const ran = Number(report.exitedAt / 1_000_000n) - millisecondsOf(state.startedAt)
    if (ran >= GOOD_RUN) container.backoffMilliseconds = 0
    container.backoffMilliseconds = Math.min(container.backoffMilliseconds * 2 || FIRST_WAIT, LONGEST_WAIT)
    const wanted =
      !container.exitOnNext && wantsRestart(policy.name, policy.maximumRetryCount, container, report)
    return new RestartDecision(wanted, container.backoffMilliseconds)
  }
}

function wantsRestart(name: string, maximum: number, container: Container, report: ExitReport): boolean {
  const { state } = container.record
  switch (name) {
    case 'always':
      return true
    case 'unless-stopped':
      return !state.manuallyStopped
    case 'on-failure':
      return report.exitCode !== 0 && (maximum === 0 || state.restartCount < maximum)
    default:
      return false
  }
}

/** Whether a stopped container is to run when the engine opens. One that never ran is not. */
export function wantsRunAtOpen(container: Container): boolean {
  const { host, state } = container.record
  if (state.status === 'created' || millisecondsOf(state.startedAt) === 0) return false
  const policy = host.restartPolicy ?? { name: 'no', maximumRetryCount: 0 }
  const report: ExitReport = { exitCode: state.exitCode, oomKilled: false, exitedAt: 0n }
  return wantsRestart(policy.name, policy.maximumRetryCount, container, report)
}
