/**
 * A container's runs: from a record to a process, and from its end back to a record. All of it under the container's lock, but
 * for the waiting.
 */
import * as fs from 'node:fs'
import { conflict, hasCode, kindOf, messageOf, notModified } from '../errors.ts'
import * as linux from '../linux/index.ts'
import type { Sandbox } from '../network/types.ts'
import { buildSpec } from '../runtime/build-spec.ts'
import type { Cgroup } from '../runtime/cgroup/cgroup.ts'
import { openCgroup } from '../runtime/cgroup/index.ts'
import { compilePlan } from '../runtime/compile.ts'
import type { ExitRecord, Task } from '../runtime/launcher.ts'
import { compileOciPlan, removeBundle, runtimeErrorText, writeBundle } from '../runtime/oci-runtime.ts'
import type { Rootfs } from '../runtime/request.ts'
import { nowNano, parseNano } from './clock.ts'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'
import { containerLaunchFailure } from './launch-errors.ts'
import { mountFolder, networkDonor, runtimeRequest } from './launch-request.ts'
import { checkLinks } from './links.ts'
import { LogCompressor } from './log-compress.ts'
import { logLimits } from './log-config.ts'
import { logTarget } from './log-target.ts'
import { networkContainer } from './network-request.ts'
import { outsideRuntime } from './outside-runtime.ts'
import { pathsOf } from './paths.ts'
import { RestartDecision } from './restart.ts'
import type { ExitReport } from './state.ts'

/** What the parts that live on a running container's side want to hear of. */
export interface RunListener {
  /** The program runs. `signal` aborts when it ended. */
  onStarted(container: Container, signal: AbortSignal): void
  /** It ended for good, and goes by itself. */
  onAutoRemove(container: Container): Promise<void>
}

export class Runner {
  readonly #context: EngineContext
  readonly #listener: RunListener

  constructor(context: EngineContext, listener: RunListener) {
    this.#context = context
    this.#listener = listener
  }

