/** Removing containers: alone, by force, by prune. What is slow about it (deleting files) happens behind. */
import { conflict, GantryError, kindOf, messageOf, notFound } from '../errors.ts'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'
import type { Control } from './control.ts'
import { checkFilters, matchesLabels, untilOf } from './filters.ts'
import { pathsOf } from './paths.ts'
import type { Filters, PruneReport } from './results.ts'

export interface RemoveOptions {
  force?: boolean
  /** Anonymous volumes too. */
  volumes?: boolean
}

export class Remover {
  readonly #context: EngineContext
  readonly #control: Control

  constructor(context: EngineContext, control: Control) {
    this.#context = context
    this.#control = control
  }

  /** `ref` is what the caller called it. */
  async remove(container: Container, ref: string, options: RemoveOptions = {}): Promise<void> {
    try {
      if (options.force && container.isAlive) await this.#control.kill(container, ref)
      await this.#context.locks.run(container.id, () => this.#remove(container, options))
    } catch (error) {
      if (kindOf(error) === 'notFound') throw error
      throw new GantryError(
        kindOf(error),
        `cannot remove container ${JSON.stringify(ref)}: ${messageOf(error)}`,
        {
          cause: error,
        },
      )
    }
  }

  async #remove(container: Container, options: RemoveOptions): Promise<void> {
    if (container.removed) throw notFound(`No such container: ${container.id}`)
    const { status } = container.record.state
    if (container.isAlive) {
      throw conflict(
        status === 'paused'
          ? 'container is paused and must be unpaused first'
          : `container is ${status}: stop the container before removing or force remove`,
      )
    }
    const { networks, volumes, snapshots, states, events, logger } = this.#context
    await container.cleanup
    for (const attachment of container.waitingAttachments) attachment.abandon()
    networks.forget(container.id)
    const { layer } = pathsOf(this.#context, container.id)
    const mounts = container.record.mounts.filter(mount => mount.type === 'volume')
    for (const mount of mounts) volumes.letGo(mount.name!, container.id)
    if (options.volumes) {
      for (const mount of mounts) {
        if (!mount.anonymous || volumes.holders(mount.name!).length > 0) continue
        await volumes.remove(mount.name!).then(
          () => events.emit('volume', 'destroy', mount.name!, { driver: mount.driver! }),
          error => logger.warn('volume not removed', { volume: mount.name!, error: messageOf(error) }),
        )
      }
    }
    states.removed(container)
    await snapshots.release(layer)
  }

  /** A `--rm` container ended. */
  async autoRemove(container: Container): Promise<void> {
    try {
      await this.remove(container, container.id, { volumes: true })
    } catch (error) {
      if (kindOf(error) === 'notFound') return
      this.#context.logger.error('a container was not removed', {
        container: container.id,
        error: messageOf(error),
      })
    }
  }

  /** Stopped containers. Filters: `until`, `label`, `label!`. */
  async prune(filters: Filters): Promise<PruneReport> {
    checkFilters(filters, ['until', 'label', 'label!'])
    const until = untilOf(filters)
    const report: PruneReport = { deleted: [], spaceReclaimed: 0 }
    for (const container of this.#context.store.all()) {
      const { created, config } = container.record
      if (container.isAlive || container.removed) continue
      if (until !== undefined && Date.parse(created) >= until) continue
      if (!matchesLabels(filters, config.labels)) continue
      const { rw } = await this.#context.snapshots.usage(container.snapshot).catch(() => ({ rw: 0 }))
      try {
        await this.remove(container, container.id)
        report.deleted.push(container.id)
        report.spaceReclaimed += rw
      } catch (error) {
        this.#context.logger.warn('container not pruned', {
          container: container.id,
          error: messageOf(error),
        })
      }
    }
    this.#context.events.emit('container', 'prune', '', { reclaimed: String(report.spaceReclaimed) })
    return report
  }
}
