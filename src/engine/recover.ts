/** What an engine does first: whatever an earlier life left is adopted, settled or swept. There is no other start. */
import { hasCode, messageOf } from '../errors.ts'
import { chainIdOf } from '../image/digest.ts'
import type { RunningContainer } from '../network/types.ts'
import { buildSpec } from '../runtime/build-spec.ts'
import { openCgroup, strayCgroups } from '../runtime/cgroup/index.ts'
import type { ExitRecord, Task } from '../runtime/launcher.ts'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'
import { cgroupParent, runtimeRequest } from './launch-request.ts'
import { networkContainer } from './network-request.ts'
import { pathsOf } from './paths.ts'
import type { Remover } from './remove.ts'
import { wantsRunAtOpen } from './restart.ts'
import { NO_SANDBOX, type Runner, reportOf, unseenEnd } from './runner.ts'

/** Docker's exit code for what a reboot ended. */
const REBOOTED = 255

/** What became of a container's last run. */
export type Finding = { container: Container; found: Task | ExitRecord | undefined }

/** Ask each shim. Before the networks are opened, which want to know who runs. */
export async function findRuns(
  context: Pick<EngineContext, 'store' | 'launcher' | 'logger'>,
): Promise<Finding[]> {
  const { store, launcher, logger } = context
  const known = new Set(launcher.list())
  const findings = store.all().map(async (container): Promise<Finding> => {
    if (!known.has(container.id)) return { container, found: undefined }
    try {
      return { container, found: await launcher.reconnect(container.id) }
    } catch (error) {
      logger.error('a shim does not answer', { container: container.id, error: messageOf(error) })
      return { container, found: undefined }
    }
  })
  return Promise.all(findings)
}

const isTask = (found: Finding['found']): found is Task => found !== undefined && 'kill' in found

/** For `Networks.open`. */
export function runningContainers(
  context: Pick<EngineContext, 'store'>,
  findings: readonly Finding[],
): RunningContainer[] {
  return findings.flatMap(({ container, found }) => {
    const joins = container.record.host.networkMode?.startsWith('container:')
    if (!isTask(found) || joins) return []
    return [{ container: networkContainer(context, container.record), pid: found.pid }]
  })
}

export class Recovery {
  readonly #context: EngineContext
  readonly #runner: Runner

  constructor(context: EngineContext, runner: Runner) {
    this.#context = context
    this.#runner = runner
  }

  /** Snapshots, volumes and states as they are now. Answers who is to be started. */
  async settle(findings: readonly Finding[]): Promise<void> {
    const { snapshots, volumes, logger } = this.#context
    for (const { container, found } of findings) {
      const { record } = container
      try {
        const chain = record.imageConfig && chainIdOf(record.imageConfig.rootfs.diff_ids)
        const snapshot = await snapshots.prepare(pathsOf(this.#context, record.id).layer, chain)
        container.snapshot = this.#context.initLayers.below(snapshot)
      } catch (error) {
        logger.error('a layer is not there', { container: record.id, error: messageOf(error) })
      }
      for (const mount of record.mounts) if (mount.type === 'volume') volumes.hold(mount.name!, record.id)
      await this.#settleRun(container, found)
    }
    volumes.sweepMounts()
    await this.#sweep()
  }

  async #settleRun(container: Container, found: Finding['found']): Promise<void> {
    const { launcher, logger } = this.#context
    if (isTask(found)) {
      // Never let go: the start was not finished, and nobody was told of it.
      if (!found.started) await found.delete().catch(() => {})
      else return this.#adopt(container, found)
    }
    // Also those of a start that was cut off.
    this.#runner.releaseMounts(container)
    if (container.isAlive || container.record.state.pid !== 0) {
      logger.info('a container ended while nobody looked', { container: container.id })
      await this.#context.networks.release(container.id).catch(() => {})
      const { status, exitCode } = container.record.state
      if (status === 'restarting') this.#context.states.settled(container, unseenEnd(exitCode))
      else {
        const ended = found && !isTask(found) ? reportOf(found) : unseenEnd(REBOOTED)
        this.#context.states.settled(container, ended)
      }
    }
    if (found && !isTask(found)) launcher.discard(container.id)
  }

  async #adopt(container: Container, task: Task): Promise<void> {
    for (const mount of container.record.mounts) {
      if (mount.type === 'volume') await this.#context.volumes.mount(mount.name!, container.id)
    }
    const { status } = container.record.state
    const request = runtimeRequest(this.#context, container, NO_SANDBOX)
    container.spec = buildSpec(request)
    container.cgroup = openCgroup(container.spec.linux.cgroupsPath)
    this.#runner.adopt(container, task)
    if (status === 'running' || status === 'paused') {
      // A pause that was not yet written was promised to nobody; one for a commit ended with the commit's daemon.
      const keep = status === 'paused' && !container.record.state.pausedForCommit
      const frozen = isStillFrozen(container.cgroup, keep)
      if (status === 'paused' && !frozen) this.#context.states.unpaused(container)
    } else this.#context.states.started(container, task.pid, undefined)
  }

  /** Folders in exec-root and cgroups that belong to nobody. */
  async #sweep(): Promise<void> {
    const { store, launcher, logger } = this.#context
    const strays = new Set(launcher.list().filter(id => !store.has(id)))
    for (const id of strays) {
      try {
        const found = await launcher.reconnect(id)
        if (isTask(found)) await found.delete()
        else launcher.discard(id)
      } catch (error) {
        logger.warn('a stray shim stays', { id, error: messageOf(error) })
      }
    }
    const parents = new Set(
      [{}, ...store.all().map(({ record }) => record.host)].map(host => cgroupParent(this.#context, host)),
    )
    for (const { path, id } of [...parents].flatMap(parent => strayCgroups(parent))) {
      const container = store.byId(id)
      if (container ? container.isAlive : !strays.has(id)) continue
      try {
        openCgroup(path).remove()
      } catch (error) {
        logger.warn('a stray cgroup stays', { path, error: messageOf(error) })
      }
    }
  }

  /** Those whose policy says so, and those whose `--rm` was not carried out. */
  async resume(remover: Pick<Remover, 'autoRemove'>): Promise<void> {
    const { store, logger } = this.#context
    const tasks = store.all().map(async container => {
      if (container.isAlive) return
      const { host, state } = container.record
      if (host.autoRemove && state.status !== 'created') return remover.autoRemove(container)
      if (!wantsRunAtOpen(container)) return
      await this.#runner.start(container).catch(error => {
        logger.error('a container was not started again', {
          container: container.id,
          error: messageOf(error),
        })
      })
    })
    await Promise.all(tasks)
  }
}

/** Whether a group is frozen and stays so; without `keep` it is let go. One that is gone belongs to a run that just ended. */
function isStillFrozen(cgroup: NonNullable<Container['cgroup']>, keep: boolean): boolean {
  try {
    const frozen = cgroup.isFrozen()
    if (frozen && !keep) cgroup.thaw()
    return frozen && keep
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENODEV')) return false
    throw error
  }
}
