/** What a process that joins a running container is (`docker exec`). */
import { processCapabilities } from './build-spec.ts'
import type { ExecProcess } from './request.ts'
import type { ProcessSpec, RuntimeSpec } from './spec.ts'

/**
 * The container's own process with what the exec says differently. As Docker, an exec has the container's capabilities, a
 * privileged one has all, and limits, oom score and `no-new-privileges` are the container's.
 */
export function execProcess(request: ExecProcess, spec: RuntimeSpec): ProcessSpec {
  const { process: container } = spec
  const { consoleSize: _, terminal: __, ...kept } = container
  return {
    ...kept,
    ...(request.tty && { terminal: true }),
    ...(request.consoleSize && {
      consoleSize: { height: request.consoleSize[0], width: request.consoleSize[1] },
    }),
    user: request.user ?? container.user,
    args: request.argv,
    env: request.env,
    cwd: request.cwd ?? container.cwd,
    ...(request.privileged && { capabilities: processCapabilities({ process: request, privileged: true }) }),
    ...(request.noNewPrivileges && { noNewPrivileges: true }),
    ...(request.rlimits && { rlimits: request.rlimits }),
  }
}
