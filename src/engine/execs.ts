/** Further processes in running containers. */
import { randomBytes } from 'node:crypto'
import { type Duplex, PassThrough } from 'node:stream'
import { conflict, invalid, notFound } from '../errors.ts'
import { compileExec } from '../runtime/compile.ts'
import { execProcess } from '../runtime/exec.ts'
import { type ExecTask, LaunchError } from '../runtime/launcher.ts'
import { compileOciExec } from '../runtime/oci-runtime.ts'
import { resolveUser } from '../runtime/user.ts'
import { Attachment } from './attachment.ts'
import type { Container } from './container.ts'
import type { ContainerStream } from './containers.ts'
import type { EngineContext } from './context.ts'
import { DEFAULT_DETACH_KEYS, parseDetachKeys } from './detach-keys.ts'
import { environment } from './environment.ts'
import { frame, STDOUT } from './frames.ts'
import { execLaunchFailure } from './launch-errors.ts'
import { cleanPath } from './mount-parse.ts'
import { outsideRuntime } from './outside-runtime.ts'
import { killTree } from './process-tree.ts'
import type { ExecDetails, ExecSpec } from './results.ts'
import { userFiles } from './rootfs.ts'

export interface ExecStartOptions {
  detach?: boolean
  tty?: boolean
  consoleSize?: [number, number]
  signal?: AbortSignal
}

/** Ended execs are remembered this long, for `exec inspect`. Milliseconds. */
const KEEP_ENDED = 5 * 60 * 1000

interface Exec {
  readonly id: string
  readonly spec: ExecSpec
  readonly container: Container
  started: boolean
  task: ExecTask | undefined
  exitCode: number | null
}

export class Execs {
  readonly #context: EngineContext
  readonly #execs = new Map<string, Exec>()

  constructor(context: EngineContext) {
    this.#context = context
  }

  /** The new exec's id. */
  async create(containerRef: string, spec: ExecSpec): Promise<string> {
    const container = this.#context.store.get(containerRef)
    if (spec.cmd.length === 0) throw invalid('No exec command specified')
    if (spec.detachKeys) parseDetachKeys(spec.detachKeys)
    this.#checkRunning(container, containerRef)
    if (spec.user) resolveUser({ user: spec.user, ...userFiles(this.#context, container) })
    return this.#register(container, spec).id
  }

  #register(container: Container, spec: ExecSpec): Exec {
    const id = randomBytes(32).toString('hex')
    const exec: Exec = { id, spec, container, started: false, task: undefined, exitCode: null }
    this.#execs.set(id, exec)
    container.execIds.add(id)
    this.#tell(exec, `exec_create: ${spec.cmd[0]} ${spec.cmd.slice(1).join(' ')}`)
    return exec
  }

  #tell(exec: Exec, action: string, more?: Record<string, string>): void {
    this.#context.states.note(exec.container, action, { execID: exec.id, ...more })
  }

  #checkRunning(container: Container, ref: string): void {
    const { status } = container.record.state
    if (status === 'paused') {
      throw conflict(`Container ${ref} is paused, unpause the container before exec`)
    }
    if (status === 'restarting') {
      throw conflict(`Container ${ref} is restarting, wait until the container is running`)
    }
    if (!container.task) throw conflict(`container ${container.id} is not running`)
  }

