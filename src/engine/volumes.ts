/** Volumes, as clients of the engine see them. */
import { notImplemented } from '../errors.ts'
import type { Filters, PruneReport, VolumeDetails } from './results.ts'

const soon = (name: string) => notImplemented(`${name} is not implemented`)

export interface VolumeSpec {
  /** Generated where absent. */
  name?: string
  driver?: string
  options?: Record<string, string>
  labels?: Record<string, string>
}

export class EngineVolumes {
  async create(_spec: VolumeSpec): Promise<VolumeDetails> {
    throw soon('volume create')
  }

  async list(_filters: Filters = {}): Promise<{ volumes: VolumeDetails[]; warnings: string[] }> {
    throw soon('volume ls')
  }

  async inspect(_name: string): Promise<VolumeDetails> {
    throw soon('volume inspect')
  }

  async remove(_name: string, _force = false): Promise<void> {
    throw soon('volume rm')
  }

  /** Filters: `label`, `label!`, `all`. */
  async prune(_filters: Filters = {}): Promise<PruneReport> {
    throw soon('volume prune')
  }
}
