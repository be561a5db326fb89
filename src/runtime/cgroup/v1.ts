/** A cgroup on v1: one folder in each hierarchy, and one in the v2 tree where a hybrid machine has it. */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { hasCode } from '../../errors.ts'
import type { Op } from '../plan.ts'
import type { LinuxResources } from '../spec.ts'
import type { Cgroup, CgroupOps } from './cgroup.ts'
import { eventually, killAll, processesBelow, readNumber, readText, removeTreePatiently } from './files.ts'
import type { CgroupLayout } from './layout.ts'
import { type CgroupCounters, type CgroupStats, readOnce } from './stats.ts'
import { type LimitWrite, memoryLimits, v1Limits } from './v1-limits.ts'
import { v1Counters } from './v1-stats.ts'

export class CgroupV1 implements Cgroup {
  readonly version = 1
  readonly path: string
  readonly #layout: CgroupLayout

  constructor(cgroupPath: string, layout: CgroupLayout) {
    this.path = cgroupPath
    this.#layout = layout
  }

  /** The container's folder for a controller. */
  #folder(controller: string): string | undefined {
    const root = this.#layout.controllers.get(controller)
    return root && root + this.path
  }

  /** Every folder that the container has. */
  #folders(): string[] {
    const folders = this.#layout.hierarchies.map(hierarchy => hierarchy.folder + this.path)
    return this.#layout.unified ? [...folders, this.#layout.unified + this.path] : folders
  }

  /** The folder in the v2 tree of a hybrid machine: nobody can move there by `tasks`, so the process is born in it. */
  create(): number | undefined {
    ensureParents(path.dirname(this.path), this.#layout)
    const folder = this.birthplace
    if (folder === undefined) return undefined
    fs.mkdirSync(folder, { recursive: true })
    return fs.openSync(folder, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY)
  }

  ops(resources: LinuxResources): CgroupOps {
    const folders = this.#folders()
    const memory = this.#folder('memory')
    return {
      host: [
        ...this.#layout.hierarchies.map(
          ({ folder }): Op => ({ op: 'mkdir', path: folder + this.path, mode: 0o755 }),
        ),
        ...this.#cpusetDefaults(resources),
        ...v1Limits(resources).flatMap(limit => this.#writeOp(limit)),
      ],
      init: this.joinOps(),
      parent: memory
        ? [
            {
              op: 'memoryEvents',
              path: `${memory}/memory.oom_control`,
              control: `${memory}/cgroup.event_control`,
              mayFail: true,
            },
          ]
        : [],
      exit: memory ? [record('memory.oom_control', memory)] : [],
      teardown: folders.map((folder): Op => ({ op: 'rmdir', path: folder, mayFail: true })),
    }
  }

  get birthplace(): string | undefined {
    return this.#layout.unified && this.#layout.unified + this.path
  }

  /**
   * Writing 0 to `tasks` moves the writing thread, and only that: the kernel then needs none of the lock that a write to
   * cgroup.procs takes (cgroup_threadgroup_rwsem), which costs several milliseconds on an idle machine.
   */
  joinOps(): Op[] {
    return this.#layout.hierarchies.map(
      (hierarchy): Op => ({ op: 'writeFile', path: `${hierarchy.folder}${this.path}/tasks`, data: '0' }),
    )
  }

  /** A cpuset is born empty and takes no process before it has CPUs and memory nodes: its parent's, unless told. */
  #cpusetDefaults(resources: LinuxResources): Op[] {
    const folder = this.#folder('cpuset')
    if (!folder) return []
    const inherit = (file: string): Op => ({
      op: 'writeFile',
      path: `${folder}/${file}`,
      data:
        readText(`${path.dirname(folder)}/${file}`) ||
        (readText(`${this.#layout.controllers.get('cpuset')}/${file}`) ?? ''),
    })
    return [
      ...(resources.cpu?.cpus ? [] : [inherit('cpuset.cpus')]),
      ...(resources.cpu?.mems ? [] : [inherit('cpuset.mems')]),
    ]
  }

  #writeOp({ controller, file, value }: LimitWrite): Op[] {
    const folder = this.#folder(controller)
    return folder ? [{ op: 'writeFile', path: `${folder}/${file}`, data: value }] : []
  }

  /** Of a hierarchy that no process leaves without CAP_SYS_ADMIN on the host; all list the same. */
  get processFile(): string {
    const folder = this.#folder('freezer') ?? this.#folder('devices') ?? this.#folders()[0]!
    return `${folder}/cgroup.procs`
  }

  update(resources: LinuxResources): void {
    const { devices: _, memory, ...others } = resources
    const writes = [...memoryLimits({ memory: memory ?? {} }, this.#raises(memory)), ...v1Limits(others)]
    for (const { controller, file, value } of writes) {
      const folder = this.#folder(controller)
      if (folder) fs.writeFileSync(`${folder}/${file}`, value)
    }
  }

  /** Whether the new limit of memory and swap is above the present one, so that it has to be written first. */
  #raises(memory: LinuxResources['memory']): boolean {
    const folder = this.#folder('memory')
    if (!memory?.swap || !folder) return false
    return memory.swap < 0 || memory.swap > readNumber(`${folder}/memory.memsw.limit_in_bytes`)
  }

  stats(): CgroupStats {
    return readOnce(this.counters())
  }

  counters(): CgroupCounters {
    return v1Counters(controller => this.#folder(controller))
  }

  freeze(): void {
    this.#setFrozen('FROZEN')
  }

  thaw(): void {
    this.#setFrozen('THAWED')
  }

  #setFrozen(state: 'FROZEN' | 'THAWED'): void {
    const file = `${this.#folder('freezer')}/freezer.state`
    // FREEZING may never become FROZEN while new processes keep appearing; writing again catches those.
    const reached = eventually(() => {
      fs.writeFileSync(file, state)
      return readText(file) === state
    })
    if (reached) return
    fs.writeFileSync(file, 'THAWED')
    throw new Error(`unable to freeze ${this.path}`)
  }

  isFrozen(): boolean {
    const state = readText(`${this.#folder('freezer')}/freezer.state`)
    return state === 'FROZEN' || state === 'FREEZING'
  }

  processes(): number[] {
    return processesBelow(path.dirname(this.processFile))
  }

  kill(): void {
    const thaw = this.isFrozen()
    killAll(() => {
      const pids = this.processes()
      if (thaw && pids.length > 0) this.thaw()
      return pids
    })
  }

  remove(): void {
    for (const folder of this.#folders()) removeTreePatiently(folder)
  }
}

const record = (name: string, folder: string): Op => ({
  op: 'record',
  name,
  path: `${folder}/${name}`,
  mayFail: true,
})

/** Groups that were seen whole. */
const complete = new Set<string>()

/** Make the group that containers go below, in every hierarchy. One look where it was seen before. */
function ensureParents(parent: string, layout: CgroupLayout): void {
  const folders = layout.hierarchies.map(hierarchy => hierarchy.folder + parent)
  const unified = layout.unified ? [layout.unified + parent] : []
  if (complete.has(parent) && fs.existsSync(folders[0]!)) return
  for (const folder of [...folders, ...unified]) fs.mkdirSync(folder, { recursive: true })
  const memory = layout.controllers.get('memory')
  if (memory) useHierarchy(memory + parent)
  const cpuset = layout.controllers.get('cpuset')
  if (cpuset) fillCpusets(cpuset, parent)
  complete.add(parent)
}

/** Limits of a group hold for the groups below it. Newer kernels know nothing else and refuse nothing but 0. */
function useHierarchy(folder: string): void {
  try {
    fs.writeFileSync(`${folder}/memory.use_hierarchy`, '1')
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'EINVAL', 'EBUSY', 'EACCES')) throw error
  }
}

/** Give every group on the way down its parent's CPUs and memory nodes where it has none yet. */
function fillCpusets(root: string, parent: string): void {
  let folder = root
  for (const name of parent.split('/').filter(Boolean)) {
    const above = folder
    folder = `${folder}/${name}`
    for (const file of ['cpuset.cpus', 'cpuset.mems']) {
      if (readText(`${folder}/${file}`) === '') {
        fs.writeFileSync(`${folder}/${file}`, readText(`${above}/${file}`) ?? '')
      }
    }
  }
}
