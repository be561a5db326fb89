/** Runs a step with the engine's own launcher: a container that has no record, no name and no log. */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { invalid, messageOf } from '../../errors.ts'
import { KeyedMutex } from '../../mutex.ts'
import type { Networks, Sandbox } from '../../network/index.ts'
import { buildSpec } from '../../runtime/build-spec.ts'
import { cgroupPath, openCgroup } from '../../runtime/cgroup/index.ts'
import { compilePlan } from '../../runtime/compile.ts'
import { LaunchError, type Launcher, type Task } from '../../runtime/launcher.ts'
import type { MountRequest, RuntimeRequest } from '../../runtime/request.ts'
import { resolveUser } from '../../runtime/user.ts'
import type { ExecOp } from '../plan/ops.ts'
import { demultiplex } from './demultiplex.ts'
import { startError } from './start-error.ts'
import type { StepExecutor, StepExit, StepMount, StepRequest } from './step.ts'
import { Tree, using } from './tree.ts'

export interface RuntimeExecutorOptions {
  launcher: Launcher
  networks: Networks
  /** Gone after a reboot; small files of running steps lie below it. */
  folder: string
  cgroupParent?: string
}

/** Milliseconds that a step has after SIGTERM. It is killed at once: nothing of it is kept. */
const SIGKILL = 9

/** Processes and threads that a step may have: one that forks without end leaves the other half to the host. */
const PROCESSES = Math.floor(
  Math.min(...['pid_max', 'threads-max'].map(name => Number(fs.readFileSync(`/proc/sys/kernel/${name}`)))) /
    2,
)

export class RuntimeExecutor implements StepExecutor {
  readonly #options: RuntimeExecutorOptions
  readonly #network: NetworkPool

  constructor(options: RuntimeExecutorOptions) {
    this.#options = options
    fs.rmSync(options.folder, { recursive: true, force: true })
    fs.mkdirSync(options.folder, { recursive: true, mode: 0o700 })
    this.#network = new NetworkPool(options.networks)
  }

