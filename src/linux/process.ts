/** Processes: starting them without copying this one, watching and signalling them. */
import { constants } from 'node:os'
import { check, native } from './native.ts'

export interface SpawnOptions {
  /** Absolute path of the program; only for messages where `exeFd` is given. */
  path: string
  /** An open fd of the program (O_PATH will do), executed instead of `path`. */
  exeFd?: number
  /** `argv[0]` included. */
  argv: string[]
  /** `NAME=value`. */
  env?: string[]
  /** Entry i becomes fd i of the program; -1 is /dev/null. It gets no other fd. Three -1 unless told. */
  fds?: number[]
  cwd?: string
  /**
   * Start it in a session of its own as a grandchild that this process never has to reap: it belongs to init (or
   * the nearest subreaper) from the first moment and outlives us.
   */
  detached?: boolean
}

/** Start a program as vfork does: nothing of this process is copied. Returns its pid; throws LinuxError if exec failed. */
export function spawn(options: SpawnOptions): number {
  const { path, exeFd = -1, argv, env = [], fds = [-1, -1, -1], cwd = '', detached = false } = options
  return check(native().spawn(path, exeFd, argv, env, fds, cwd, detached), 'spawn', path)
}

export const WNOHANG = 1

export type ExitStatus = { pid: number; exitCode: number; signal?: number }

/**
 * Reap a child. `undefined`: it still runs (only with {@link WNOHANG}). `exitCode` is 128 + signal where a signal ended it.
 * Throws ECHILD where `pid` is not our child.
 */
export function waitpid(pid: number, options = 0): ExitStatus | undefined {
  const status = new Int32Array(1)
  const result = check<number>(native().waitpid(pid, options, status), 'waitpid')
  return result === 0 ? undefined : { pid: result, ...decodeStatus(status[0]!) }
}

/** wait(2)'s status word. */
function decodeStatus(status: number): { exitCode: number; signal?: number } {
  const signal = status & 0x7f
  return signal === 0 ? { exitCode: (status >> 8) & 0xff } : { exitCode: 128 + signal, signal }
}

/** An fd that stands for the process, whatever happens to its number. Close it with `fs.closeSync`. */
export function pidfdOpen(pid: number): number {
  return check(native().pidfdOpen(pid), 'pidfd_open', String(pid))
}

export function pidfdSendSignal(pidfd: number, signal: number): void {
  check(native().pidfdSendSignal(pidfd, signal), 'pidfd_send_signal')
}

/** kill(2), for signals that Node has no name for (real-time ones), and for 0. */
export function kill(pid: number, signal: number): void {
  check(native().kill(pid, signal), 'kill', String(pid))
}

/** Whether `pid` exists (it may be a zombie). */
export function processExists(pid: number): boolean {
  const result = native().kill(pid, 0)
  return result === 0 || result === -constants.errno.EPERM
}

/** `sysconf(_SC_CLK_TCK)`: the unit of times in /proc/PID/stat. */
export function clockTicks(): number {
  return check(native().sysconf(2), 'sysconf')
}

/** Bytes. */
export function pageSize(): number {
  return check(native().sysconf(30), 'sysconf')
}
