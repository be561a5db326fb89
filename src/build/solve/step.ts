/** What the solver asks of whoever can run a command: a container without the container's record. */
import type { ExecOp } from '../plan/ops.ts'

export interface StepMount {
  /** Absolute in the root. */
  target: string
  /** A detached mount, which stays the caller's; or a folder or file on the host; or a new tmpfs. */
  source: { fd: number } | { path: string } | { tmpfs: { size?: number; mode?: number } }
  readOnly: boolean
}

export interface StepRequest {
  /** 64 hex digits. */
  id: string
  op: ExecOp
  /** The root, as a detached mount that is written to; stays the caller's. */
  rootFd: number
  mounts: StepMount[]
  /** Variables that appear nowhere else: secrets and proxies. */
  extraEnv: string[]
  /** At most what is shown is read: the step waits for whoever reads slowly. */
  onOutput(stream: 1 | 2, data: Buffer): void
  signal: AbortSignal
}

export interface StepExit {
  exitCode: number
  oomKilled: boolean
}

export interface StepExecutor {
  /** Rejects where the command could not be started; nothing of it is left then. */
  run(request: StepRequest): Promise<StepExit>
}
