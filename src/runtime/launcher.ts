/**
 * Launching: from a plan to a running process that outlives this one, and back to it after a restart.
 *
 * ## A life, in order
 *
 * 1. `launch(request)` makes the folder `<exec-root>/<id>` and hands it to a shim, with the plan and the fds; a shim or two are
 *    started ahead and wait. The shim makes the process and brings it to just before execve(2): namespaces, mounts, user, limits, everything. Then the
 *    promise resolves to a {@link Task} whose `pid` is real, while none of the container's own code has run. Anything that
 *    goes wrong until here (a missing command included) rejects with a {@link LaunchError}; then nothing is left of it.
 * 2. Whoever must not miss a byte calls `task.attach(…)` now.
 * 3. `task.start()` lets it go. It resolves when execve succeeded and rejects with a LaunchError (op `exec`) when it did not.
 * 4. Output goes to the log and to whoever is attached. An attached reader that stops reading holds the container back once
 *    1 MiB waits for it; one that hangs up is forgotten at once. What is written to an attachment is the container's stdin, if it
 *    was made with one; ending the writable side ends stdin if the attachment asked for that.
 * 5. `task.exec(request)` makes more processes in the container, each a small life of this kind of its own.
 * 6. The process ends. The shim drains the output into the log, runs the plan's `exit` section, writes the exit record, and
 *    only then tells anybody: `task.wait()` resolves, attachments end. It runs `teardown` (cgroups go) and leaves.
 * 7. `task.delete()` waits for that and removes the folder. A task that still runs is killed first (SIGKILL).
 *
 * ## Crashes
 *
 * The shim needs nobody. After a restart of the daemon `reconnect(id)` answers
 * - a `Task`, where the shim lives (its `started` says whether start() was called; live exec ids are in `execs`),
 * - an {@link ExitRecord}, where the container ended meanwhile; `discard(id)` then removes the folder,
 * - an ExitRecord with `lost`, where the shim was killed: the container's process was found by pid and start time and killed,
 * - `undefined`, where there is nothing (after a reboot too: the folder is on a tmpfs).
 *
 * Any number of connections may be open to a shim; two daemons never share one.
 */
import type { Duplex } from 'node:stream'
import type { LaunchPlan } from './plan.ts'

export interface LaunchRequest {
  /** Names the folder below exec-root: 64 hex digits for a container. */
  id: string
  plan: LaunchPlan
  /** What the plan's slots refer to: slot i is `fds[i]`. The launcher does not close them; they can be closed when launch settles. */
  fds?: readonly number[]
}

export interface AttachOptions {
  /** What is written becomes stdin. */
  stdin?: boolean
  stdout?: boolean
  stderr?: boolean
  /** Ending the writable side (or hanging up) ends the container's stdin: docker's StdinOnce. No effect on a terminal. */
  closeStdin?: boolean
}

export interface ExecRequest {
  /** Unique in the container, at most 64 bytes. */
  id: string
  /** Its `init` joins the container by `setns`; `host` may hold stdio, clone, pidNamespace (by path), run, adopt. */
  plan: LaunchPlan
  /** Which streams {@link ExecTask.stream} carries. Absent: detached, output is thrown away. */
  attach?: AttachOptions
}

export interface ExitStatus {
  /** 128 + signal where a signal ended it. */
  exitCode: number
  signal?: number
  /** RFC 3339 with nanoseconds. */
  exitedAt: string
}

export interface ExitRecord extends ExitStatus {
  /** Whether the kernel killed something in it for memory: from what the plan's `record` ops kept of memory.oom_control or memory.events. */
  oomKilled: boolean
  /** What the plan's `record` ops kept, by name. */
  files: Record<string, string>
  /** Log lines that a full disk (or a full ring) swallowed. */
  droppedLines: number
  /** The shim was killed, so nobody saw the end: exitCode is 137. */
  lost?: boolean
}

export interface Task {
  readonly id: string
  /** On the host. */
  readonly pid: number
  /** Whether execve was let go. */
  readonly started: boolean
  /** Execs that run, by id: more than none only after a reconnect or an {@link exec}. */
  readonly execs: ReadonlyMap<string, ExecTask>
  /** Called after each rotation of the log: somebody may want to compress what is now `….1`. */
  onRotated: () => void
  /** Called each time that the kernel ran out of memory in the container's cgroup, whoever of its processes it took. */
  onOom: () => void
  start(): Promise<void>
  /** Signal the process. Rejects with a LinuxError ESRCH when it has ended. */
  kill(signal: number): Promise<void>
  /** Set the size of its terminal. */
  resize(rows: number, columns: number): Promise<void>
  /**
   * A stream to and from the process: without a terminal it reads docker's frames (8-byte header: stream, 0, 0, 0, length
   * big-endian; payload), with one the raw bytes. It ends after the last byte; destroying it detaches.
   */
  attach(options: AttachOptions): Promise<Duplex>
  closeStdin(): Promise<void>
  exec(request: ExecRequest): Promise<ExecTask>
  /** Resolves when the exit record is on disk. May be called any number of times. */
  wait(): Promise<ExitRecord>
  /** Let go of it: shim and container live on, and nothing here settles any more. For an engine that closes in a process that stays. */
  disconnect(): void
  /** See the life above. Resolves when neither shim nor folder are there. */
  delete(): Promise<void>
}

export interface ExecTask {
  readonly id: string
  readonly pid: number
  /** As {@link Task.attach}'s; absent where detached. */
  readonly stream: Duplex | undefined
  wait(): Promise<ExitStatus>
  kill(signal: number): Promise<void>
  resize(rows: number, columns: number): Promise<void>
  closeStdin(): Promise<void>
}

export interface Launcher {
  launch(request: LaunchRequest): Promise<Task>
  reconnect(id: string): Promise<Task | ExitRecord | undefined>
  /** Ids that have a folder here: what a start has to look at. */
  list(): string[]
  /** Remove the folder of an ended container. */
  discard(id: string): void
  /** Let go of the shims that wait for a container. Those that have one stay. */
  close(): void
}

export { LaunchError } from './launch-error.ts'
export { createLauncher } from './shim-launcher.ts'
