/** Processes as /proc shows them. */
import * as fs from 'node:fs'
import * as path from 'node:path'
import type { Daemon } from './daemon.ts'

/** Ids of all processes for which `matches` holds; one that ends meanwhile does not match. */
export function processes(matches: (pid: number) => boolean): number[] {
  return fs
    .readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(Number)
    .filter(pid => {
      try {
        return matches(pid)
      } catch {
        return false
      }
    })
}

/** Ids of the processes whose working directory or command line is below `folder`. */
export function processesBelow(folder: string): number[] {
  return processes(
    pid =>
      fs.readlinkSync(`/proc/${pid}/cwd`).startsWith(folder) ||
      fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(folder),
  )
}

/** Ids of all shims of `daemon`. */
export function shimsOf(daemon: Daemon): number[] {
  return processesBelow(daemon.execRoot).filter(
    pid => pid !== daemon.pid && fs.readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('gantry-shim'),
  )
}

/** The shim of one container. */
export function shimOf(daemon: Daemon, id: string): number {
  const [pid] = processesBelow(path.join(daemon.execRoot, 'containers', id))
  if (pid === undefined) throw new Error(`container ${id} has no shim`)
  return pid
}

/** How many descriptors a process has open. */
export function openFiles(pid: number): number {
  return fs.readdirSync(`/proc/${pid}/fd`).length
}

/** Whether a process runs; one that ended and was not yet reaped does not. */
export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}
