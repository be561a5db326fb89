/** What a container's network carries. Each engine's host talks to its own container: Gantry's from the namespace it runs in. */
import { execFile } from 'node:child_process'
import * as fs from 'node:fs'
import { serversArchive } from '../../test/support/servers-image.ts'
import type { Measure } from '../measure.ts'
import { milliseconds, type Target } from '../target.ts'

const NAME = 'bench-network'
const IMAGE = 'debian:servers'
const PORT = 5201

async function remove(target: Target, ...names: string[]): Promise<void> {
  for (const name of names) await target.removeByForce(name)
}

/** A command in the network namespace of an engine's daemon; its standard output. */
function onHost(target: Target, ...command: string[]): Promise<string> {
  const args = ['-t', String(target.enginePids()[0]), '-n', ...command]
  return new Promise((resolve, reject) => {
    execFile('nsenter', args, { maxBuffer: 1 << 24 }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${target.name}: ${command.join(' ')}: ${stderr || stdout}`))
      else resolve(stdout)
    })
  })
}

/** Two containers of a network, one of which serves iperf3 and publishes its port. */
async function pair(target: Target): Promise<() => Promise<void>> {
  if ((await target.docker('images', '-q', IMAGE)) === '') {
    if (!fs.existsSync(serversArchive)) throw new Error(`needs ${IMAGE}, which test/databases.test.ts makes`)
    await target.docker('load', '-q', '-i', serversArchive)
  }
  await target.docker('network', 'create', NAME)
  const on = ['run', '-d', '--network', NAME]
  const published = ['-p', `127.0.0.1:${PORT}:${PORT}`]
  await target.docker(...on, '--name', NAME, ...published, IMAGE, 'iperf3', '-s')
  await target.docker(...on, '--name', `${NAME}-client`, IMAGE, 'sleep', '1000')
  return async () => {
    await remove(target, NAME, `${NAME}-client`)
    await target.docker('network', 'rm', NAME)
  }
}

/** MB/s that a second of iperf3 received. */
function rate(output: string): number {
  return JSON.parse(output).end.sum_received.bits_per_second / 8e6
}

const iperf = ['iperf3', '-J', '-t', '1', '-p', String(PORT), '-c']

/** Requests to a web server through a published port, a connection each. */
function connecting(ports: number, which: (ports: number) => number, label: string): Measure {
  const first = 21000
  return {
    name: `100 requests, a connection each, through ${label}`,
    unit: 'ms',
    better: 'lower',
    goal: 1,
    rounds: 5,
    async prepare(target) {
      const range = `${first}-${first + ports - 1}`
      const others = ports > 1 ? `httpd -p ${first};` : ''
      const line = `${others} exec httpd -f -p ${first + ports - 1}`
      await target.docker('run', '-d', '--name', NAME, '-p', `${range}:${range}`, 'busybox', 'sh', '-c', line)
      return () => remove(target, NAME)
    },
    async sample(target) {
      const port = first + which(ports)
      const program = `let left=100;const next=()=>{if(!left--)return;const s=require('net').connect(${port},'127.0.0.1');s.on('close',next);s.end('GET / HTTP/1.0\\r\\n\\r\\n');s.resume()};const t=performance.now();next();process.on('exit',()=>console.log(performance.now()-t))`
      return Number(await onHost(target, process.execPath, '-e', program))
    },
  }
}

export const trafficMeasures: Measure[] = [
  {
    name: 'traffic between two containers of a network (iperf3)',
    unit: 'MB/s',
    better: 'higher',
    goal: 1,
    rounds: 5,
    prepare: pair,
    sample: async target => rate(await target.docker('exec', `${NAME}-client`, ...iperf, NAME)),
  },
  {
    name: 'traffic from the host through a published port (iperf3)',
    unit: 'MB/s',
    better: 'higher',
    goal: 1,
    rounds: 5,
    prepare: pair,
    sample: async target => rate(await onHost(target, ...iperf, '127.0.0.1')),
  },
  connecting(1, () => 0, 'a published port'),
  connecting(1000, ports => ports - 1, 'the last of 1,000 published ports'),
  {
    name: 'start of a container that publishes 1,000 ports',
    unit: 'ms',
    better: 'lower',
    limit: 2000,
    rounds: 2,
    async sample(target) {
      const range = '22000-22999'
      const body = ['create', '--name', NAME, '-p', `${range}:${range}`, 'busybox', 'sleep', '1000']
      await target.docker(...body)
      try {
        return await milliseconds(() => target.start(NAME))
      } finally {
        await remove(target, NAME)
      }
    },
  },
  {
    name: 'names resolved in a container, by one client that waits for each',
    unit: 'per second',
    better: 'higher',
    goal: 1,
    rounds: 5,
    prepare: pair,
    async sample(target) {
      const line = `for i in $(seq 300); do getent ahostsv4 ${NAME} > /dev/null; done`
      const empty = 'for i in $(seq 300); do getent ahostsv4 127.0.0.1 > /dev/null; done'
      const run = (text: string) =>
        milliseconds(() => target.docker('exec', `${NAME}-client`, 'sh', '-c', text))
      return 300_000 / Math.max(1, (await run(line)) - (await run(empty)))
    },
  },
]
