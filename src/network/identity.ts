/** What tells the things of one daemon from those of another on the same host. */
import { createHash } from 'node:crypto'
import * as path from 'node:path'

/** The usual data root has the plain name; any other has a part of its path's digest in it. */
export function tableName(dataRoot: string): string {
  const root = path.resolve(dataRoot)
  if (root === '/var/lib/gantry') return 'gantry'
  return `gantry-${createHash('sha256').update(root).digest('hex').slice(0, 8)}`
}
