/** Small reads and writes of cgroupfs. */
import * as fs from 'node:fs'
import { hasCode } from '../../errors.ts'

/** The text of a cgroup file without the last newline; `undefined` where this kernel does not have it. */
export function readText(file: string): string | undefined {
  try {
    return fs.readFileSync(file, 'latin1').trimEnd()
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENODEV', 'EOPNOTSUPP')) return undefined
    throw error
  }
}

/** A number; `fallback` where the file is missing or says `max`. */
export function readNumber(file: string, fallback = 0): number {
  const text = readText(file)
  return text === undefined || text === 'max' ? fallback : Number(text)
}

/** Lines of `name value`. */
export function readTable(file: string): Record<string, number> {
  return parseTable(readText(file) ?? '')
}

export function parseTable(text: string): Record<string, number> {
  const table: Record<string, number> = {}
  for (const line of text.split('\n')) {
    const space = line.indexOf(' ')
    if (space > 0) table[line.slice(0, space)] = Number(line.slice(space + 1))
  }
  return table
}

/** Every pid listed in the `cgroup.procs` of a folder and of those below it. */
export function processesBelow(folder: string): number[] {
  const own = readText(`${folder}/cgroup.procs`)
  const pids = own ? own.split('\n').map(Number) : []
  return [...pids, ...subfolders(folder).flatMap(processesBelow)]
}

/** Remove a cgroup and those below it, deepest first. A folder that is gone is fine; EBUSY means that a process is in it. */
export function removeTree(folder: string): void {
  for (const below of subfolders(folder)) removeTree(below)
  try {
    fs.rmdirSync(folder)
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
  }
}

export function subfolders(folder: string): string[] {
  try {
    return fs
      .readdirSync(folder, { withFileTypes: true })
      .filter(entry => entry.isDirectory())
      .map(entry => `${folder}/${entry.name}`)
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return []
    throw error
  }
}

const sleeper = new Int32Array(new SharedArrayBuffer(4))

/** Whether `done` came true within about a second: at first it is asked at once again, then each millisecond. */
export function eventually(done: () => boolean): boolean {
  for (let attempt = 0; attempt < 1000; attempt++) {
    if (done()) return true
    if (attempt > 50) Atomics.wait(sleeper, 0, 0, 1)
  }
  return false
}

/** {@link removeTree} with patience: a killed process leaves its cgroup a moment after it is gone from /proc. */
export function removeTreePatiently(folder: string): void {
  for (let pause = 1; ; pause *= 2) {
    try {
      removeTree(folder)
      return
    } catch (error) {
      if (!hasCode(error, 'EBUSY') || pause > 64) throw error
      Atomics.wait(sleeper, 0, 0, pause)
    }
  }
}

/** SIGKILL until nobody is left, or for about a tenth of a second: a process may fork while it is being killed. */
export function killAll(list: () => number[]): void {
  for (let pause = 1; pause <= 64; pause *= 2) {
    const pids = list()
    if (pids.length === 0) return
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch (error) {
        if (!hasCode(error, 'ESRCH')) throw error
      }
    }
    Atomics.wait(sleeper, 0, 0, pause)
  }
}
