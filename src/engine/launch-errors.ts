/** What a failed launch is called: Docker's texts, from the operation that failed, and Docker's exit codes. */
import { GantryError, invalid } from '../errors.ts'
import { LaunchError } from '../runtime/launcher.ts'

const CREATE = 'failed to create task for container: failed to create shim task: OCI runtime create failed: '
const INIT = 'runc create failed: unable to start container process: error during container init: '
const EXEC = 'OCI runtime exec failed: exec failed: unable to start container process: '

export interface LaunchFailure {
  /** What the container's exit code becomes: 126 not executable, 127 not found, 128 anything else. */
  exitCode: number
  message: string
  error: GantryError
}

/** What was to be launched, as far as an error's text names it. */
export interface Launched {
  command: string
  cwd: string
  sysctls?: Record<string, string>
}

/** `said` is what an outside runtime wrote about it. */
export function containerLaunchFailure(error: unknown, launched: Launched, said?: string): LaunchFailure {
  if (error instanceof GantryError && /for seccomp$|seccomp flag$/.test(error.message)) {
    return failure(`${CREATE}runc create failed: ${error.message}`)
  }
  if (!(error instanceof LaunchError)) return plain(error)
  if (said) return failure(CREATE + said)
  const text = launchProblem(error, launched)
  const message = CREATE + (error.section === 'init' ? INIT : 'runc create failed: ') + text
  return failure(message)
}

/** The text that an exec's client reads, and its exit code. */
export function execLaunchFailure(error: unknown, command: string, cwd: string): LaunchFailure {
  if (!(error instanceof LaunchError)) return plain(error)
  return failure(EXEC + launchProblem(error, { command, cwd }))
}

function plain(error: unknown): LaunchFailure {
  const message = error instanceof Error ? error.message : String(error)
  if (error instanceof GantryError) return { exitCode: 128, message, error }
  return failure(message)
}

/** moby daemon/start.go, setExitCodeFromError and errdefs of the same. */
function failure(message: string): LaunchFailure {
  const notFound = /executable file not found|no such file or directory|system cannot find the file/.test(
    message,
  )
  const notExecutable = /permission denied|not a directory|operation not permitted|exec format error/.test(
    message,
  )
  if (notFound) return { exitCode: 127, message, error: invalid(message) }
  if (notExecutable) return { exitCode: 126, message, error: invalid(message) }
  // Docker notices only after it called the start a success.
  const tooLong = message.endsWith(ERRNO_TEXT['E2BIG']!)
  return { exitCode: 128, message, error: tooLong ? invalid(message) : new GantryError('internal', message) }
}

const ERRNO_TEXT: Record<string, string> = {
  ENOENT: 'no such file or directory',
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  ENOTDIR: 'not a directory',
  EISDIR: 'is a directory',
  ENOEXEC: 'exec format error',
  EINVAL: 'invalid argument',
  ENOSPC: 'no space left on device',
  EBUSY: 'device or resource busy',
  ENODEV: 'no such device',
  ENXIO: 'no such device or address',
  EROFS: 'read-only file system',
  ELOOP: 'too many levels of symbolic links',
  ENAMETOOLONG: 'file name too long',
  E2BIG: 'argument list too long',
  ENOMEM: 'cannot allocate memory',
  EAGAIN: 'resource temporarily unavailable',
}

/** What was wrong, without what was to be done. */
export function launchProblem(error: LaunchError, { command, cwd, sysctls }: Launched): string {
  const text = ERRNO_TEXT[error.code] ?? error.message
  switch (error.op) {
    case 'program':
      return programText(error.code, text, command)
    case 'exec':
      return `exec ${command}: ${text}`
    case 'workingFolder':
      return `chdir to cwd (${JSON.stringify(cwd)}) set in config.json failed: ${text}`
    case 'hostname':
      return `sethostname: ${text}`
    case 'writeFile':
      if (error.detail?.startsWith('/proc/sys/'))
        return sysctlText(error.detail, text, error.code === 'ENOENT' ? undefined : sysctls)
      return error.message
    case 'rlimit':
      return `error setting rlimits for ready process: ${text}`
    case 'mountBind':
    case 'mountFd':
    case 'mountFs':
      return `error mounting ${JSON.stringify(error.detail)}: ${text}`
    default:
      return error.message
  }
}

/** runc 1.3 opens these below a mount of its own, and says so. `sysctls`: the file was there, but did not take the value. */
function sysctlText(file: string, text: string, sysctls?: Record<string, string>): string {
  const inside = file.slice('/proc/'.length)
  const name = inside.slice('sys/'.length).replaceAll('/', '.')
  const value = sysctls?.[name]
  if (value !== undefined) {
    return `failed to write sysctl ${name} = ${JSON.stringify(value)}: write fsmount:fscontext:proc/./${inside}: ${text}`
  }
  return `open sysctl ${name} file: unsafe procfs detected: openat2 fsmount:fscontext:proc/./${inside}: ${text}`
}

function programText(code: string, text: string, command: string): string {
  const program = JSON.stringify(command)
  if (code === 'ENOENT') {
    return command.includes('/')
      ? `exec: ${program}: stat ${command}: ${text}`
      : `exec: ${program}: executable file not found in $PATH`
  }
  if (code === 'EISDIR') return `exec: ${program}: is a directory: permission denied`
  if (code === 'ENOTDIR') return `exec: ${program}: stat ${command}: ${text}`
  return `exec: ${program}: ${text}`
}
