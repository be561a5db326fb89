/** The snapshot driver that the configuration asks for. */
import { invalid } from '../errors.ts'
import type { SnapshotDriver } from '../image/snapshots.ts'
import type { EngineConfig } from './config.ts'

/** undefined: whichever works best. Raises invalid for one that there is not. */
export function storageDriver({ storageDriver: name }: EngineConfig): SnapshotDriver | undefined {
  switch (name) {
    case undefined:
    case '':
      return undefined
    case 'overlay':
    case 'overlay2':
      return 'overlay2'
    case 'vfs':
      return 'vfs'
    default:
      throw invalid(`driver not supported: ${name}`)
  }
}
