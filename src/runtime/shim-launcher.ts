/** The launcher: a folder and a shim for each container. {@link file://./launcher.ts} tells the life that it gives them. */
import * as fs from 'node:fs'
import { Socket } from 'node:net'
import * as path from 'node:path'
import { hasCode } from '../errors.ts'
import * as linux from '../linux/index.ts'
import { Reserve } from '../reserve.ts'
import { readExitRecord } from './exit-record.ts'
import type { ExitRecord, Launcher, LaunchRequest, Task } from './launcher.ts'
import { settleLost } from './lost.ts'
import { encodePlan } from './plan.ts'
import { connectShim } from './shim.ts'
import { ShimTask } from './shim-task.ts'
import { SocketPath } from './socket-path.ts'

export interface LauncherOptions {
  /** exec-root: made if it is missing. */
  root: string
  /** The shim's binary; the built one unless told. */
  shim?: string
}

const SHIMS_AHEAD = 2
/** What `ps` shows of a shim without a container, and room for the id of one. */
const ID_TO_COME = '-'.repeat(64)

export function createLauncher(options: LauncherOptions): Launcher {
  return new ShimLauncher(options)
}

class ShimLauncher implements Launcher {
  readonly #root: string
  readonly #shim: string
  #shimFd: number | undefined
  readonly #shims = new Reserve(SHIMS_AHEAD, () => this.#spawn(), fs.closeSync)

  constructor(options: LauncherOptions) {
    this.#root = path.resolve(options.root)
    this.#shim = options.shim ?? path.join(linux.buildFolder, 'gantry-shim')
    fs.mkdirSync(this.#root, { recursive: true, mode: 0o711 })
  }

  async launch(request: LaunchRequest): Promise<Task> {
    const folder = this.#folder(request.id)
    fs.mkdirSync(folder, { mode: 0o700 })
    let task: ShimTask
    try {
      task = this.#order(request, folder)
    } catch (error) {
      this.discard(request.id)
      throw error
    }
    try {
      await task.launched()
    } catch (error) {
      await task.left
      this.discard(request.id)
      throw error
    }
    return task
  }

  #order(request: LaunchRequest, folder: string): ShimTask {
    const plan = linux.memfdCreate('plan', encodePlan(request.plan))
    try {
      const orders = Buffer.from(`${request.id}\0${folder}\0`)
      const shim = this.#engage(orders, [plan, ...(request.fds ?? [])])
      return new ShimTask(request.id, folder, new Socket({ fd: shim }))
    } finally {
      fs.closeSync(plan)
    }
  }

  /** Orders for a shim that waits for some. One that somebody killed meanwhile is passed over. */
  #engage(orders: Uint8Array, fds: number[]): number {
    for (let tries = 0; ; tries++) {
      const shim = this.#shims.take()
      try {
        linux.sendFds(shim, orders, fds)
        return shim
      } catch (error) {
        fs.closeSync(shim)
        if (tries >= SHIMS_AHEAD || !hasCode(error, 'EPIPE', 'ECONNRESET')) throw error
      }
    }
  }

  /** A shim that has no orders yet; the end of its connection, which makes it leave when it is closed. */
  #spawn(): number {
    const [ours, theirs] = linux.socketpair()
    try {
      linux.spawn({
        path: this.#shim,
        exeFd: (this.#shimFd ??= openReadOnly(this.#shim)),
        argv: ['gantry-shim', ID_TO_COME],
        fds: [-1, -1, -1, theirs],
        cwd: '/',
        detached: true,
      })
    } catch (error) {
      fs.closeSync(ours)
      throw error
    } finally {
      fs.closeSync(theirs)
    }
    return ours
  }

  async reconnect(id: string): Promise<Task | ExitRecord | undefined> {
    const folder = this.#folder(id)
    if (!fs.existsSync(folder)) return undefined
    const ended = readExitRecord(path.join(folder, 'exit'))
    if (ended) return ended
    try {
      const task = new ShimTask(id, folder, await this.#connect(folder))
      if (await task.adopt()) return task
    } catch (error) {
      if (!hasCode(error, 'ENOENT', 'ECONNREFUSED', 'ESRCH', 'ECONNRESET', 'EPIPE')) throw error
    }
    // It may have written the record while we tried.
    const settled = readExitRecord(path.join(folder, 'exit')) ?? (await settleLost(folder))
    // Neither record nor process: it was being removed. A start needs the place.
    if (settled === undefined) this.discard(id)
    return settled
  }

  list(): string[] {
    return fs
      .readdirSync(this.#root, { withFileTypes: true })
      .filter(entry => entry.isDirectory() && !entry.name.startsWith('.'))
      .map(entry => entry.name)
  }

  close(): void {
    this.#shims.close()
  }

  discard(id: string): void {
    fs.rmSync(this.#folder(id), { recursive: true, force: true })
  }

  async #connect(folder: string): Promise<Socket> {
    const socketPath = new SocketPath(folder)
    try {
      return await connectShim(socketPath.path)
    } finally {
      socketPath.close()
    }
  }

  #folder(id: string): string {
    if (!/^[\w][\w.-]*$/.test(id)) throw new TypeError(`not a name for a folder: ${JSON.stringify(id)}`)
    return path.join(this.#root, id)
  }
}

/**
 * The shim's binary through a mount of its own that is read-only and that nobody can reach by a path: a container that
 * gets hold of /proc/PID/exe while its process is still ours cannot write to it. Without the right to mount: the file itself.
 */
function openReadOnly(file: string): number {
  try {
    const mount = linux.openTree(file)
    linux.mountSetattr(mount, { set: linux.MOUNT_ATTR_RDONLY })
    return mount
  } catch (error) {
    if (!hasCode(error, 'EPERM', 'ENOSYS')) throw error
    return fs.openSync(file, linux.O_PATH)
  }
}
