/** cgroups: where they are, a container's own, and those that a crash left. */
import * as path from 'node:path'
import type { Cgroup } from './cgroup.ts'
import { processesBelow, subfolders } from './files.ts'
import { detectCgroups } from './layout.ts'
import { CgroupV1 } from './v1.ts'
import { CgroupV2 } from './v2.ts'

export type { Cgroup, CgroupOps } from './cgroup.ts'
export { CounterFiles } from './counter-files.ts'
export { type CgroupLayout, detectCgroups } from './layout.ts'
export type { BlkioEntry, BlkioStats, CgroupCounters, CgroupStats, CpuStats, MemoryStats } from './stats.ts'
export { type CgroupSupport, cgroupSupport, cgroupWarnings } from './support.ts'

/** The cgroup at this path (`/gantry/<id>`), which need not exist yet. */
export function openCgroup(cgroupPath: string): Cgroup {
  const layout = detectCgroups()
  return layout.version === 2
    ? new CgroupV2(cgroupPath, layout.unified ?? '/sys/fs/cgroup')
    : new CgroupV1(cgroupPath, layout)
}

/** The cgroup path of a container: `parent` (`--cgroup-parent`, `/gantry` unless told) and its id. */
export function cgroupPath(id: string, parent = ''): string {
  return path.posix.join('/', parent || 'gantry', id)
}

/** Paths of the groups below `parent`, in any hierarchy, with whether anything runs in them. Order does not matter. */
export function strayCgroups(parent: string): { path: string; id: string; busy: boolean }[] {
  const layout = detectCgroups()
  const roots = [...layout.hierarchies.map(hierarchy => hierarchy.folder), layout.unified].filter(
    root => root !== undefined,
  )
  const found = new Map<string, boolean>()
  for (const root of roots) {
    for (const folder of subfolders(root + parent)) {
      const id = path.basename(folder)
      found.set(id, found.get(id) || processesBelow(folder).length > 0)
    }
  }
  return [...found].map(([id, busy]) => ({ path: path.posix.join(parent, id), id, busy }))
}
