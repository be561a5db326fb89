/** Which limits this kernel and its mounted cgroups can enforce. Looked up once. */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { detectCgroups } from '../runtime/cgroup/layout.ts'

export interface LimitSupport {
  /** Of cgroups. */
  version: 1 | 2
  memory: boolean
  swap: boolean
  swappiness: boolean
  oomKillDisable: boolean
  kernelMemory: boolean
  cpuShares: boolean
  cpuQuota: boolean
  cpuRealtime: boolean
  cpuset: boolean
  pids: boolean
  blkioWeight: boolean
  blkioThrottle: boolean
}

let known: LimitSupport | undefined

export function limitSupport(): LimitSupport {
  known ??= detect()
  return known
}

function detect(): LimitSupport {
  const root = '/sys/fs/cgroup'
  if (detectCgroups().version === 2) {
    const controllers = read(path.join(root, 'cgroup.controllers')).split(/\s+/)
    const has = (name: string) => controllers.includes(name)
    return {
      version: 2,
      memory: has('memory'),
      swap: has('memory') && fs.existsSync('/proc/swaps'),
      swappiness: false,
      oomKillDisable: false,
      kernelMemory: false,
      cpuShares: has('cpu'),
      cpuQuota: has('cpu'),
      cpuRealtime: false,
      cpuset: has('cpuset'),
      pids: has('pids'),
      blkioWeight: has('io'),
      blkioThrottle: has('io'),
    }
  }
  const has = (controller: string, file: string) => fs.existsSync(path.join(root, controller, file))
  return {
    version: 1,
    memory: has('memory', 'memory.limit_in_bytes'),
    swap: has('memory', 'memory.memsw.limit_in_bytes'),
    swappiness: has('memory', 'memory.swappiness'),
    oomKillDisable: has('memory', 'memory.oom_control'),
    kernelMemory: has('memory', 'memory.kmem.limit_in_bytes'),
    cpuShares: has('cpu', 'cpu.shares'),
    cpuQuota: has('cpu', 'cpu.cfs_quota_us'),
    cpuRealtime: has('cpu', 'cpu.rt_period_us'),
    cpuset: has('cpuset', 'cpuset.cpus'),
    pids: has('pids', ''),
    blkioWeight: has('blkio', 'blkio.weight'),
    blkioThrottle: has('blkio', 'blkio.throttle.read_bps_device'),
  }
}

function read(file: string): string {
  try {
    return fs.readFileSync(file, 'utf8').trim()
  } catch {
    return ''
  }
}