  /** A person starts it. Raises notModified where it runs. */
  async start(container: Container): Promise<void> {
    await this.#context.locks.run(container.id, async () => {
      const { status } = container.record.state
      if (status === 'paused') throw conflict('cannot start a paused container, try unpause instead')
      if (status === 'running') throw notModified('')
      if (status === 'restarting') container.backoff?.abort()
      if (container.removed || status === 'removing' || status === 'dead') {
        throw conflict('container is marked for removal and cannot be started')
      }
      container.exitOnNext = false
      container.backoffMilliseconds = 0
      this.#context.states.restartCountReset(container)
      try {
        await this.#launch(container)
      } catch (error) {
        if (container.record.host.autoRemove) {
          queueMicrotask(() => void this.#listener.onAutoRemove(container))
        }
        throw error
      }
    })
  }

  /** Under the lock. Everything that was taken is given back where it fails. */
  async #launch(container: Container): Promise<void> {
    const { record } = container
    await container.cleanup
    let task: Task | undefined
    try {
      const { sandbox, plan, fds, release } = await this.#prepare(container)
      try {
        task = await this.#context.launcher.launch({ id: record.id, plan, fds })
      } finally {
        release()
      }
      if (sandbox) this.#context.networks.started(record.id, task.pid)
      container.task = task
      for (const attachment of container.waitingAttachments) await attachment.connect(task)
      container.waitingAttachments.clear()
      await task.start()
    } catch (error) {
      const outside = outsideRuntime(this.#context, record)
      const said = outside && runtimeErrorText(outside.place)
      await this.#unwind(container, task)
      const { path: command, config, host } = record
      const launched = {
        command,
        cwd: config.workingDir ?? '/',
        ...(host.sysctls && { sysctls: host.sysctls }),
      }
      const failure = containerLaunchFailure(error, launched, said)
      for (const attachment of container.waitingAttachments) attachment.abandon()
      container.waitingAttachments.clear()
      this.#context.states.startFailed(container, failure.exitCode, failure.message)
      throw failure.error
    }
    this.#nowRuns(container, task)
    const check = record.config.healthcheck?.test?.[0]
    const health =
      check !== undefined && check !== 'NONE'
        ? { status: 'starting' as const, failingStreak: 0, log: [] }
        : undefined
    this.#context.states.started(container, task.pid, health)
    this.#listener.onStarted(container, container.running!.signal)
  }

  async #prepare(container: Container) {
    const context = this.#context
    const { record } = container
    const paths = pathsOf(context, record.id)
    const log = logTarget(record)
    for (const mount of record.mounts) {
      if (mount.type === 'volume') {
        await context.volumes.mount(mount.name!, record.id)
        context.events.emit('volume', 'mount', mount.name!, {
          container: record.id,
          destination: mount.destination,
          driver: mount.driver!,
          propagation: mount.propagation,
          'read/write': String(mount.rw),
        })
      }
    }
    await this.#mountImages(container)
    if (record.host.ipcMode === 'shareable') this.#makeSharedMemory(container)
    checkLinks(context, record)
    const donor = networkDonor(context, record.host)
    const sandbox = donor ? undefined : await context.networks.attach(networkContainer(context, record))
    if (sandbox) {
      fs.writeFileSync(paths.hosts, sandbox.hosts, { mode: 0o644 })
      fs.writeFileSync(paths.resolvConf, sandbox.resolvConf, { mode: 0o644 })
      fs.writeFileSync(paths.hostname, sandbox.hostnameFile, { mode: 0o644 })
    }
    const request = runtimeRequest(context, container, sandbox ?? NO_SANDBOX)
    const spec = buildSpec(request)
    const cgroup = openCgroup(spec.linux.cgroupsPath)
    container.spec = spec
    container.cgroup = cgroup
    const { lowerdirs, upperdir, workdir } = container.snapshot
    const rootfs: Rootfs =
      workdir === ''
        ? { type: 'path', path: upperdir }
        : { type: 'overlay', lowerdirs: [...lowerdirs], upperdir, workdir }
    const stdin = record.config.openStdin ?? false
    const outside = outsideRuntime(context, record)
    if (outside) {
      writeBundle(outside.place, spec, rootfs)
      const plan = compileOciPlan(outside.runtime, outside.place, spec, { stdin, log })
      return { sandbox, plan, fds: [], release: () => {} }
    }
    const compiled = compilePlan(spec, {
      rootfs,
      cgroup,
      stdin,
      log,
      ...(sandbox?.netnsFd !== undefined && { namespaceFds: { network: sandbox.netnsFd } }),
    })
    return { sandbox, ...compiled }
  }

  async #mountImages(container: Container): Promise<void> {
    const { images, snapshots } = this.#context
    for (const mount of container.record.mounts) {
      if (mount.type !== 'image') continue
      const target = `${pathsOf(this.#context, container.id).imageMounts}/${mountFolder(mount)}`
      const snapshot = await snapshots.prepare(`${target}.layer`, images.resolve(mount.name!).image.chain)
      fs.mkdirSync(target, { recursive: true })
      const fd = snapshots.mount(snapshot, { readOnly: true })
      try {
        linux.moveMount(fd, target)
      } finally {
        fs.closeSync(fd)
      }
    }
  }

  #makeSharedMemory(container: Container): void {
    const { shm } = pathsOf(this.#context, container.id)
    detach(shm)
    fs.mkdirSync(shm, { recursive: true, mode: 0o1777 })
    const size = container.record.host.shmSize ?? 64 * 1024 * 1024
    const flags = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
    linux.mount('shm', shm, 'tmpfs', flags, `mode=1777,size=${size}`)
  }

  /** From here on the run's end is waited for. Also after a reconnect. */
  #nowRuns(container: Container, task: Task): void {
    container.task = task
    container.running = new AbortController()
    this.#compressLog(container, task)
    task.onOom = () => void this.#outOfMemory(container, task)
    const settle = async (record: ExitRecord): Promise<void> => {
      if (this.#context.closing.aborted) return
      await this.#context.locks.run(container.id, () => this.#ended(container, task, record))
    }
    task
      .wait()
      .then(settle)
      .catch(error => {
        if (this.#context.closing.aborted) return
        this.#context.logger.error('a container ended in disorder', {
          container: container.id,
          error: messageOf(error),
        })
      })
  }

  async #outOfMemory(container: Container, task: Task): Promise<void> {
    const { locks, states, logger } = this.#context
    try {
      await locks.run(container.id, () => {
        if (container.task === task) states.oom(container)
      })
    } catch (error) {
      logger.error('running out of memory cannot be told', {
        container: container.id,
        error: messageOf(error),
      })
    }
  }

  #compressLog(container: Container, task: Task): void {
    const { logConfig } = container.record.host
    if (!logConfig || logConfig.type === 'none' || !logLimits(logConfig).compress) return
    const compressor = new LogCompressor(container.record.logPath, error => {
      if (container.removed) return
      this.#context.logger.error('a rotated log is not compressed', {
        container: container.id,
        error: messageOf(error),
      })
    })
    task.onRotated = () => compressor.wake()
    compressor.wake()
  }

  /** A process that an earlier life of the engine started. Under the lock or before anyone else is there. */
  adopt(container: Container, task: Task): void {
    this.#nowRuns(container, task)
    this.#listener.onStarted(container, container.running!.signal)
  }

  /** Under the lock. */
  async #ended(container: Container, task: Task, exit: ExitRecord): Promise<void> {
    if (container.task !== task) return
    const report = reportOf(exit)
    container.running?.abort()
    container.running = undefined
    container.task = undefined
    const { cgroup } = container
    await this.#release(container)
    this.settle(container, report)
    // Only now: until the state is written, the shim's record is all that would tell the next life of the engine how it ended.
    container.cleanup = this.#clean(task, cgroup).catch(error => {
      this.#context.logger.error('what a run left cannot be removed', {
        container: container.id,
        error: messageOf(error),
      })
    })
  }

  async #clean(task: Task, cgroup: Cgroup | undefined): Promise<void> {
    await task.delete()
    // The shim removes it, unless a process that was just being born held it.
    if (cgroup?.birthplace !== undefined && fs.existsSync(cgroup.birthplace)) cgroup.remove()
  }

  /** The restart policy has its say, and the state is written and told. Under the lock. */
  settle(container: Container, report: ExitReport): void {
    const decision = RestartDecision.of(container, report)
    const { host } = container.record
    container.exitOnNext = false
    this.#context.states.exited(container, report, decision.restart ? 'restarting' : 'exited')
    if (decision.restart) this.#restartLater(container, decision.milliseconds)
    else if (host.autoRemove) void this.#listener.onAutoRemove(container)
  }

  #restartLater(container: Container, milliseconds: number): void {
    const backoff = new AbortController()
    container.backoff = backoff
    const timer = setTimeout(() => void this.#restartNow(container, backoff), milliseconds)
    backoff.signal.addEventListener('abort', () => clearTimeout(timer), { once: true })
    this.#context.closing.addEventListener('abort', () => clearTimeout(timer), { once: true })
  }

  async #restartNow(container: Container, backoff: AbortController): Promise<void> {
    const { states, logger, locks } = this.#context
    await locks.run(container.id, async () => {
      if (backoff.signal.aborted || container.removed) return
      container.backoff = undefined
      states.restartCounted(container)
      try {
        await this.#launch(container)
      } catch (error) {
        logger.error('a restart failed', { container: container.id, error: messageOf(error) })
        this.#afterFailedRestart(container, kindOf(error) !== 'invalid')
      }
    })
  }

  /** A failed restart counts as an end: the policy decides again. */
  #afterFailedRestart(container: Container, mayWork: boolean): void {
    const { exitCode, error } = container.record.state
    const report: ExitReport = { exitCode, oomKilled: false, exitedAt: nowNano(), error }
    const decision = RestartDecision.of(container, report)
    if (!decision.restart || !mayWork) return
    this.#context.states.exited(container, report, 'restarting')
    this.#restartLater(container, decision.milliseconds)
  }

  /** What a start had taken when it failed. */
  async #unwind(container: Container, task: Task | undefined): Promise<void> {
    container.task = undefined
    await task?.delete().catch(() => {})
    await this.#release(container)
  }

  /** Networks, volumes, mounts of the run. */
  async #release(container: Container): Promise<void> {
    const { networks, volumes, events, logger } = this.#context
    container.spec = undefined
    container.cgroup = undefined
    container.execIds.clear()
    try {
      await networks.release(container.id)
      for (const mount of container.record.mounts) {
        if (mount.type !== 'volume') continue
        await volumes.unmount(mount.name!, container.id)
        events.emit('volume', 'unmount', mount.name!, { container: container.id, driver: mount.driver! })
      }
    } catch (error) {
      logger.error('a run was not given back whole', { container: container.id, error: messageOf(error) })
    }
    this.releaseMounts(container)
  }

  /** Mounts on the host that belong to a run: shared memory and mounted images. */
  releaseMounts(container: Container): void {
    const outside = outsideRuntime(this.#context, container.record)
    if (outside) removeBundle(outside.place)
    const paths = pathsOf(this.#context, container.id)
    if (container.record.host.ipcMode === 'shareable') detach(paths.shm)
    for (const mount of container.record.mounts) {
      if (mount.type === 'image') detach(`${paths.imageMounts}/${mountFolder(mount)}`)
    }
  }
}

/** Of a container that has none of its own. */
export const NO_SANDBOX: Sandbox = {
  id: '',
  key: '',
  netnsFd: undefined,
  endpoints: {},
  ports: {},
  hosts: '',
  resolvConf: '',
  hostnameFile: '',
  linkEnv: [],
}

function detach(target: string): void {
  try {
    linux.umount(target, linux.MNT_DETACH)
  } catch (error) {
    if (!hasCode(error, 'EINVAL', 'ENOENT')) throw error
  }
}

export function reportOf(exit: ExitRecord): ExitReport {
  return {
    exitCode: exit.exitCode,
    oomKilled: exit.oomKilled,
    exitedAt: parseNano(exit.exitedAt) ?? nowNano(),
  }
}

/** For states of what ended while nobody watched and nothing tells when. */
export const unseenEnd = (exitCode: number): ExitReport => ({
  exitCode,
  oomKilled: false,
  exitedAt: nowNano(),
})
