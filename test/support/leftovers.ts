import * as fs from 'node:fs'
import * as path from 'node:path'
import type { Daemon } from './daemon.ts'
import { processesBelow } from './processes.ts'

/** What a daemon that was removed with its containers must not leave behind on the host: mounts, cgroups, processes. */
export function leftovers(daemon: Daemon): string[] {
  return [
    ...mounts(daemon.folder),
    ...processesBelow(daemon.folder).map(pid => `process ${pid}`),
    ...groupsNamed(daemon.cgroupParent).flatMap(groupsIn),
  ]
}

function groupsIn(group: string): string[] {
  const below = fs.readdirSync(group, { withFileTypes: true }).filter(entry => entry.isDirectory())
  return [group, ...below.map(({ name }) => path.join(group, name))].map(one => `cgroup ${one}`)
}

function mounts(folder: string): string[] {
  return fs
    .readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter(line => line.includes(folder))
    .map(line => `mount ${line}`)
}

/** Every folder of this name right below the root of a hierarchy of cgroups. */
export function groupsNamed(name: string): string[] {
  const root = '/sys/fs/cgroup'
  return [root, ...fs.readdirSync(root).map(hierarchy => path.join(root, hierarchy))]
    .map(hierarchy => path.join(hierarchy, name))
    .filter(group => fs.existsSync(group))
}
