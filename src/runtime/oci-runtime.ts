/**
 * Outside OCI runtimes (`--runtime runc`, crun, …): the same spec, written to a bundle, and a plan in which the shim runs the
 * runtime's `create`, `start` and `delete` instead of doing the work itself. Streams, log and exit code stay the shim's.
 *
 * Such a runtime wants its root file system mounted where it can find it, so this is the one case in which a mount of the
 * container stands in the host's tree: `<exec-root>/.bundles/<id>/rootfs`, which {@link removeBundle} takes away.
 *
 * With a terminal exec-root may be 28 bytes long at most: runtimes connect to a socket in the shim's folder, whose path the
 * kernel limits.
 */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { hasCode } from '../errors.ts'
import * as linux from '../linux/index.ts'
import { openCgroup } from './cgroup/index.ts'
import type { LaunchContext } from './compile.ts'
import { logOps } from './compile.ts'
import type { LaunchPlan, Op } from './plan.ts'
import type { Rootfs } from './request.ts'
import type { ProcessSpec, RuntimeSpec } from './spec.ts'

export interface OciRuntime {
  /** Absolute. */
  path: string
  /** Before the command: `--debug`, …. */
  arguments?: readonly string[]
}

export interface BundlePlace {
  id: string
  /** The launcher's: absolute. */
  execRoot: string
}

const bundleFolder = ({ execRoot, id }: BundlePlace): string => path.join(execRoot, '.bundles', id)
const logFile = (place: BundlePlace): string => path.join(bundleFolder(place), 'runtime.log')
/** In the shim's folder, where the runtime hands over the terminal. */
const consoleSocket = ({ execRoot, id }: BundlePlace): string => path.join(execRoot, id, CONSOLE)

/** Runtimes refuse versions that are newer than they are; nothing that Docker says needs a newer one. */
const OLDEST_SUFFICIENT = '1.0.2'

/** Mount the root and write config.json. Throws what the mount throws; then nothing is left. */
export function writeBundle(place: BundlePlace, spec: RuntimeSpec, rootfs: Rootfs): void {
  const bundle = bundleFolder(place)
  const root = path.join(bundle, 'rootfs')
  fs.mkdirSync(root, { recursive: true, mode: 0o700 })
  try {
    mountRoot(rootfs, root)
    fs.writeFileSync(
      path.join(bundle, 'config.json'),
      JSON.stringify({ ...spec, ociVersion: OLDEST_SUFFICIENT, root: { ...spec.root, path: root } }),
    )
  } catch (error) {
    removeBundle(place)
    throw error
  }
}

function mountRoot(rootfs: Rootfs, target: string): void {
  const fd = rootMount(rootfs)
  try {
    linux.moveMount(fd, target)
  } finally {
    if (rootfs.type !== 'mountFd') fs.closeSync(fd)
  }
}

/** A detached mount of the root. */
function rootMount(rootfs: Rootfs): number {
  if (rootfs.type === 'mountFd') return rootfs.fd
  if (rootfs.type === 'path') return linux.openTree(rootfs.path, { recursive: true })
  return linux.mountOverlay(rootfs)
}

/** Unmount the root and remove the bundle; fine where there is none. */
export function removeBundle(place: BundlePlace): void {
  const bundle = bundleFolder(place)
  try {
    linux.umount(path.join(bundle, 'rootfs'), linux.MNT_DETACH)
  } catch (error) {
    if (!hasCode(error, 'EINVAL', 'ENOENT')) throw error
  }
  fs.rmSync(bundle, { recursive: true, force: true })
}

/** The plan for a container whose bundle is written. */
export function compileOciPlan(
  runtime: OciRuntime,
  place: BundlePlace,
  spec: RuntimeSpec,
  context: Pick<LaunchContext, 'stdin' | 'log'>,
): LaunchPlan {
  const tty = spec.process.terminal ?? false
  const bundle = bundleFolder(place)
  const pidFile = path.join(bundle, 'pid')
  const console = tty ? ['--console-socket', consoleSocket(place)] : []
  const command = commands(runtime, place)
  const { parent, exit } = openCgroup(spec.linux.cgroupsPath).ops({})
  return {
    host: [
      { op: 'stdio', tty, stdin: context.stdin ?? false },
      ...logOps(context.log),
      command('create', ['--bundle', bundle, '--pid-file', pidFile, ...console, place.id], tty),
      { op: 'adopt', pidFile },
    ],
    init: [],
    parent,
    start: [command('start', [place.id])],
    exit,
    teardown: [{ ...command('delete', ['--force', place.id]), mayFail: true }],
  }
}

/** One more process, by the runtime's `exec`. Writes its description into the bundle. */
export function compileOciExec(
  runtime: OciRuntime,
  place: BundlePlace,
  exec: { id: string; process: ProcessSpec; stdin?: boolean },
): LaunchPlan {
  const tty = exec.process.terminal ?? false
  const pidFile = path.join(bundleFolder(place), `exec-${exec.id}.pid`)
  const description = path.join(bundleFolder(place), `exec-${exec.id}.json`)
  fs.writeFileSync(description, JSON.stringify(exec.process), { mode: 0o600 })
  const console = tty ? ['--console-socket', consoleSocket(place)] : []
  const options = ['--process', description, '--detach', '--pid-file', pidFile, ...console]
  return {
    host: [
      { op: 'stdio', tty, stdin: exec.stdin ?? false },
      commands(runtime, place)('exec', [...options, place.id], tty),
      { op: 'adopt', pidFile },
      { op: 'unlink', path: description },
      { op: 'unlink', path: pidFile },
    ],
    init: [],
    parent: [],
  }
}

const CONSOLE = 'console.sock'

const ENVIRONMENT = ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin']

/** Operations that run the runtime. Its own state lives beside the shims' folders. */
function commands(runtime: OciRuntime, place: BundlePlace) {
  const root = path.join(place.execRoot, '.runtime', path.basename(runtime.path))
  const log = logFile(place)
  return (command: string, args: string[], tty = false): Extract<Op, { op: 'run' }> => ({
    op: 'run',
    argv: [
      runtime.path,
      '--root',
      root,
      '--log',
      log,
      '--log-format',
      'json',
      ...(runtime.arguments ?? []),
      command,
      ...args,
    ],
    env: ENVIRONMENT,
    stdio: command === 'create' || command === 'exec',
    ...(tty && { console: CONSOLE }),
  })
}

/** Why an outside runtime failed: the last error in the log that it was told to write; '' where it says nothing. */
export function runtimeErrorText(place: BundlePlace): string {
  let text: string
  try {
    text = fs.readFileSync(logFile(place), 'utf8')
  } catch {
    return ''
  }
  const messages = text
    .trim()
    .split('\n')
    .map(line => {
      try {
        const entry = JSON.parse(line) as { level?: string; msg?: string }
        return entry.level === 'error' || entry.level === 'fatal' ? entry.msg : undefined
      } catch {
        return undefined
      }
    })
    .filter(message => message !== undefined)
  return messages.at(-1) ?? ''
}
