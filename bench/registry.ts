/**
 * `sh scripts/node bench/registry.ts [--rounds N]`: `gantry registry` beside Debian's docker-registry, each alone on the first core, asked by
 * `wrk` on the second, in turns; medians as a Markdown table. Needs `wrk`, `taskset` and Debian's package docker-registry.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs, promisify } from 'node:util'
import { digestOf } from '../src/image/digest.ts'
import { mediaTypes } from '../src/image/types.ts'
import { debianPackage } from '../test/support/debian.ts'

const { values: options } = parseArgs({ options: { rounds: { type: 'string', default: '5' } } })
const run = promisify(execFile)

const BLOB_BYTES = 100_000_000
const SECONDS = 4
const CONNECTIONS = 8

const manifest = Buffer.from(
  JSON.stringify({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: mediaTypes.ociConfig, digest: digestOf('{}'), size: 2 },
    layers: [],
  }),
)

/** What is asked for, and what counts of wrk's report. */
const measures = [
  { name: 'blob of 100 MB', path: '/blob', of: (report: string) => transferred(report), unit: 'MB/s' },
  { name: 'manifest by tag', path: '/manifests/v', of: rate, unit: 'per second' },
]

function transferred(report: string): number {
  const [, value, unit] = /Transfer\/sec:\s+([\d.]+)([KMG])B/.exec(report)!
  return Number(value) * { K: 1 / 1024, M: 1, G: 1024 }[unit as 'K' | 'M' | 'G']
}

function rate(report: string): number {
  return Number(/Requests\/sec:\s+([\d.]+)/.exec(report)![1])
}

class Server {
  readonly name: string
  readonly url: string
  readonly #child: ChildProcess

  constructor(name: string, port: number, command: string[]) {
    this.name = name
    this.url = `http://127.0.0.1:${port}/v2/bench`
    this.#child = spawn('taskset', ['-c', '0', ...command], { stdio: 'ignore' })
  }

  /** Wait for it, and give it what is asked for. @returns the blob's digest */
  async fill(blob: Buffer): Promise<string> {
    for (let i = 0; i < 200; i++) {
      if (await fetch(this.url.replace('bench', '')).catch(() => undefined)) break
      await sleep(50)
    }
    for (const bytes of [blob, Buffer.from('{}')]) {
      const begun = await fetch(`${this.url}/blobs/uploads/`, { method: 'POST' })
      const place = new URL(begun.headers.get('location')!, this.url)
      place.searchParams.set('digest', digestOf(bytes))
      await this.#put(place, bytes, 'application/octet-stream')
    }
    await this.#put(new URL(`${this.url}/manifests/v`), manifest, mediaTypes.ociManifest)
    return digestOf(blob)
  }

  async #put(url: URL, body: Buffer, type: string): Promise<void> {
    const answer = await fetch(url, {
      method: 'PUT',
      body: new Uint8Array(body),
      headers: { 'Content-Type': type },
    })
    if (!answer.ok) throw new Error(`${this.name}: ${url}: ${answer.status} ${await answer.text()}`)
  }

  async stop(): Promise<void> {
    const gone = new Promise(resolve => this.#child.once('exit', resolve))
    this.#child.kill()
    await gone
  }
}

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gantry-bench-registry-'))
const config = path.join(folder, 'config.yml')
fs.writeFileSync(
  config,
  `version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: ${folder}/other}, cache: {blobdescriptor: inmemory}}
http: {addr: "127.0.0.1:5998"}
`,
)
const other = path.join(debianPackage('docker-registry'), 'usr/bin/docker-registry')
const gantry = path.resolve(import.meta.dirname, '../bin/gantry')
const servers = [
  new Server('docker-registry', 5998, [other, 'serve', config]),
  new Server('gantry', 5999, [
    gantry,
    ...['registry', 'serve', '--root', path.join(folder, 'own'), '--addr', '127.0.0.1:5999'],
    ...['--log-level', 'error'],
  ]),
]
try {
  const blob = randomBytes(BLOB_BYTES)
  let digest = ''
  for (const server of servers) digest = await server.fill(blob)
  console.log('| measure | docker-registry | Gantry | ratio |\n| --- | --- | --- | --- |')
  for (const { name, path: asked, of, unit } of measures) {
    const samples = servers.map((): number[] => [])
    for (let round = 0; round < Number(options.rounds); round++) {
      for (const [i, server] of servers.entries()) {
        const url = server.url + asked.replace('/blob', `/blobs/${digest}`)
        const accept = `Accept: ${mediaTypes.ociManifest}`
        const { stdout } = await run('taskset', [
          ...['-c', '1', 'wrk', '-t1', `-c${CONNECTIONS}`, `-d${SECONDS}s`, '-H', accept, url],
        ])
        if (/Non-2xx/.test(stdout)) throw new Error(`${server.name}:\n${stdout}`)
        samples[i]!.push(of(stdout))
      }
    }
    const [theirs, ours] = samples.map(values => values.sort((a, b) => a - b)[values.length >> 1]!)
    const show = (value: number) => `${value.toFixed(0)} ${unit}`
    console.log(`| ${name} | ${show(theirs!)} | ${show(ours!)} | ${(ours! / theirs!).toFixed(2)} |`)
  }
} finally {
  for (const server of servers) await server.stop()
  fs.rmSync(folder, { recursive: true })
}