  async run(request: StepRequest): Promise<StepExit> {
    const { op, id, signal } = request
    const network = op.network === 'default' ? await this.#network.take(op) : undefined
    const folder = path.join(this.#options.folder, id.slice(0, 32))
    let task: Task | undefined
    try {
      fs.mkdirSync(folder, { mode: 0o700 })
      task = await this.#launch(request, network?.sandbox, folder)
      const kill = () => void task?.kill(SIGKILL).catch(() => {})
      signal.addEventListener('abort', kill, { once: true })
      try {
        signal.throwIfAborted()
        const stream = await task.attach({ stdout: true, stderr: true })
        const drained = demultiplex(stream, request.onOutput)
        await task.start()
        const exit = await task.wait()
        await drained
        return { exitCode: exit.exitCode, oomKilled: exit.oomKilled }
      } finally {
        signal.removeEventListener('abort', kill)
      }
    } catch (error) {
      if (error instanceof LaunchError) throw startError(error, request)
      throw error
    } finally {
      await task?.delete()
      fs.rmSync(folder, { recursive: true, force: true })
      if (network) this.#network.give(network)
    }
  }

  async #launch(request: StepRequest, sandbox: Sandbox | undefined, folder: string): Promise<Task> {
    const { op, id, rootFd } = request
    const root = new Tree(rootFd)
    const user = userOf(op, root)
    makeWorkingFolder(root, op.cwd)
    const cgroup = openCgroup(cgroupPath(id, op.cgroupParent ?? this.#options.cgroupParent))
    const mountFds = new Map<string, number>()
    const mounts = request.mounts.map(mount => mountRequest(mount, mountFds))
    const limits = op.limits ?? {}
    const hostname = op.hostname || 'buildkitsandbox'
    const spec = buildSpec({
      id,
      process: {
        argv: op.argv,
        env: environment(op, request.extraEnv, user.home),
        cwd: op.cwd,
        user,
        rlimits: op.ulimits.map(({ name, soft, hard }) => ({
          type: `RLIMIT_${name.toUpperCase()}`,
          soft,
          hard,
        })),
      },
      hostname,
      cgroupPath: cgroup.path,
      mounts: [...this.#networkFiles(op, sandbox, folder, hostname), ...mounts],
      namespaces: { network: networkMode(op, sandbox) },
      privileged: op.privileged,
      ...(op.shmSize && { shmSize: op.shmSize }),
      resources: {
        pids: { limit: PROCESSES },
        ...((limits.memory || limits.memorySwap) && {
          memory: {
            ...(limits.memory && { limit: limits.memory }),
            ...(limits.memorySwap && { swap: limits.memorySwap }),
          },
        }),
        cpu: {
          ...(limits.cpuShares && { shares: limits.cpuShares }),
          ...(limits.cpuPeriod && { period: limits.cpuPeriod }),
          ...(limits.cpuQuota && { quota: limits.cpuQuota }),
          ...(limits.cpusetCpus && { cpus: limits.cpusetCpus }),
          ...(limits.cpusetMems && { mems: limits.cpusetMems }),
        },
      },
    } satisfies RuntimeRequest)
    const compiled = compilePlan(spec, {
      rootfs: { type: 'mountFd', fd: rootFd },
      cgroup,
      mountFds,
      loopback: op.network === 'none',
    })
    try {
      return await this.#options.launcher.launch({ id, plan: compiled.plan, fds: compiled.fds })
    } finally {
      compiled.release()
    }
  }

  #networkFiles(op: ExecOp, sandbox: Sandbox | undefined, folder: string, hostname: string): MountRequest[] {
    const extra = op.extraHosts.map(entry => {
      const split = entry.indexOf(entry.includes('=') ? '=' : ':')
      return `${entry.slice(split + 1)}\t${entry.slice(0, split)}\n`
    })
    const hosts = `127.0.0.1\tlocalhost ${hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n`
    const resolv = sandbox?.resolvConf ?? (op.network === 'host' ? readOr('/etc/resolv.conf') : '')
    const files = { '/etc/hosts': hosts + extra.join(''), '/etc/resolv.conf': resolv }
    return Object.entries(files).map(([destination, content]) => {
      const source = path.join(folder, path.basename(destination))
      fs.writeFileSync(source, content, { mode: 0o644 })
      return { type: 'bind', source, destination, readonly: true, recursive: false }
    })
  }
}

const readOr = (file: string): string => (fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '')

function networkMode(op: ExecOp, sandbox: Sandbox | undefined) {
  if (op.network === 'host') return 'host' as const
  return sandbox?.netnsFd === undefined ? ('private' as const) : { fd: sandbox.netnsFd }
}

function environment(op: ExecOp, extra: string[], home: string): string[] {
  const env = [...op.env, ...extra]
  const hasHome = env.some(variable => variable.startsWith('HOME='))
  return hasHome ? env : [...env, `HOME=${home}`]
}

function userOf(op: ExecOp, root: Tree): ReturnType<typeof resolveUser> {
  try {
    return resolveUser({ user: op.user, passwd: root.read('/etc/passwd'), group: root.read('/etc/group') })
  } catch (error) {
    const command = JSON.stringify(op.argv.join(' '))
    throw invalid(`process ${command} did not complete successfully: ${messageOf(error)}`, error)
  }
}

/** Only a `WORKDIR` makes its folder in the plan; a base image's may be missing. */
function makeWorkingFolder(root: Tree, cwd: string): void {
  if (root.stat(cwd, true)) return
  let above = '/'
  for (const part of cwd.split('/').filter(Boolean)) {
    const place = path.posix.join(above, part)
    if (!root.stat(place, true)) using(root.folder(above), folder => fs.mkdirSync(folder.at(part), 0o755))
    above = place
  }
}

function mountRequest(mount: StepMount, fds: Map<string, number>): MountRequest {
  const { target: destination, source, readOnly: readonly } = mount
  if ('tmpfs' in source) {
    const { size, mode } = source.tmpfs
    const options = ['exec', ...(size ? [`size=${size}`] : []), ...(mode ? [`mode=${mode.toString(8)}`] : [])]
    return { type: 'tmpfs', destination, options, readonly }
  }
  if ('path' in source) return { type: 'bind', source: source.path, destination, readonly, recursive: false }
  fds.set(destination, source.fd)
  return { type: 'bind', source: `/proc/self/fd/${source.fd}`, destination, readonly, recursive: false }
}

interface Place {
  id: string
  sandbox: Sandbox
  extraHosts: string
  idle?: NodeJS.Timeout
}

/** Milliseconds that an unused network of a step waits for the next step. */
const IDLE = 5000

/** Networks of steps, used again by the next step: what one leaves in them ended with its processes. */
class NetworkPool {
  readonly #networks: Networks
  readonly #free: Place[] = []
  readonly #locks = new KeyedMutex()

  constructor(networks: Networks) {
    this.#networks = networks
  }

  async take(op: ExecOp): Promise<Place> {
    const extraHosts = op.extraHosts.join('\n')
    const free = this.#free.findIndex(place => place.extraHosts === extraHosts)
    if (free >= 0) {
      const [place] = this.#free.splice(free, 1)
      clearTimeout(place!.idle)
      return place!
    }
    const id = randomId()
    const sandbox = await this.#networks.attach({
      id,
      name: `build-${id.slice(0, 12)}`,
      hostname: 'buildkitsandbox',
      networkMode: 'bridge',
      extraHosts: op.extraHosts,
    })
    return { id, sandbox, extraHosts }
  }

  give(place: Place): void {
    place.idle = setTimeout(() => {
      this.#free.splice(this.#free.indexOf(place), 1)
      void this.#locks
        .run(place.id, () => this.#networks.release(place.id))
        .then(() => this.#networks.forget(place.id))
    }, IDLE)
    place.idle.unref()
    this.#free.push(place)
  }
}

function randomId(): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('hex')
}
