/** A cgroup on v2: one folder in the unified tree, with a BPF program as its device filter. */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { hasCode } from '../../errors.ts'
import * as linux from '../../linux/index.ts'
import type { Op } from '../plan.ts'
import type { LinuxResources } from '../spec.ts'
import type { Cgroup, CgroupOps } from './cgroup.ts'
import { deviceProgram } from './device-bpf.ts'
import { effectiveDevices } from './device-rules.ts'
import { eventually, processesBelow, readTable, readText, removeTreePatiently } from './files.ts'
import { type CgroupCounters, type CgroupStats, readOnce } from './stats.ts'
import { v2Limits } from './v2-limits.ts'
import { v2Counters } from './v2-stats.ts'

export class CgroupV2 implements Cgroup {
  readonly version = 2
  readonly path: string
  readonly #root: string
  readonly #folder: string

  constructor(cgroupPath: string, root: string) {
    this.path = cgroupPath
    this.#root = root
    this.#folder = root + cgroupPath
  }

  create(resources: LinuxResources): number {
    enableControllers(this.#root, path.dirname(this.path))
    fs.mkdirSync(this.#folder, { recursive: true })
    const fd = fs.openSync(this.#folder, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY)
    try {
      this.#filterDevices(fd, resources)
      return fd
    } catch (error) {
      fs.closeSync(fd)
      this.remove()
      throw error
    }
  }

  ops(resources: LinuxResources): CgroupOps {
    return {
      host: v2Limits(resources).map(
        ({ file, value }): Op => ({ op: 'writeFile', path: `${this.#folder}/${file}`, data: value }),
      ),
      init: [],
      parent: [{ op: 'memoryEvents', path: `${this.#folder}/memory.events`, mayFail: true }],
      exit: [{ op: 'record', name: 'memory.events', path: `${this.#folder}/memory.events`, mayFail: true }],
      teardown: [{ op: 'rmdir', path: this.#folder, mayFail: true }],
    }
  }

  #filterDevices(folderFd: number, { devices }: LinuxResources): void {
    if (!devices) return
    const effective = effectiveDevices(devices)
    if (effective.allowAll && effective.rules.length === 0) return
    linux.bpfAttachDeviceFilter(folderFd, deviceProgram(effective))
  }

  get birthplace(): string {
    return this.#folder
  }

  joinOps(): Op[] {
    return []
  }

  get processFile(): string {
    return `${this.#folder}/cgroup.procs`
  }

  update(resources: LinuxResources): void {
    for (const { file, value } of v2Limits(resources)) fs.writeFileSync(`${this.#folder}/${file}`, value)
  }

  stats(): CgroupStats {
    return readOnce(this.counters())
  }

  counters(): CgroupCounters {
    return v2Counters(this.#folder)
  }

  freeze(): void {
    fs.writeFileSync(`${this.#folder}/cgroup.freeze`, '1')
    if (eventually(() => readTable(`${this.#folder}/cgroup.events`)['frozen'] === 1)) return
    fs.writeFileSync(`${this.#folder}/cgroup.freeze`, '0')
    throw new Error(`unable to freeze ${this.path}`)
  }

  thaw(): void {
    fs.writeFileSync(`${this.#folder}/cgroup.freeze`, '0')
  }

  isFrozen(): boolean {
    return readText(`${this.#folder}/cgroup.freeze`) === '1'
  }

  processes(): number[] {
    return processesBelow(this.#folder)
  }

  /** The kernel's own: all at once, frozen or not, nobody forks away. */
  kill(): void {
    try {
      fs.writeFileSync(`${this.#folder}/cgroup.kill`, '1')
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error
    }
  }

  remove(): void {
    removeTreePatiently(this.#folder)
  }
}

const WANTED = new Set(['cpu', 'cpuset', 'io', 'memory', 'pids', 'hugetlb', 'rdma'])

/** Make the group that containers go below and hand every controller down to it. Cheap where that is done. */
function enableControllers(root: string, parent: string): void {
  const target = root + parent
  if (fs.existsSync(target) && hasAll(target)) return
  fs.mkdirSync(target, { recursive: true })
  let folder = root
  for (const name of ['', ...parent.split('/').filter(Boolean)]) {
    if (name) folder = `${folder}/${name}`
    handDown(folder)
  }
}

const controllersIn = (file: string): string[] =>
  (readText(file) ?? '').split(/\s+/).filter(name => WANTED.has(name))

function hasAll(folder: string): boolean {
  const enabled = new Set(controllersIn(`${folder}/cgroup.subtree_control`))
  return controllersIn(`${folder}/cgroup.controllers`).every(name => enabled.has(name))
}

/** One by one: a controller that cannot be handed down (a group with processes in it) must not hold back the others. */
function handDown(folder: string): void {
  const enabled = new Set(controllersIn(`${folder}/cgroup.subtree_control`))
  for (const name of controllersIn(`${folder}/cgroup.controllers`)) {
    if (enabled.has(name)) continue
    try {
      fs.writeFileSync(`${folder}/cgroup.subtree_control`, `+${name}`)
    } catch (error) {
      if (!hasCode(error, 'EBUSY', 'EINVAL', 'ENOENT', 'EOPNOTSUPP')) throw error
    }
  }
}
