/** Looks at a writable layer from a confined worker thread. */
import type { TaskPort } from '../confined/task.ts'
import type { Change } from '../snapshots.ts'
import { fromText } from '../tar/entry.ts'
import type { WhiteoutStyle } from './apply.ts'
import {
  changesTar,
  lowerStat,
  overlayChanges,
  overlayTar,
  type ReplacedFolder,
  treeChanges,
  usage,
} from './diff.ts'

export interface DiffRequest {
  want: 'usage' | 'changes' | 'tar'
  /** `plain`: the root holds the whole tree, not only what was written. */
  style: WhiteoutStyle
  /** An open folder that holds what is below. Needed but for an overlay's usage and tar. */
  lower?: number | undefined
  /** With `plain`: every path below. */
  lowerPaths?: string[] | undefined
}

export interface DiffResult {
  size: number
  changes: Change[]
  replaced: ReplacedFolder[]
}

const NOTHING: DiffResult = { size: 0, changes: [], replaced: [] }

/** The task. */
export function diff(request: DiffRequest, port: TaskPort): DiffResult {
  const { want, style, lower = -1, lowerPaths = [] } = request
  const sink = (bytes: Uint8Array) => port.write(bytes)
  if (want === 'usage') return { ...NOTHING, size: usage() }
  if (want === 'tar' && style === 'overlay') {
    overlayTar(sink)
    return NOTHING
  }
  const below = lowerStat(lower)
  const replaced: ReplacedFolder[] = []
  const changes =
    style === 'overlay' ? overlayChanges(below, replaced) : treeChanges(below, lowerPaths.map(fromText))
  if (want === 'tar') changesTar(sink, changes)
  return { ...NOTHING, changes, replaced }
}
