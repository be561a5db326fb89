/** Programs that stand beside a daemon in its network namespace: registries, and proxies before them. */
import { type ChildProcess, spawn } from 'node:child_process'
import * as path from 'node:path'
import * as readline from 'node:readline'
import type { Daemon } from './daemon.ts'
import { eventually } from './eventually.ts'

const root = path.resolve(import.meta.dirname, '../..')

/** A program in the network namespace of a daemon. */
export class Beside {
  readonly child: ChildProcess
  output = ''

  constructor(daemon: Daemon, command: string[], env: Record<string, string> = {}) {
    this.child = spawn('nsenter', [`--net=/proc/${daemon.pid}/ns/net`, ...command], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    })
    for (const stream of [this.child.stdout!, this.child.stderr!]) {
      stream.on('data', chunk => {
        this.output += chunk
      })
    }
    this.child.on('error', () => {})
  }

  /** Wait until the program has written `text`. */
  async says(text: string): Promise<void> {
    await eventually(() => {
      if (!this.output.includes(text)) throw new Error(`no ${text} in:\n${this.output}`)
    })
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    const { child } = this
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
    const gone = new Promise<number | null>(resolve => child.once('exit', resolve))
    child.kill(signal)
    return gone
  }
}

/** `gantry registry serve` with its storage in `storage`, when it listens. */
export async function startGantryRegistry(
  daemon: Daemon,
  address: string,
  storage: string,
  ...args: string[]
): Promise<Beside> {
  const registry = new Beside(daemon, [
    path.join(root, 'bin/gantry'),
    ...['registry', 'serve', '--root', storage, '--addr', address, '--log-format', 'json'],
    ...args,
  ])
  await registry.says('registry listening')
  return registry
}

/** One request that a {@link Tap} let through or answered. */
export interface TappedRequest {
  method: string
  url: string
  range: string | undefined
  status: number
  /** Bytes of the answer's body that went to the client. */
  sent: number
  /** Bytes of the request's body that went to the registry. */
  received: number
}

/** What a {@link Tap} does to the requests from now on. */
export interface TapSettings {
  /** Bytes of blobs, in either direction together, that pass; then everything stands still. */
  hold?: number
  /** Requests for blobs that are answered with 429. */
  tooMany?: number
}

/** A proxy before a registry that tells what passed, and holds or refuses it. */
export class Tap {
  readonly requests: TappedRequest[] = []
  readonly #program: Beside
  #orders = 0

  private constructor(program: Beside) {
    this.#program = program
    readline.createInterface({ input: program.child.stdout! }).on('line', line => {
      if (line.startsWith('{')) this.requests.push(JSON.parse(line))
      // What was tapped before an order is not what its giver wants to know.
      if (line.startsWith('order ')) this.requests.length = 0
    })
  }

  static async start(daemon: Daemon, port: number, upstream: number): Promise<Tap> {
    const script = path.join(import.meta.dirname, 'tap.ts')
    const program = new Beside(daemon, [
      ...['sh', path.join(root, 'scripts/node'), script, String(port), String(upstream)],
    ])
    const tap = new Tap(program)
    await program.says('tapping')
    return tap
  }

  /** From now on, and forgets what was tapped before. */
  async set(settings: TapSettings): Promise<void> {
    await this.#tell({ hold: settings.hold, tooMany: settings.tooMany ?? 0 })
  }

  /** Wait until what may pass has passed, and the rest stands still. */
  held(): Promise<void> {
    return this.#program.says(`holding since order ${this.#orders}.`)
  }

  /** Break every connection. */
  async cut(): Promise<void> {
    await this.#tell({ cut: true })
  }

  async #tell(order: object): Promise<void> {
    this.#program.child.stdin!.write(`${JSON.stringify({ ...order, order: ++this.#orders })}\n`)
    await this.#program.says(`order ${this.#orders} done`)
  }

  /** Those for one blob's bytes. */
  get downloads(): TappedRequest[] {
    return this.requests.filter(({ method, url }) => method === 'GET' && url.includes('/blobs/'))
  }

  get uploads(): TappedRequest[] {
    return this.requests.filter(
      ({ method, received }) => method !== 'GET' && method !== 'HEAD' && received > 0,
    )
  }

  stop(): Promise<unknown> {
    return this.#program.stop()
  }
}
