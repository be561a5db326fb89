/** Volumes, as clients of the engine see them. */
import { GantryError, kindOf, messageOf } from '../errors.ts'
import type { VolumeRecord } from '../volume/volumes.ts'
import type { EngineContext } from './context.ts'
import { booleanOf, checkFilters, matchesLabels, valuesOf } from './filters.ts'
import type { Filters, PruneReport, VolumeDetails } from './results.ts'

export interface VolumeSpec {
  /** Generated where absent. */
  name?: string
  driver?: string
  options?: Record<string, string>
  labels?: Record<string, string>
}

export class EngineVolumes {
  readonly #context: EngineContext

  constructor(context: EngineContext) {
    this.#context = context
  }

  /** The one that has this name already is given as it is. */
  async create(spec: VolumeSpec): Promise<VolumeDetails> {
    try {
      const anonymous = !spec.name
      const { record, created } = this.#context.volumes.create({
        ...spec,
        anonymous,
        ...(anonymous && { labels: { 'com.docker.volume.anonymous': '', ...spec.labels } }),
      })
      if (created) this.#tell('create', record)
      return this.#details(record)
    } catch (error) {
      const text = messageOf(error)
      if (!(error instanceof GantryError) || text.startsWith('create ')) throw error
      throw new GantryError(kindOf(error), `create ${spec.name ?? ''}: ${text}`, { cause: error })
    }
  }

  #tell(action: string, record: VolumeRecord): void {
    this.#context.events.emit('volume', action, record.name, { driver: record.driver })
  }

  #details({ name, driver, createdAt, labels, options }: VolumeRecord): VolumeDetails {
    const mountpoint = this.#context.volumes.dataPath(name)
    return { name, driver, mountpoint, createdAt, labels, options, scope: 'local' }
  }

  /** Filters: `name`, `driver`, `label`, `label!`, `dangling`. */
  async list(filters: Filters = {}): Promise<{ volumes: VolumeDetails[]; warnings: string[] }> {
    checkFilters(filters, ['dangling', 'driver', 'label', 'label!', 'name'])
    const dangling = booleanOf(filters, 'dangling')
    const { volumes } = this.#context
    const found = volumes
      .list()
      .filter(
        record =>
          (valuesOf(filters, 'name')?.some(value => record.name.includes(value)) ?? true) &&
          (valuesOf(filters, 'driver')?.includes(record.driver) ?? true) &&
          matchesLabels(filters, record.labels) &&
          (dangling === undefined || (volumes.holders(record.name).length === 0) === dangling),
      )
      .sort((a, b) => (a.name < b.name ? -1 : 1))
    return { volumes: found.map(record => this.#details(record)), warnings: [] }
  }

  async inspect(name: string): Promise<VolumeDetails> {
    return this.#details(this.#context.volumes.get(name))
  }

  async remove(name: string, force = false): Promise<void> {
    const record = this.#context.volumes.find(name)
    if (!record && force) return
    await this.#context.volumes.remove(name)
    this.#tell('destroy', record!)
  }

  /** Anonymous ones that nobody holds; named ones too with `all=true`. Filters: `label`, `label!`, `all`. */
  async prune(filters: Filters = {}): Promise<PruneReport> {
    checkFilters(filters, ['all', 'label', 'label!'])
    const all = booleanOf(filters, 'all') ?? false
    const { volumes, events } = this.#context
    const report: PruneReport = { deleted: [], spaceReclaimed: 0 }
    for (const record of volumes.list()) {
      if (!(record.anonymous || all) || volumes.holders(record.name).length > 0) continue
      if (!matchesLabels(filters, record.labels)) continue
      const size = await volumes.size(record.name).catch(() => 0)
      try {
        await volumes.remove(record.name)
      } catch (error) {
        this.#context.logger.warn('volume not pruned', { volume: record.name, error: messageOf(error) })
        continue
      }
      this.#tell('destroy', record)
      report.deleted.push(record.name)
      report.spaceReclaimed += size
    }
    events.emit('volume', 'prune', '', { reclaimed: String(report.spaceReclaimed) })
    return report
  }

  /** With size and holders, for `system df`. */
  async usage(): Promise<VolumeDetails[]> {
    const { volumes } = this.#context
    return Promise.all(
      volumes.list().map(async record => ({
        ...this.#details(record),
        usage: {
          size: await volumes.size(record.name).catch(() => -1),
          refCount: volumes.holders(record.name).length,
        },
      })),
    )
  }
}
