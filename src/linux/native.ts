/**
 * The addon as C exports it: every function answers a number (or a value) and, on failure, a negative errno. Only the
 * other files of this folder call it; they turn the errno into a {@link LinuxError} that says what was tried.
 */
import { createRequire } from 'node:module'
import { LinuxError } from './error.ts'

/** A list of NUL-terminated strings, as C wants an argv. */
export type Strings = string[]

export interface Native {
  spawn(
    path: string,
    exeFd: number,
    argv: Strings,
    env: Strings,
    fds: number[],
    cwd: string,
    detached: boolean,
  ): number
  waitpid(pid: number, options: number, status: Int32Array): number
  pidfdOpen(pid: number): number
  pidfdSendSignal(fd: number, signal: number): number
  kill(pid: number, signal: number): number
  sysconf(name: number): number
  confineThread(root: string): number

  fsopen(type: string): number
  fsconfig(
    fd: number,
    command: number,
    key: string | null,
    value: string | Uint8Array | null,
    aux: number,
  ): number
  fsmount(fd: number, attributes: number): number
  moveMount(fromFd: number, from: string, toFd: number, to: string, flags: number): number
  openTree(fd: number, path: string, flags: number): number
  mountSetattr(
    fd: number,
    path: string,
    flags: number,
    set: number,
    clear: number,
    propagation: number,
    userns: number,
  ): number
  mount(source: string, target: string, type: string, flags: number, data: string): number
  umount(target: string, flags: number): number
  mountDetached(type: string, options: Strings): number

  openat2(dirfd: number, path: string, flags: number, mode: number, resolve: number): number
  getxattr(path: string | number, name: string, follow: boolean): Uint8Array | number
  setxattr(path: string | number, name: string, value: Uint8Array, flags: number, follow: boolean): number
  listxattr(path: string | number, follow: boolean): Uint8Array | number
  mknod(dirfd: number, path: string, mode: number, major: number, minor: number): number
  utimens(dirfd: number, path: string, times: BigInt64Array, flags: number): number
  flock(fd: number, operation: number): number
  syncfs(fd: number): Promise<number>
  memfdCreate(name: string, flags: number, content: Uint8Array | null): number
  addInodeFlags(fd: number, flags: number): number

  socketpair(type: number): [number, number] | number
  sendFds(socket: number, data: Uint8Array, fds: number[]): number
  recvFds(socket: number, length: number, fds: number[]): Uint8Array | number
  poll(fd: number, events: number): number
  netlinkOpen(protocol: number, netnsFd: number): number
  send(fd: number, data: Uint8Array): number
  recv(fd: number, maxWaitMs: number): Uint8Array | number
  setsockopt(fd: number, level: number, option: number, value: number): number
  netnsOf(socket: number): number
  socketInNetns(
    netnsFd: number,
    family: number,
    type: number,
    address: string,
    port: number,
    backlog: number,
  ): number

  bpfLoad(type: number, instructions: Uint8Array): number
  bpfAttach(target: number, program: number, type: number, flags: number): number
}

/** Where `make -C native` puts what it builds: `gantry.node`, `gantry-shim`, `gantry-init`, `hello`. */
export const buildFolder: string =
  process.env['GANTRY_NATIVE'] ?? new URL('../../native/build/', import.meta.url).pathname

let loaded: Native | undefined

/** The addon, loaded when it is first needed: whoever only imports types pays nothing. */
export function native(): Native {
  loaded ??= createRequire(import.meta.url)(`${buildFolder.replace(/\/$/, '')}/gantry.node`) as Native
  return loaded
}

/** `result` if it is not a failure; otherwise throws what failed. */
export function check<T>(result: T | number, syscall: string, path?: string | number): T {
  if (typeof result === 'number' && result < 0) {
    throw new LinuxError(-result, syscall, typeof path === 'number' ? `fd ${path}` : path)
  }
  return result as T
}
