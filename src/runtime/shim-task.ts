/** A task, as one control connection to its shim shows it. */
import * as fs from 'node:fs'
import type { Socket } from 'node:net'
import * as path from 'node:path'
import type { Duplex } from 'node:stream'
import { hasCode } from '../errors.ts'
import * as linux from '../linux/index.ts'
import { parseExitRecord, readExitRecord } from './exit-record.ts'
import type { AttachOptions, ExecRequest, ExecTask, ExitRecord, ExitStatus, Task } from './launcher.ts'
import { settleLost } from './lost.ts'
import { encodePlan } from './plan.ts'
import { AttachFlag, frame, Message, openStream, ShimConnection } from './shim.ts'
import { SocketPath } from './socket-path.ts'

export class ShimTask implements Task {
  readonly id: string
  pid = 0
  started = false
  /** Resolves when the shim has left: nobody has the folder any more. */
  readonly left: Promise<void>
  /** Called when the log was rotated. */
  onRotated: () => void = () => {}
  /** Called when memory ran out. */
  onOom: () => void = () => {}
  readonly #folder: string
  readonly #socketPath: SocketPath
  readonly #connection: ShimConnection
  readonly #execs = new Map<string, ShimExec>()
  readonly #exit = Promise.withResolvers<ExitRecord>()
  #exited = false
  #gone = false
  #released = false

  constructor(id: string, folder: string, socket: Socket) {
    this.id = id
    this.#folder = folder
    this.#socketPath = new SocketPath(folder)
    const left = Promise.withResolvers<void>()
    this.left = left.promise
    this.#connection = new ShimConnection(socket, {
      exit: (exitedId, record) => this.#onExit(exitedId, record),
      rotated: () => this.onRotated(),
      oom: () => this.onOom(),
      closed: () => {
        this.#onClosed()
        left.resolve()
      },
    })
  }

  get execs(): ReadonlyMap<string, ExecTask> {
    return this.#execs
  }

  /** The end of the launch that this connection was made for. */
  async launched(): Promise<void> {
    this.pid = (await this.#connection.launched()).pid
  }

  /** Take over a shim that another process launched. `false`: there is nothing in it to take over, and it leaves. */
  async adopt(): Promise<boolean> {
    const state = await this.#connection.hello()
    if (!state.ready || state.finished) {
      this.#connection.quit()
      await this.left
      return false
    }
    this.pid = state.pid
    this.started = state.started
    for (const { id, pid } of state.execs) this.#execs.set(id, this.#exec(id, pid))
    return true
  }

  async start(): Promise<void> {
    await this.#connection.command(Message.start, 'start')
    this.started = true
  }

  async kill(signal: number): Promise<void> {
    await this.#connection.command(Message.signal, 'kill', signal, '')
  }

  async resize(rows: number, columns: number): Promise<void> {
    await this.#connection.command(Message.resize, 'resize', rows, columns, '')
  }

  async closeStdin(): Promise<void> {
    await this.#connection.command(Message.closeStdin, 'close stdin', '')
  }

  async attach(options: AttachOptions): Promise<Duplex> {
    const request = frame(Message.attach, 1, attachFlags(options), '')
    return (await openStream(this.#socketPath.path, request, 'attach')).socket
  }

  async exec(request: ExecRequest): Promise<ExecTask> {
    const { id, plan, attach } = request
    const exec = this.#exec(id, 0)
    this.#execs.set(id, exec)
    try {
      const flags = attach ? attachFlags(attach) : 0
      const bytes = frame(Message.exec, 1, flags, id, encodePlan(plan))
      const { socket, result } = await openStream(this.#socketPath.path, bytes, 'exec')
      exec.pid = result.pid
      if (flags) exec.stream = socket
      else socket.destroy()
      return exec
    } catch (error) {
      this.#execs.delete(id)
      throw error
    }
  }

  wait(): Promise<ExitRecord> {
    return this.#exit.promise
  }

  disconnect(): void {
    this.#released = true
    this.#connection.destroy()
    this.#socketPath.close()
  }

  async delete(): Promise<void> {
    if (!this.#gone) this.#connection.quit()
    await this.left
    this.#socketPath.close()
    removeFolder(this.#folder)
  }

  #exec(id: string, pid: number): ShimExec {
    return new ShimExec(this.#connection, id, pid)
  }

  #onExit(id: string, text: string): void {
    const record = parseExitRecord(text)
    if (id !== '') {
      this.#execs.get(id)?.settle(record)
      this.#execs.delete(id)
      return
    }
    this.#exited = true
    this.#exit.resolve(record)
  }

  /** The shim has left. Without a word of the exit it was killed, or the launch had failed. */
  #onClosed(): void {
    this.#gone = true
    if (this.#released) return
    const now: ExitStatus = { exitCode: 137, signal: 9, exitedAt: new Date().toISOString() }
    for (const exec of this.#execs.values()) exec.settle(now)
    this.#execs.clear()
    if (this.#exited) return
    const settle = async () =>
      readExitRecord(path.join(this.#folder, 'exit')) ?? (await settleLost(this.#folder))
    this.#exit.promise.catch(() => {})
    settle().then(record => {
      if (record) this.#exit.resolve(record)
      else this.#exit.reject(new linux.LinuxError(3, 'wait'))
    }, this.#exit.reject)
  }
}

class ShimExec implements ExecTask {
  readonly id: string
  pid: number
  stream: Duplex | undefined
  readonly #connection: ShimConnection
  readonly #exit = Promise.withResolvers<ExitStatus>()

  constructor(connection: ShimConnection, id: string, pid: number) {
    this.#connection = connection
    this.id = id
    this.pid = pid
  }

  settle({ exitCode, signal, exitedAt }: ExitStatus): void {
    this.#exit.resolve(signal === undefined ? { exitCode, exitedAt } : { exitCode, signal, exitedAt })
  }

  wait(): Promise<ExitStatus> {
    return this.#exit.promise
  }

  async kill(signal: number): Promise<void> {
    await this.#connection.command(Message.signal, 'kill', signal, this.id)
  }

  async resize(rows: number, columns: number): Promise<void> {
    await this.#connection.command(Message.resize, 'resize', rows, columns, this.id)
  }

  async closeStdin(): Promise<void> {
    await this.#connection.command(Message.closeStdin, 'close stdin', this.id)
  }
}

function attachFlags(options: AttachOptions): number {
  return (Object.keys(AttachFlag) as (keyof typeof AttachFlag)[]).reduce(
    (flags, name) => flags | (options[name] ? AttachFlag[name] : 0),
    0,
  )
}

/** What the shim leaves, by name, since this is on the way of every container; anything else by a walk. */
function removeFolder(folder: string): void {
  for (const name of ['exit', 'pid']) {
    try {
      fs.unlinkSync(path.join(folder, name))
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error
    }
  }
  try {
    fs.rmdirSync(folder)
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'ENOTEMPTY')) throw error
    fs.rmSync(folder, { recursive: true, force: true })
  }
}
