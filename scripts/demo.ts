/**
 * `npm run demo`: a private daemon in a temporary folder, and the main job shown through its API: run, ps, logs, exec,
 * limits in force, clean-up. Needs root and nothing from the network: the image is made by the native build.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import * as fs from 'node:fs'
import * as http from 'node:http'
import * as os from 'node:os'
import * as path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const IMAGE = 'gantry/hello'

if (process.getuid?.() !== 0) {
  console.error('The demo runs containers, and that needs root: sudo npm run demo')
  process.exit(1)
}

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gantry-demo-'))
const socket = path.join(folder, 'gantry.sock')
let daemon = startDaemon()

try {
  const version = await firstAnswer()
  title('A daemon of its own', `gantry ${version.Version}, API ${version.ApiVersion}, in ${folder}`)

  await call('POST', `/images/create?fromImage=${IMAGE}&tag=latest`)
  title('docker run gantry/hello', '')
  say(await run({}))

  title('docker run -d gantry/hello tick', '')
  const clock = await create(
    { Cmd: ['/hello', 'tick'], HostConfig: { Memory: 32 << 20, PidsLimit: 16 } },
    'clock',
  )
  await call('POST', `/containers/${clock}/start`)
  say(clock)

  title('docker ps', '')
  for (const { Id, Names, Image, Command, State, Status } of await call('GET', '/containers/json')) {
    say([Id.slice(0, 12), Names[0].slice(1), Image, Command, State, Status].join('   '))
  }

  await sleep(2100)
  title('docker logs clock', '')
  say(frames(await call('GET', `/containers/${clock}/logs?stdout=1`)))

  title('docker exec clock /hello show /proc/self/status', 'what the kernel says of a process in there')
  const status = await exec(clock, ['/hello', 'show', '/proc/self/status'])
  say(
    status
      .split('\n')
      .filter(line => /^(Pid|Uid|CapEff|NoNewPrivs|Seccomp):/.test(line))
      .join('\n'),
  )

  title('docker run --memory 32m gantry/hello eat 64', 'one that takes more memory than it may')
  say(await run({ Cmd: ['/hello', 'eat', '64'], HostConfig: { Memory: 32 << 20, MemorySwap: 32 << 20 } }))

  title('docker run --pids-limit 8 gantry/hello breed 100', 'one that starts more processes than it may')
  say(await run({ Cmd: ['/hello', 'breed', '100'], HostConfig: { PidsLimit: 8 } }))

  title('kill -9 of the daemon', 'its containers live on, and the next daemon finds them')
  await endDaemon('SIGKILL')
  daemon = startDaemon()
  await firstAnswer()
  await sleep(1100)
  say(frames(await call('GET', `/containers/${clock}/logs?stdout=1&tail=2`)))
  title('docker stop clock', '')
  await call('POST', `/containers/${clock}/stop?t=0`)
  const { State } = await call('GET', `/containers/${clock}/json`)
  say(`${State.Status} with exit code ${State.ExitCode}`)

  const rounds = 20
  const start = performance.now()
  for (let i = 0; i < rounds; i++) await run({})
  title('How long it takes', '')
  say(
    `${((performance.now() - start) / rounds).toFixed(1)} ms to create, start, wait for, read and remove a container`,
  )
} finally {
  await cleanUp()
}

async function cleanUp(): Promise<void> {
  title('Clean up', '')
  try {
    for (const { Id } of await call('GET', '/containers/json?all=1'))
      await call('DELETE', `/containers/${Id}?force=1`)
  } finally {
    await endDaemon('SIGTERM')
    fs.rmSync(folder, { recursive: true, force: true })
    say(`${folder} is gone`)
  }
}

function startDaemon(): ChildProcess {
  return spawn(
    path.resolve(import.meta.dirname, '../bin/gantry'),
    [
      ...['daemon', '-H', `unix://${socket}`, '--pidfile', path.join(folder, 'pid'), '--bridge', 'none'],
      ...[
        '--data-root',
        path.join(folder, 'data'),
        '--exec-root',
        path.join(folder, 'run'),
        '--log-level',
        'error',
      ],
    ],
    { stdio: ['ignore', 'inherit', 'inherit'] },
  )
}

async function endDaemon(signal: NodeJS.Signals): Promise<void> {
  if (daemon.exitCode !== null || daemon.signalCode !== null) return
  const ended = new Promise(resolve => daemon.once('exit', resolve))
  daemon.kill(signal)
  await ended
}

function title(text: string, aside: string): void {
  console.log(`\n\x1b[1m${text}\x1b[0m${aside === '' ? '' : `   ${aside}`}`)
}

function say(text: string): void {
  console.log(text.trimEnd().replace(/^/gm, '  '))
}

async function create(config: object, name = ''): Promise<string> {
  const body = { Image: IMAGE, ...config, HostConfig: { NetworkMode: 'none', ...(config as any).HostConfig } }
  return (await call('POST', `/containers/create?name=${name}`, body)).Id
}

/** What a container prints from its start to its end, and how it ended where that was not well. */
async function run(config: object): Promise<string> {
  const id = await create(config)
  await call('POST', `/containers/${id}/start`)
  const { StatusCode } = await call('POST', `/containers/${id}/wait`)
  const output = frames(await call('GET', `/containers/${id}/logs?stdout=1&stderr=1`))
  const { State } = await call('GET', `/containers/${id}/json`)
  await call('DELETE', `/containers/${id}`)
  const ending = `exit code ${StatusCode}${State.OOMKilled ? ', out of memory' : ''}`
  return StatusCode === 0 ? output : output + ending
}

async function exec(container: string, Cmd: string[]): Promise<string> {
  const { Id } = await call('POST', `/containers/${container}/exec`, { Cmd, AttachStdout: true })
  return frames(await call('POST', `/exec/${Id}/start`, {}))
}

/** The text in a stream of frames: 8 bytes of header, the last four of them the length, then the bytes. */
function frames(stream: Buffer): string {
  let text = ''
  for (let at = 0; at < stream.length; ) {
    const length = stream.readUInt32BE(at + 4)
    text += stream.toString('utf8', at + 8, at + 8 + length)
    at += 8 + length
  }
  return text
}

/** One request. JSON answers are parsed, others are bytes. Throws what the daemon says of an error. */
async function call(method: string, url: string, body?: object): Promise<any> {
  const request = http.request({
    socketPath: socket,
    method,
    path: url,
    headers: body === undefined ? {} : { 'Content-Type': 'application/json' },
  })
  request.end(body === undefined ? undefined : JSON.stringify(body))
  const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
    request.on('response', resolve).on('error', reject)
  })
  const bytes = Buffer.concat(await Array.fromAsync(response))
  const isJson = response.headers['content-type'] === 'application/json'
  const answer =
    isJson && !url.startsWith('/images/create') && bytes.length > 0 ? JSON.parse(bytes.toString()) : bytes
  if (response.statusCode! >= 400) throw new Error(`${method} ${url}: ${answer.message ?? answer}`)
  return answer
}

async function firstAnswer(): Promise<{ Version: string; ApiVersion: string }> {
  for (let tries = 0; tries < 500; tries++) {
    try {
      return await call('GET', '/version')
    } catch {
      await sleep(20)
    }
  }
  throw new Error('the daemon did not answer')
}
