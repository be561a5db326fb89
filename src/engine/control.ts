/** Signals, stops, pauses, waits, names: what a person does to a container that exists. */
import {
  conflict,
  GantryError,
  hasCode,
  internal,
  invalid,
  kindOf,
  messageOf,
  notModified,
} from '../errors.ts'
import type { Container, Ending } from './container.ts'
import type { EngineContext } from './context.ts'
import { isValidName } from './names.ts'
import type { WaitCondition, WaitResult } from './results.ts'
import type { Runner } from './runner.ts'
import { parseSignal, SIGKILL, stopSignalOf } from './signals.ts'

/** Seconds between the stop signal and SIGKILL, where neither caller nor container says. */
const STOP_TIMEOUT = 10
/** What SIGKILL may take. Milliseconds. */
const KILL_TIMEOUT = 10_000

export interface StopOptions {
  /** Instead of the container's own. */
  signal?: string
  /** Seconds; -1 waits for ever. */
  timeout?: number
}

export class Control {
  readonly #context: EngineContext
  readonly #runner: Runner

  constructor(context: EngineContext, runner: Runner) {
    this.#context = context
    this.#runner = runner
  }

  /** Raises notModified where it does not run. */
  async stop(container: Container, options: StopOptions = {}): Promise<void> {
    if (!container.isAlive) throw notModified('')
    await this.#stop(container, options)
  }

  async #stop(container: Container, { signal, timeout }: StopOptions): Promise<void> {
    const { config, state } = container.record
    const number = signal ? parseSignal(signal) : stopSignalOf(config)
    container.exitOnNext = true
    this.#context.states.manuallyStopped(container)
    if (state.status === 'restarting') {
      await this.#giveUpRestart(container)
      return
    }
    const seconds = timeout ?? config.stopTimeout ?? STOP_TIMEOUT
    container.stopping = true
    try {
      const ended = container.onceExited()
      if (await this.#deliver(container, number)) {
        if (seconds < 0) await ended
        else if (!(await within(ended, seconds * 1000))) await this.#killAndWait(container)
      }
    } finally {
      container.stopping = false
    }
  }

  async #giveUpRestart(container: Container): Promise<void> {
    container.backoff?.abort()
    await this.#context.locks.run(container.id, () => {
      this.#context.states.restartGivenUp(container)
      this.#context.states.stopped(container)
    })
  }

  async restart(container: Container, options: StopOptions = {}): Promise<void> {
    if (options.signal) parseSignal(options.signal)
    if (container.isAlive) await this.#stop(container, options)
    await this.#runner.start(container)
    this.#context.states.restarted(container)
  }

  /** `ref` is what the caller called it. SIGKILL waits for the end. */
  async kill(container: Container, ref: string, signal?: string): Promise<void> {
    try {
      const number = signal ? parseSignal(signal) : SIGKILL
      if (!container.hasProcess) {
        if (container.record.state.status === 'restarting') return await this.#giveUpRestart(container)
        throw conflict(`container ${container.id} is not running`)
      }
      const { stopSignal } = container.record.config
      if (number === SIGKILL || !stopSignal || stopSignalOf({ stopSignal }) === number) {
        container.exitOnNext = true
      }
      this.#context.states.manuallyStopped(container)
      if (number === SIGKILL) await this.#killAndWait(container)
      else await this.#deliver(container, number)
    } catch (error) {
      throw new GantryError(kindOf(error), `cannot kill container: ${ref}: ${messageOf(error)}`, {
        cause: error,
      })
    }
  }

  /** SIGKILL, and the end. */
  async #killAndWait(container: Container): Promise<void> {
    const ended = container.onceExited()
    if (!(await this.#deliver(container, SIGKILL))) return
    if (await within(ended, KILL_TIMEOUT)) return
    container.cgroup?.kill()
    if (!(await within(ended, KILL_TIMEOUT))) {
      throw internal(`tried to kill container, but did not receive an exit event`)
    }
  }

  /** False where it had ended by itself. A paused container cannot take a signal, so it goes on. */
  async #deliver(container: Container, signal: number): Promise<boolean> {
    const { task } = container
    if (!task) return false
    try {
      await task.kill(signal)
    } catch (error) {
      if (!hasCode(error, 'ESRCH')) throw error
    }
    this.#context.states.note(container, 'kill', { signal: String(signal) })
    if (container.record.state.status === 'paused' && container.exitOnNext) await this.unpause(container)
    return container.task === task
  }

  async pause(container: Container): Promise<void> {
    await this.#context.locks.run(container.id, () => {
      const { status } = container.record.state
      if (status === 'paused') throw conflict(`Container ${container.id} is already paused`)
      if (status === 'restarting') {
        throw conflict(`Container ${container.id} is restarting, wait until the container is running`)
      }
      if (!container.task) throw conflict(`container ${container.id} is not running`)
      container.cgroup!.freeze()
      this.#context.states.paused(container)
    })
  }

  async unpause(container: Container): Promise<void> {
    await this.#context.locks.run(container.id, () => {
      if (container.record.state.status !== 'paused') {
        throw conflict(`Container ${container.id} is not paused`)
      }
      container.cgroup!.thaw()
      this.#context.states.unpaused(container)
    })
  }

  /** Checks at once; waits in the promise. */
  wait(container: Container, condition: WaitCondition, signal?: AbortSignal): Promise<WaitResult> {
    if (!['not-running', 'next-exit', 'removed'].includes(condition)) {
      throw invalid(`invalid condition: ${JSON.stringify(condition)}`)
    }
    if (condition === 'not-running' && !container.isAlive) {
      const { exitCode, error } = container.record.state
      return Promise.resolve(resultOf({ exitCode, error }))
    }
    const waited = condition === 'removed' ? container.onceRemoved(signal) : container.onceExited(signal)
    return waited.then(resultOf)
  }

  async rename(container: Container, wanted: string): Promise<void> {
    const name = wanted.replace(/^\//, '')
    if (name === '') throw invalid('Neither old nor new names may be empty')
    const { store, locks, states, networks } = this.#context
    await locks.run(container.id, () => {
      if (name === container.name)
        throw invalid('Renaming a container with the same name as its current name')
      if (!isValidName(name)) {
        throw internal(
          `Error when allocating new name: Invalid container name (/${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`,
        )
      }
      try {
        store.reserveName(name, container.id)
      } catch (error) {
        throw conflict(`Error when allocating new name: ${messageOf(error)}`, error)
      }
      const oldName = `/${container.name}`
      try {
        store.rename(container, name)
      } finally {
        store.releaseName(name)
      }
      networks.rename(container.id, name)
      states.note(container, 'rename', { oldName })
    })
  }
}

function resultOf({ exitCode, error }: Ending): WaitResult {
  return error === '' ? { exitCode } : { exitCode, error }
}

/** Whether `promise` settles in time. */
async function within(promise: Promise<unknown>, milliseconds: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<false>(resolve => {
    timer = setTimeout(() => resolve(false), milliseconds)
  })
  try {
    return await Promise.race([promise.then(() => true as const), late])
  } finally {
    clearTimeout(timer)
  }
}
