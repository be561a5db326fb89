/** What to do with a container whose shim was killed. */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { hasCode } from '../errors.ts'
import * as linux from '../linux/index.ts'
import { readExitRecord } from './exit-record.ts'
import type { ExitRecord } from './launcher.ts'

/**
 * Kill the process that the folder's `pid` file names, if it is still that one (a pid may be another's by now; its start
 * time cannot), and write the exit record that the shim could not. `undefined` where the folder knows of no process.
 */
export async function settleLost(folder: string): Promise<ExitRecord | undefined> {
  let words: string[]
  try {
    words = fs.readFileSync(path.join(folder, 'pid'), 'utf8').trim().split(' ')
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
  const [pid, startTime] = [Number(words[0]), words[1]!]
  while (startTimeOf(pid) === startTime) {
    killExactly(pid, startTime)
    await setTimeout(2)
  }
  const time = Date.now()
  const text = `code 137\nsignal 9\ntime ${Math.floor(time / 1000)}.${String(time % 1000).padStart(3, '0')}000000\nlost 1\n`
  fs.writeFileSync(path.join(folder, 'exit.new'), text, { mode: 0o600 })
  fs.renameSync(path.join(folder, 'exit.new'), path.join(folder, 'exit'))
  return readExitRecord(path.join(folder, 'exit'))
}

/** A pidfd is opened before the check, so that what is checked is what is killed. */
function killExactly(pid: number, startTime: string): void {
  try {
    const pidfd = linux.pidfdOpen(pid)
    try {
      if (startTimeOf(pid) === startTime) linux.pidfdSendSignal(pidfd, 9)
    } finally {
      fs.closeSync(pidfd)
    }
  } catch (error) {
    if (!hasCode(error, 'ESRCH')) throw error
  }
}

/** Field 22 of /proc/PID/stat; `undefined` for a process that is not there or has ended. proc(5) */
function startTimeOf(pid: number): string | undefined {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19]
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ESRCH')) return undefined
    throw error
  }
}
