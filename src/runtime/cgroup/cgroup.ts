/**
 * A container's cgroup. Its life, in order:
 *
 * 1. `create(resources)` makes what has to be there before the shim starts, and `ops(resources)` gives the shim's operations that
 *    make the rest, set the limits, put the process in, and take it all away again when the container has ended.
 * 2. While the container runs, `update`, `stats`, `freeze`, `thaw`, `processes` and `kill` act on it at once; `joinOps` puts one
 *    more process in.
 * 3. `remove` is for what a crash left: {@link strayCgroups} finds those.
 *
 * Every call is synchronous: a file of cgroupfs answers in microseconds. Errors are Node's (ENOENT when the cgroup is gone).
 */
import type { Op } from '../plan.ts'
import type { LinuxResources } from '../spec.ts'
import type { CgroupCounters, CgroupStats } from './stats.ts'

export interface Cgroup {
  /** `/gantry/<id>`: below each hierarchy's root. */
  readonly path: string
  readonly version: 1 | 2
  /** The file that lists its processes. */
  readonly processFile: string
  /**
   * Make the groups above and, in the v2 tree, the container's folder with its device filter. Answers an fd of that folder, which
   * the process is to be born into (the caller closes it); `undefined` where there is no v2 tree.
   */
  create(resources: LinuxResources): number | undefined
  /** Changes nothing: it may be asked without root. */
  ops(resources: LinuxResources): CgroupOps
  /** The folder in the v2 tree that a process which joins is to be born in, if there is one. */
  readonly birthplace: string | undefined
  /** The first operations of a process that joins while the container runs: it moves itself where it was not born. */
  joinOps(): Op[]
  /** Change the limits of a running container; what is absent stays. */
  update(resources: LinuxResources): void
  /** One reading. */
  stats(): CgroupStats
  /** For many readings; whoever asks closes it. */
  counters(): CgroupCounters
  freeze(): void
  thaw(): void
  isFrozen(): boolean
  /** Pids on the host of every process in it and below it. */
  processes(): number[]
  /** SIGKILL to every process in it and below it, also while it is frozen. */
  kill(): void
  /** Take the folders away, below first. Waits a little for a process that is just dying; throws EBUSY if one stays. */
  remove(): void
}

/** What a launch plan needs for a cgroup, by section. */
export interface CgroupOps {
  host: Op[]
  /** The first operations of the new process: it moves itself. */
  init: Op[]
  parent: Op[]
  exit: Op[]
  teardown: Op[]
}
