/** A private daemon with folders of its own, driven by the real docker client, gone without a trace when a test ends. */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import * as fs from 'node:fs'
import * as http from 'node:http'
import * as os from 'node:os'
import * as path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { hasCode } from '../../src/errors.ts'
import { busyboxChanges, busyboxRootfs } from './busybox.ts'
import { patience } from './eventually.ts'
import { testPrefix } from './host-state.ts'
import { groupsNamed } from './leftovers.ts'

const root = path.resolve(import.meta.dirname, '../..')

/** Why tests with a daemon cannot run here, or `false`: for `test(…, { skip })`. */
export function cannotRunDaemon(): string | false {
  if (process.platform !== 'linux') return 'needs Linux'
  if (process.getuid?.() !== 0) return 'needs root'
  try {
    execFileSync('docker', ['--version'], { stdio: 'pipe' })
  } catch {
    return 'needs the docker client (Debian: apt-get install docker-cli)'
  }
  return false
}

export interface Outcome {
  stdout: string
  stderr: string
  /** 128+n where the client died of a signal. */
  code: number
}

export interface DaemonOptions {
  args?: string[]
  env?: Record<string, string>
  /** Where data-root is made; the system's temporary folder unless told. */
  parent?: string
  /** Run in a new network namespace, so that the host's own network stays as it is. On unless told. */
  isolateNetwork?: boolean
}

export class Daemon {
  readonly folder: string
  readonly socket: string
  readonly dataRoot: string
  readonly execRoot: string
  /** What its containers' cgroups are below, unless a container has a parent of its own. */
  readonly cgroupParent: string
  /** Added to the daemon's environment at its next start. */
  readonly env: Record<string, string>
  readonly #options: DaemonOptions
  #process: ChildProcess | undefined
  /** Holds the first daemon's network namespace for its successors. */
  #netns: number | undefined
  #log = ''

  constructor(options: DaemonOptions = {}) {
    this.#options = options
    this.env = { ...options.env }
    this.folder = fs.mkdtempSync(path.join(options.parent ?? os.tmpdir(), testPrefix))
    this.cgroupParent = `/${path.basename(this.folder)}`
    this.socket = path.join(this.folder, 'docker.sock')
    this.dataRoot = path.join(this.folder, 'data')
    this.execRoot = path.join(this.folder, 'run')
  }

  /** A running daemon with the image `busybox:latest` in it, unless `options.image` is false. */
  static async start(options: DaemonOptions & { image?: boolean } = {}): Promise<Daemon> {
    const daemon = new Daemon(options)
    try {
      await daemon.start()
      if (options.image !== false) await daemon.addBusybox()
    } catch (error) {
      await daemon.remove()
      throw error
    }
    return daemon
  }

  get pid(): number | undefined {
    return this.#process?.pid
  }

  /** What the daemon wrote to its standard error. */
  get log(): string {
    return this.#log
  }

  get host(): string {
    return `unix://${this.socket}`
  }

