import * as fs from 'node:fs'
import * as path from 'node:path'
import type { Daemon } from './daemon.ts'
import { processesBelow } from './processes.ts'

/** What a daemon that was removed with its containers must not leave behind on the host: mounts, cgroups, processes. */
export function leftovers(daemon: Daemon): string[] {
  return [
    ...mounts(daemon.folder),
    ...processesBelow(daemon.folder).map(pid => `process ${pid}`),
    ...emptyGroups().filter(group => !daemon.groupsBefore.has(group)),
  ]
}

function mounts(folder: string): string[] {
  return fs
    .readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter(line => line.includes(folder))
    .map(line => `mount ${line}`)
}

/** Groups of containers that have no process any more. Another daemon's running containers are its own affair. */
export function emptyGroups(): string[] {
  const root = '/sys/fs/cgroup'
  const hierarchies = [root, ...fs.readdirSync(root).map(name => path.join(root, name))]
  return hierarchies.flatMap(hierarchy => {
    const group = path.join(hierarchy, 'gantry')
    if (!fs.existsSync(group)) return []
    return fs.readdirSync(group, { withFileTypes: true }).flatMap(entry => {
      if (!entry.isDirectory() || !/^[0-9a-f]{64}$/.test(entry.name)) return []
      const procs = fs.readFileSync(path.join(group, entry.name, 'cgroup.procs'), 'utf8')
      return procs === '' ? [`cgroup ${path.join(group, entry.name)}`] : []
    })
  })
}
