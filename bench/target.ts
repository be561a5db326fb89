/** One engine to measure: Gantry or any Docker, reached over its unix socket. */
import { execFile, execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import * as http from 'node:http'
import { processes } from '../test/support/processes.ts'

export interface Answer {
  status: number
  body: Buffer
}

export class Target {
  readonly name: string
  /** Path of the unix socket. */
  readonly socket: string
  readonly #agent: http.Agent

  constructor(name: string, socket: string, connections = 1) {
    this.name = name
    this.socket = socket
    this.#agent = new http.Agent({ keepAlive: true, maxSockets: connections })
  }

  /** The same engine, over so many connections at once. */
  withConnections(connections: number): Target {
    return new Target(this.name, this.socket, connections)
  }

  /** One request over a kept connection. Throws on a status of 400 or more. */
  request(method: string, path: string, body?: unknown): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const bytes = body === undefined ? undefined : JSON.stringify(body)
      const request = http.request({
        socketPath: this.socket,
        agent: this.#agent,
        method,
        path,
        headers:
          bytes === undefined
            ? {}
            : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(bytes) },
      })
      request.on('error', reject)
      request.on('response', response => {
        const chunks: Buffer[] = []
        response.on('data', chunk => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () => {
          const answer = { status: response.statusCode!, body: Buffer.concat(chunks) }
          if (answer.status >= 400)
            reject(new Error(`${this.name}: ${method} ${path}: ${answer.status} ${answer.body}`))
          else resolve(answer)
        })
      })
      request.end(bytes)
    })
  }

  async json<T>(method: string, path: string, body?: unknown): Promise<T> {
    return JSON.parse((await this.request(method, path, body)).body.toString()) as T
  }

  /** Run the docker client against this engine. Throws unless it exits 0. */
  docker(...args: string[]): Promise<string> {
    return this.dockerWith({}, ...args)
  }

  /** As {@link docker}, with more in the client's environment. */
  dockerWith(more: Record<string, string>, ...args: string[]): Promise<string> {
    return new Promise((resolve, reject) => {
      const host = { DOCKER_HOST: `unix://${this.socket}`, DOCKER_API_VERSION: '1.50' }
      const env = { ...process.env, ...host, ...more }
      execFile('docker', args, { env, maxBuffer: 1 << 30 }, (error, stdout, stderr) => {
        if (error) reject(new Error(`${this.name}: docker ${args.join(' ')}: ${stderr}`))
        else resolve(stdout)
      })
    })
  }

  async create(
    image: string,
    cmd: string[],
    host: object = { NetworkMode: 'none' },
    name?: string,
  ): Promise<string> {
    const query = name === undefined ? '' : `?name=${name}`
    const body = { Image: image, Cmd: cmd, HostConfig: host }
    return (await this.json<{ Id: string }>('POST', `/v1.50/containers/create${query}`, body)).Id
  }

  async start(id: string): Promise<void> {
    await this.request('POST', `/v1.50/containers/${id}/start`)
  }

  async removeByForce(id: string): Promise<void> {
    await this.request('DELETE', `/v1.50/containers/${id}?force=1`)
  }

  /** Ids of the processes that make up the engine itself, without its containers. */
  enginePids(): number[] {
    return processesNamed(name => name === 'dockerd' || name === 'containerd')
  }

  close(): void {
    this.#agent.destroy()
  }
}

/** Ids of all processes whose name (the first 15 bytes of it) passes `matches`. */
export function processesNamed(matches: (name: string) => boolean): number[] {
  return processes(pid => matches(fs.readFileSync(`/proc/${pid}/comm`, 'utf8').trim()))
}

/** A sum from `/proc/PID/smaps_rollup`, in MB; 0 for a process that is gone. */
export function memory(
  pid: number,
  ...fields: ('Rss' | 'Pss' | 'Private_Clean' | 'Private_Dirty')[]
): number {
  try {
    const text = fs.readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
    const kilobytes = fields.map(field =>
      Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0),
    )
    return kilobytes.reduce((sum, value) => sum + value, 0) / 1024
  } catch {
    return 0
  }
}

/** Bring everything to the disk: what one engine left to be written is not to slow down the other. */
export function settleDisk(): void {
  execFileSync('sync')
}

/** Milliseconds that `work` takes. */
export async function milliseconds(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await work()
  return performance.now() - start
}
