/** Which cgroup hierarchies this machine has, and where. Source: cgroups(7), proc(5) mountinfo. */
import { readFileSync } from 'node:fs'

export interface CgroupLayout {
  /** 2 where everything is in the unified tree; 1 also for a hybrid machine. */
  version: 1 | 2
  /** v1: folder by controller (`memory`, …, `name=systemd`); controllers mounted together share one. Empty on v2. */
  controllers: Map<string, string>
  /** Each v1 hierarchy once, by folder: its controllers' names as the mount shows them, and its own path in the tree. */
  hierarchies: Hierarchy[]
  /** The v2 tree: on v2, or beside v1 on a hybrid machine. */
  unified?: string
}

export interface Hierarchy {
  /** Where it is mounted. */
  folder: string
  /** `cpu`, `cpuacct`, `name=systemd`, … */
  controllers: string[]
}

let layout: CgroupLayout | undefined

/** The layout of this machine, read once. */
export function detectCgroups(): CgroupLayout {
  layout ??= parseLayout(readFileSync('/proc/self/mountinfo', 'utf8'))
  return layout
}

const CONTROLLERS = new Set([
  'blkio',
  'cpu',
  'cpuacct',
  'cpuset',
  'devices',
  'freezer',
  'hugetlb',
  'memory',
  'misc',
  'net_cls',
  'net_prio',
  'perf_event',
  'pids',
  'rdma',
])

/** {@link detectCgroups} of a mountinfo's text. */
export function parseLayout(mountinfo: string): CgroupLayout {
  const controllers = new Map<string, string>()
  const hierarchies: Hierarchy[] = []
  let unified: string | undefined
  for (const line of mountinfo.split('\n')) {
    const [before = '', after = ''] = line.split(' - ')
    const folder = unescapePath(before.split(' ')[4] ?? '')
    const [type, , options = ''] = after.split(' ')
    if (type === 'cgroup2') unified ??= folder
    if (type !== 'cgroup') continue
    const names = options.split(',').filter(name => CONTROLLERS.has(name) || name.startsWith('name='))
    const known = names.filter(name => !controllers.has(name))
    if (known.length === 0) continue
    hierarchies.push({ folder, controllers: known })
    for (const name of known) controllers.set(name, folder)
  }
  const version = hierarchies.length > 0 ? 1 : 2
  return { version, controllers, hierarchies, ...(unified !== undefined && { unified }) }
}

/** mountinfo writes space, tab, newline and backslash as `\040`, …. */
function unescapePath(text: string): string {
  return text.replace(/\\(\d{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
}
