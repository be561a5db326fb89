/** The engine about itself and its host. */
import { notImplemented } from '../errors.ts'
import type { DiskUsage, SystemInfo, VersionInfo } from './results.ts'

export type DiskUsageType = 'container' | 'image' | 'volume' | 'build-cache'

export class System {
  async info(): Promise<SystemInfo> {
    throw notImplemented('info is not implemented')
  }

  version(): VersionInfo {
    throw notImplemented('version is not implemented')
  }

  /** Of the given types; all where absent. */
  async diskUsage(_types?: DiskUsageType[]): Promise<DiskUsage> {
    throw notImplemented('disk usage is not implemented')
  }
}