  /** Start the daemon and wait until it answers. */
  async start(): Promise<void> {
    const isolate = this.#options.isolateNetwork ?? true
    const gantry = [
      path.join(root, 'bin/gantry'),
      'daemon',
      ...['-H', this.host, '--data-root', this.dataRoot, '--exec-root', this.execRoot],
      ...['--pidfile', path.join(this.folder, 'pid'), '--cgroup-parent', this.cgroupParent],
      ...(this.#options.args ?? []),
    ]
    const command = !isolate
      ? gantry
      : this.#netns === undefined
        ? ['unshare', '-n', 'sh', '-c', 'ip link set lo up; exec "$0" "$@"', ...gantry]
        : ['nsenter', '--net=/proc/self/fd/3', 'sh', '-c', 'exec 3<&-; exec "$0" "$@"', ...gantry]
    const child = spawn(command[0]!, command.slice(1), {
      stdio: ['ignore', 'ignore', 'pipe', this.#netns ?? 'ignore'],
      env: { ...process.env, ...this.env },
    })
    this.#process = child
    child.stderr!.on('data', chunk => {
      this.#log += chunk
    })
    for (let tries = 0; tries < 600 * patience; tries++) {
      if (child.exitCode !== null || child.signalCode !== null) break
      if (await this.#answers()) {
        if (isolate) this.#netns ??= fs.openSync(`/proc/${child.pid}/ns/net`, 'r')
        return
      }
      await sleep(20)
    }
    throw new Error(`the daemon did not answer:\n${this.#log}`)
  }

  async addBusybox(): Promise<void> {
    await this.ok('import', ...busyboxChanges, busyboxRootfs(), 'busybox:latest')
  }

  /** Send the daemon a signal and wait until it is gone; its containers live on. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#process
    this.#process = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise(resolve => child.once('exit', resolve))
    child.kill(signal)
    await gone
  }

  /** Remove every container, stop the daemon, and take its folders away. */
  async remove(): Promise<void> {
    try {
      if (this.#process !== undefined && this.#process.exitCode === null) {
        const ids = (await this.docker('ps', '-aq')).stdout.split('\n').filter(id => id !== '')
        if (ids.length > 0) await this.docker('rm', '-f', '-v', ...ids)
      }
      await this.stop()
    } finally {
      if (this.#netns !== undefined) fs.closeSync(this.#netns)
      this.#netns = undefined
      for (const group of groupsNamed(this.cgroupParent)) removeIfEmpty(group)
      fs.rmSync(this.folder, { recursive: true, force: true, maxRetries: 3 })
    }
  }

  /** Run the docker client against this daemon. */
  docker(...args: string[]): Promise<Outcome> {
    return this.dockerWith({}, ...args)
  }

  /** {@link docker} with standard input, environment or folder of one's own. */
  dockerWith(
    options: { input?: string | Uint8Array; env?: Record<string, string>; cwd?: string; timeout?: number },
    ...args: string[]
  ): Promise<Outcome> {
    return new Promise(resolve => {
      const child = execFile(
        'docker',
        args,
        {
          env: { ...process.env, DOCKER_HOST: this.host, ...options.env },
          cwd: options.cwd,
          maxBuffer: 1 << 30,
          timeout: options.timeout ?? 120_000,
          killSignal: 'SIGKILL',
        },
        (error, stdout, stderr) => {
          const code =
            error === null ? 0 : typeof error.code === 'number' ? error.code : 128 + (error.signal ? 9 : 0)
          resolve({ stdout, stderr, code })
        },
      )
      child.stdin?.on('error', () => {})
      child.stdin?.end(options.input ?? '')
    })
  }

  /** {@link docker} that must succeed; its standard output without the last newline. */
  async ok(...args: string[]): Promise<string> {
    const { stdout, stderr, code } = await this.docker(...args)
    if (code !== 0) {
      throw new Error(
        `docker ${args.join(' ')}: exit code ${code}\n${stdout}${stderr}\ndaemon:\n${this.#log.slice(-4000)}`,
      )
    }
    return stdout.replace(/\n$/, '')
  }

  /** One request to the API. A body that is not a string or bytes is sent as JSON; JSON answers are parsed, streams to lists. */
  async api(
    method: string,
    url: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<{ status: number; headers: http.IncomingHttpHeaders; body: any }> {
    const raw = body === undefined || typeof body === 'string' || body instanceof Uint8Array
    const request = http.request({
      socketPath: this.socket,
      method,
      path: url,
      headers: raw ? headers : { 'Content-Type': 'application/json', ...headers },
    })
    request.end(raw ? body : JSON.stringify(body))
    const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
      request.on('response', resolve).on('error', reject)
    })
    const chunks: Buffer[] = []
    for await (const chunk of response) chunks.push(chunk as Buffer)
    const bytes = Buffer.concat(chunks)
    const json = response.headers['content-type']?.startsWith('application/json') && bytes.length > 0
    // Several documents are a stream of messages.
    const lines = json ? bytes.toString().split('\r\n').filter(Boolean) : []
    return {
      status: response.statusCode!,
      headers: response.headers,
      body: !json ? bytes : lines.length === 1 ? JSON.parse(lines[0]!) : lines.map(line => JSON.parse(line)),
    }
  }

  /** The standard output of a command that runs in the daemon's network namespace. Throws unless it exits 0. */
  inNetwork(...command: string[]): string {
    const [program, ...args] =
      this.#netns === undefined ? command : ['nsenter', '--net=/proc/self/fd/3', ...command]
    return execFileSync(program!, args, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe', this.#netns ?? 'ignore'],
    })
  }

  async #answers(): Promise<boolean> {
    if (!fs.existsSync(this.socket)) return false
    try {
      return (await this.api('GET', '/_ping')).status === 200
    } catch {
      return false
    }
  }
}

/** One with something in it stays, and is found by whoever looks for what is left. */
function removeIfEmpty(group: string): void {
  try {
    fs.rmdirSync(group)
  } catch (error) {
    if (!hasCode(error, 'EBUSY', 'ENOTEMPTY')) throw error
  }
}
