/** `HEALTHCHECK`: a command that is run again and again while the container runs. moby daemon/health.go */
import { GantryError, messageOf } from '../errors.ts'
import { nowText } from './clock.ts'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'
import type { Execs } from './execs.ts'
import type { HealthcheckSpec, HealthState } from './types.ts'

const SECOND = 1_000_000_000
const INTERVAL = 30 * SECOND
const TIMEOUT = 30 * SECOND
const START_INTERVAL = 5 * SECOND
const RETRIES = 3
/** Results that are kept, and how much of each output. */
const KEPT = 5
const OUTPUT = 4096

interface Outcome {
  start: string
  end: string
  exitCode: number
  output: string
}

export class HealthChecks {
  readonly #context: EngineContext
  readonly #execs: Execs
  /** Told of each check's result. */
  onResult: ((healthy: boolean) => void) | undefined
  /** Told of each check's start: milliseconds from when it was due until its command ran. */
  onStart: ((milliseconds: number) => void) | undefined

  constructor(context: EngineContext, execs: Execs) {
    this.#context = context
    this.#execs = execs
  }

  /** Check the container for as long as `signal` says that it runs. */
  watch(container: Container, signal: AbortSignal): void {
    const check = container.record.config.healthcheck
    const argv = check && commandOf(check, container.record.config.shell)
    if (!check || !argv) return
    void this.#loop(container, check, argv, signal).catch(error => {
      if (!signal.aborted) {
        this.#context.logger.error('health checks ended', {
          container: container.id,
          error: messageOf(error),
        })
      }
    })
  }

  async #loop(
    container: Container,
    check: HealthcheckSpec,
    argv: string[],
    signal: AbortSignal,
  ): Promise<void> {
    const begun = Date.now()
    const interval = milliseconds(check.interval || INTERVAL)
    const startPeriod = milliseconds(check.startPeriod ?? 0)
    const startInterval = milliseconds(check.startInterval || START_INTERVAL)
    const inStartPeriod = (): boolean =>
      Date.now() - begun < startPeriod && container.record.state.health?.status === 'starting'
    while (!signal.aborted && !this.#context.closing.aborted) {
      await sleep(inStartPeriod() ? startInterval : interval, signal, this.#context.closing)
      if (signal.aborted || this.#context.closing.aborted) return
      if (container.record.state.status !== 'running') continue
      const outcome = await this.#run(container, check, argv, signal)
      if (signal.aborted) return
      this.onResult?.(outcome.exitCode === 0)
      await this.#context.locks.run(container.id, () => {
        if (signal.aborted || !container.record.state.health) return
        const starting = Date.now() - begun < startPeriod
        const health = judged(container.record.state.health, outcome, check.retries || RETRIES, starting)
        this.#context.states.health(container, health)
      })
    }
  }

  async #run(
    container: Container,
    check: HealthcheckSpec,
    argv: string[],
    signal: AbortSignal,
  ): Promise<Outcome> {
    const start = nowText()
    const timeout = check.timeout || TIMEOUT
    const killer = new AbortController()
    const timer = setTimeout(() => killer.abort(), milliseconds(timeout))
    const stop = (): void => killer.abort()
    signal.addEventListener('abort', stop, { once: true })
    const output = new Output()
    try {
      const spec = {
        cmd: argv,
        attachStdout: true,
        attachStderr: true,
      }
      const due = performance.now()
      const keep = (chunk: Buffer): void => output.add(chunk)
      const started = (): void => this.onStart?.(performance.now() - due)
      const exitCode = await this.#execs.run(container, spec, keep, killer.signal, started)
      if (killer.signal.aborted && !signal.aborted) {
        const text = `Health check exceeded timeout (${durationText(timeout)})`
        const before = output.text
        return { start, end: nowText(), exitCode: -1, output: before ? `${text}: ${before}` : text }
      }
      return { start, end: nowText(), exitCode, output: output.text }
    } catch (error) {
      if (!(error instanceof GantryError)) throw error
      return { start, end: nowText(), exitCode: -1, output: error.message }
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', stop)
    }
  }
}

/** undefined where there is nothing to run. */
function commandOf(
  { test = [] }: HealthcheckSpec,
  shell: string[] = ['/bin/sh', '-c'],
): string[] | undefined {
  const [kind, ...rest] = test
  if (kind === 'CMD') return rest
  if (kind === 'CMD-SHELL') return [...shell, ...rest]
  return undefined
}

function judged(before: HealthState, outcome: Outcome, retries: number, inStartPeriod: boolean): HealthState {
  const log = [...before.log, outcome].slice(-KEPT)
  if (outcome.exitCode === 0) return { status: 'healthy', failingStreak: 0, log }
  // What fails while the container is still starting does not count.
  if (inStartPeriod && before.status === 'starting') return { ...before, log }
  const failingStreak = before.failingStreak + 1
  return { status: failingStreak >= retries ? 'unhealthy' : before.status, failingStreak, log }
}

/** The first bytes of what a check prints, out of its frames. */
class Output {
  #kept: Buffer[] = []
  #size = 0
  #cut = false
  /** Of a frame that is not complete. */
  #header = Buffer.alloc(0)
  #left = 0

  get text(): string {
    return Buffer.concat(this.#kept).toString('utf8') + (this.#cut ? '...' : '')
  }

  add(chunk: Buffer): void {
    let rest = chunk
    while (rest.length > 0) {
      if (this.#left === 0) {
        const header = Buffer.concat([this.#header, rest.subarray(0, 8 - this.#header.length)])
        rest = rest.subarray(8 - this.#header.length)
        this.#header = header
        if (header.length < 8) return
        this.#left = header.readUInt32BE(4)
        this.#header = Buffer.alloc(0)
      }
      const payload = rest.subarray(0, this.#left)
      this.#left -= payload.length
      rest = rest.subarray(payload.length)
      this.#keep(payload)
    }
  }

  #keep(payload: Buffer): void {
    const room = OUTPUT - this.#size
    if (payload.length > room) this.#cut = true
    const kept = payload.subarray(0, room)
    this.#kept.push(kept)
    this.#size += kept.length
  }
}

const milliseconds = (nanoseconds: number): number => nanoseconds / 1_000_000

/** Go's: `1s`, `1m30s`, `500ms`. */
function durationText(nanoseconds: number): string {
  if (nanoseconds < SECOND) return `${nanoseconds / 1_000_000}ms`
  const seconds = nanoseconds / SECOND
  const hours = Math.floor(seconds / 3600)
  const minutes = Math.floor((seconds % 3600) / 60)
  return `${hours > 0 ? `${hours}h` : ''}${hours > 0 || minutes > 0 ? `${minutes}m` : ''}${seconds % 60}s`
}

function sleep(time: number, ...signals: AbortSignal[]): Promise<void> {
  return new Promise(resolve => {
    const done = (): void => {
      clearTimeout(timer)
      for (const signal of signals) signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, time)
    for (const signal of signals) signal.addEventListener('abort', done)
  })
}