  #get(id: string): Exec {
    const exec = this.#execs.get(id)
    if (!exec || exec.container.removed) throw notFound(`No such exec instance: ${id}`)
    return exec
  }

  /** undefined when detached; else the stream, which ends with the process. */
  async start(id: string, options: ExecStartOptions = {}): Promise<ContainerStream<Duplex> | undefined> {
    const exec = this.#get(id)
    const { spec, container } = exec
    if (exec.task) throw conflict(`Error: Exec command ${id} is already running`)
    if (exec.started) throw conflict(`Error: Exec command ${id} has already run`)
    this.#checkRunning(container, container.id)
    exec.started = true
    const tty = spec.tty ?? false
    this.#tell(exec, `exec_start: ${spec.cmd[0]} ${spec.cmd.slice(1).join(' ')}`)
    const attach = options.detach
      ? undefined
      : { stdin: spec.attachStdin, stdout: spec.attachStdout, stderr: spec.attachStderr, closeStdin: true }
    try {
      const task = await this.#launch(exec, attach, options.consoleSize)
      return task.stream ? { tty, stream: this.#stream(exec, task.stream, tty) } : undefined
    } catch (error) {
      if (!(error instanceof LaunchError)) {
        this.#settle(exec, 126)
        throw error
      }
      const failure = execLaunchFailure(error, spec.cmd[0]!, workingDir(exec))
      this.#settle(exec, failure.exitCode)
      if (options.detach) throw failure.error
      return { tty, stream: lastWords(failure.message, tty) }
    }
  }

  async #launch(
    exec: Exec,
    attach: Parameters<NonNullable<Container['task']>['exec']>[0]['attach'],
    consoleSize: [number, number] | undefined,
  ): Promise<ExecTask> {
    const { spec, container } = exec
    const user = resolveUser({
      user: spec.user || container.record.config.user,
      groupAdd: container.record.host.groupAdd,
      ...userFiles(this.#context, container),
    })
    const { home, ...ids } = user
    const size = spec.consoleSize ?? consoleSize
    const process = execProcess(
      {
        argv: spec.cmd,
        env: environment(container.record, { tty: spec.tty, own: spec.env, home }),
        cwd: workingDir(exec),
        tty: spec.tty,
        ...(spec.tty && size && { consoleSize: size }),
        user: ids,
        privileged: spec.privileged,
      },
      container.spec!,
    )
    const task = container.task
    if (!task) throw conflict(`container ${container.id} is not running`)
    const stdin = Boolean(attach?.stdin)
    const outside = outsideRuntime(this.#context, container.record)
    const plan = outside
      ? compileOciExec(outside.runtime, outside.place, { id: exec.id, process, stdin })
      : compileExec(process, { spec: container.spec!, cgroup: container.cgroup!, pid: task.pid, stdin })
    exec.task = await task.exec({ id: exec.id, plan, ...(attach && { attach }) })
    void exec.task.wait().then(
      ({ exitCode }) => this.#ended(exec, exitCode),
      () => this.#ended(exec, 137),
    )
    return exec.task
  }

  #stream(exec: Exec, inner: Duplex, tty: boolean): Duplex {
    if (!tty || !exec.spec.attachStdin) return inner
    const attachment = new Attachment({
      stdin: true,
      detachKeys: parseDetachKeys(exec.spec.detachKeys || DEFAULT_DETACH_KEYS),
      onDetach: () => this.#tell(exec, 'exec_detach'),
    })
    attachment.join(inner)
    return attachment
  }

  #ended(exec: Exec, exitCode: number): void {
    this.#settle(exec, exitCode)
    this.#tell(exec, 'exec_die', { exitCode: String(exitCode) })
  }

  #settle(exec: Exec, exitCode: number): void {
    exec.exitCode = exitCode
    exec.container.execIds.delete(exec.id)
    setTimeout(() => this.#execs.delete(exec.id), KEEP_ENDED).unref()
  }

  async resize(id: string, rows: number, columns: number): Promise<void> {
    const exec = this.#get(id)
    if (!exec.task || exec.exitCode !== null) throw conflict(`exec ${id} is not running`)
    await exec.task.resize(rows, columns)
  }

  inspect(id: string): ExecDetails {
    const { spec, container, started, task, exitCode } = this.#get(id)
    return {
      id,
      containerId: container.id,
      running: started && exitCode === null,
      exitCode,
      pid: task?.pid ?? 0,
      canRemove: exitCode !== null,
      openStdin: spec.attachStdin ?? false,
      openStdout: spec.attachStdout ?? false,
      openStderr: spec.attachStderr ?? false,
      detachKeys: spec.detachKeys ?? '',
      spec,
      entrypoint: spec.cmd[0]!,
      arguments: spec.cmd.slice(1),
    }
  }

  /** Run a command to its end for the engine itself (a health check). The signal kills it, and what it started. */
  async run(
    container: Container,
    spec: ExecSpec,
    output: (chunk: Buffer) => void,
    signal: AbortSignal,
    onStarted?: () => void,
  ): Promise<number> {
    const exec = this.#register(container, spec)
    const started = await this.start(exec.id)
    onStarted?.()
    started!.stream.on('data', output)
    started!.stream.end()
    const task = exec.task
    if (!task) return exec.exitCode ?? 126
    const kill = (): void => {
      const { cgroup } = container
      if (cgroup) killTree(task.pid, () => cgroup.processes())
      else task.kill(9).catch(() => {})
    }
    signal.addEventListener('abort', kill, { once: true })
    if (signal.aborted) kill()
    try {
      return (await task.wait()).exitCode
    } finally {
      signal.removeEventListener('abort', kill)
    }
  }
}

function workingDir({ spec, container }: Exec): string {
  return cleanPath(spec.workingDir || container.record.config.workingDir || '/')
}

/** An exec that could not be: its client reads why. */
function lastWords(message: string, tty: boolean): Duplex {
  const stream = new PassThrough()
  const text = Buffer.from(`${message}\r\n`)
  stream.end(tty ? text : frame(STDOUT, text))
  return stream
}
