/** What a container's network carries. Each engine's host talks to its own container: Gantry's from the namespace it runs in. */
import { execFile, spawn } from 'node:child_process'
import * as fs from 'node:fs'
import { serversArchive } from '../../test/support/servers-image.ts'
import type { Measure } from '../measure.ts'
import { milliseconds, type Target } from '../target.ts'

/** Of this run alone: what an interrupted one left does not stand in the way. */
const NAME = `bench-network-${process.pid}`
const CLIENT = `${NAME}-client`
const IMAGE = 'debian:servers'
const PORT = 5201
/** Of the link between an engine's host and {@link neighbour}: RFC 2544 keeps these addresses for measuring. */
const HOST = '198.18.77.1'
const NEIGHBOUR = '198.18.77.2'

type Undo = () => Promise<void>

const removing =
  (target: Target, ...names: string[]): Undo =>
  async () => {
    for (const name of names) await target.removeByForce(name)
  }

/** Who asks and who answers have a processor each: left to itself, where they sit decides more than what lies between them. */
const ASKS = ['taskset', '-c', '0']
const ANSWERS = ['--cpuset-cpus', '1']

/** A command in the network namespace of a process; its standard output. */
function within(pid: number, ...command: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(
      'nsenter',
      ['-t', String(pid), '-n', ...ASKS, ...command],
      { maxBuffer: 1 << 24 },
      (error, stdout, stderr) => {
        if (error) reject(new Error(`${command.slice(0, 3).join(' ')}: ${stderr || stdout}`))
        else resolve(stdout)
      },
    )
  })
}

const hostPid = (target: Target): number => target.enginePids()[0]!

async function containerPid(target: Target, name: string): Promise<number> {
  const { State } = await target.json<{ State: { Pid: number } }>('GET', `/v1.50/containers/${name}/json`)
  return State.Pid
}

/** Number that a program of Node's prints in the network of a process. */
const script = async (pid: number, program: string): Promise<number> =>
  Number(await within(pid, process.execPath, '-e', program))

const neighbours = new Map<Target, number>()

/** Another host, one cable away from the engine's: a namespace, which takes the cable along when it ends. */
async function neighbour(target: Target): Promise<Undo> {
  const holder = spawn('unshare', ['-n', 'sleep', '1000'], { stdio: 'ignore' })
  const pid = holder.pid!
  const own = fs.readlinkSync('/proc/self/ns/net')
  while (fs.readlinkSync(`/proc/${pid}/ns/net`) === own) await new Promise(resolve => setTimeout(resolve, 5))
  const host = hostPid(target)
  const link = `bench${process.pid}`.slice(0, 15)
  const ip = (where: number, line: string) => within(where, 'ip', ...line.split(' '))
  await ip(host, `link add ${link} type veth peer name eth0 netns ${pid}`)
  await ip(host, `addr add ${HOST}/30 dev ${link}`)
  await ip(host, `link set ${link} up`)
  await ip(pid, `addr add ${NEIGHBOUR}/30 dev eth0`)
  await ip(pid, 'link set eth0 up')
  neighbours.set(target, pid)
  return async () => {
    await ip(host, `link del ${link}`)
    const ended = new Promise(resolve => holder.once('exit', resolve))
    holder.kill()
    await ended
  }
}

/** Two containers of a network, one of which serves iperf3 and publishes its port. */
async function pair(target: Target): Promise<Undo> {
  if ((await target.docker('images', '-q', IMAGE)) === '') {
    if (!fs.existsSync(serversArchive)) throw new Error(`needs ${IMAGE}, which test/databases.test.ts makes`)
    await target.docker('load', '-q', '-i', serversArchive)
  }
  await target.docker('network', 'create', NAME)
  const on = ['run', '-d', '--network', NAME]
  await target.docker(...on, ...ANSWERS, '--name', NAME, '-p', `${PORT}:${PORT}`, IMAGE, 'iperf3', '-s')
  await target.docker(...on, '--cpuset-cpus', '0', '--name', CLIENT, IMAGE, 'sleep', '1000')
  return async () => {
    await removing(target, NAME, CLIENT)()
    await target.docker('network', 'rm', NAME)
  }
}

const both =
  (...steps: ((target: Target) => Promise<Undo>)[]) =>
  async (target: Target): Promise<Undo> => {
    const undo: Undo[] = []
    for (const step of steps) undo.push(await step(target))
    return async () => {
      for (const each of undo.toReversed()) await each()
    }
  }

/** MB/s that a second of iperf3 received. */
function rate(output: string): number {
  return JSON.parse(output).end.sum_received.bits_per_second / 8e6
}

const iperf = ['iperf3', '-J', '-t', '1', '-p', String(PORT), '-c']

const traffic = (
  between: string,
  prepare: Measure['prepare'],
  run: (target: Target) => Promise<string>,
): Measure => ({
  name: `traffic ${between} (iperf3)`,
  unit: 'MB/s',
  better: 'higher',
  goal: 1,
  rounds: 5,
  prepare: prepare!,
  sample: async target => rate(await run(target)),
})

const MANY = 1000
const FIRST = 21000

/** A container that publishes so many ports, with a web server behind the first and the last. */
const webServer =
  (ports: number) =>
  async (target: Target): Promise<Undo> => {
    const range = `${FIRST}-${FIRST + ports - 1}`
    const first = ports > 1 ? `httpd -p ${FIRST};` : ''
    const line = `${first} exec httpd -f -p ${FIRST + ports - 1}`
    const run = ['run', '-d', '--name', NAME, ...ANSWERS, '-p', `${range}:${range}`]
    await target.docker(...run, 'busybox', 'sh', '-c', line)
    return removing(target, NAME)
  }

/** Requests one after the other, a connection each; milliseconds for all. */
const requests = (address: string, port: number): string =>
  `let left=200;const next=()=>{if(!left--)return;const s=require('net').connect(${port},'${address}');s.on('close',next);s.end('GET / HTTP/1.0\\r\\n\\r\\n');s.resume()};const t=performance.now();next();process.on('exit',()=>console.log(performance.now()-t))`

const connecting = (
  label: string,
  ports: number,
  prepare: Measure['prepare'],
  run: (target: Target) => Promise<number>,
): Measure => ({
  name: `200 requests, a connection each, ${label}`,
  unit: 'ms',
  better: 'lower',
  goal: 1,
  rounds: ports > 1 ? 5 : 9,
  prepare: prepare!,
  sample: run,
})

/** An echo of `cat` behind a published port. */
async function echo(target: Target): Promise<Undo> {
  const run = ['run', '-d', '--name', NAME, ...ANSWERS, '-p', `${FIRST}:7`]
  await target.docker(...run, 'busybox', 'nc', '-ll', '-p', '7', '-e', 'cat')
  return removing(target, NAME)
}

/** Bytes there and back on one connection; milliseconds for all. */
const roundTrips = (address: string): string =>
  `let left=2000;const s=require('net').connect(${FIRST},'${address}',()=>{s.setNoDelay(true);s.write('x')});let t=performance.now();s.on('data',()=>{if(--left)s.write('x');else{console.log(performance.now()-t);s.destroy()}})`

/** Questions for an A record over UDP, so many on their way at a time; answers a second. */
const questions = (name: string, atOnce: number): string =>
  `const q=Buffer.concat([Buffer.from([0,1,1,0,0,1,0,0,0,0,0,0]),Buffer.from([${name.length}]),Buffer.from('${name}'),Buffer.from([0,0,1,0,1])]);const s=require('dgram').createSocket('udp4');let n=0;const t=performance.now();s.on('message',m=>{if(m.length<q.length+16)throw new Error('no answer');if(++n===10000){console.log(1e7/(performance.now()-t));s.close()}else s.send(q)});s.connect(53,'127.0.0.11',()=>{for(let i=0;i<${atOnce};i++)s.send(q)});`

const asking = (atOnce: number, label: string): Measure => ({
  name: `names that a container resolves, ${label}`,
  unit: 'per second',
  better: 'higher',
  goal: 1,
  rounds: 5,
  prepare: pair,
  sample: async target => script(await containerPid(target, CLIENT), questions(NAME, atOnce)),
})

async function startedIn(target: Target, mode: string): Promise<number> {
  const id = await target.create('busybox', ['sleep', '1000'], { NetworkMode: mode })
  try {
    return await milliseconds(() => target.start(id))
  } finally {
    await target.removeByForce(id)
  }
}

export const trafficMeasures: Measure[] = [
  {
    name: 'a start on the default bridge, less one without a network',
    unit: 'ms',
    better: 'lower',
    limit: 4,
    rounds: 40,
    sample: async target => (await startedIn(target, 'default')) - (await startedIn(target, 'none')),
  },
  traffic('between two containers of a network', pair, target =>
    target.docker('exec', CLIENT, ...iperf, NAME),
  ),
  traffic('from the host through a published port', pair, target =>
    within(hostPid(target), ...iperf, '127.0.0.1'),
  ),
  traffic('from another host through a published port', both(pair, neighbour), target =>
    within(neighbours.get(target)!, ...iperf, HOST),
  ),
  {
    name: '2,000 round trips from another host through a published port',
    unit: 'ms',
    better: 'lower',
    goal: 1,
    rounds: 9,
    prepare: both(echo, neighbour),
    sample: target => script(neighbours.get(target)!, roundTrips(HOST)),
  },
  connecting('from the host', 1, webServer(1), target =>
    script(hostPid(target), requests('127.0.0.1', FIRST)),
  ),
  connecting('from another host', 1, both(webServer(1), neighbour), target =>
    script(neighbours.get(target)!, requests(HOST, FIRST)),
  ),
  connecting('to the first of 1,000 published ports', MANY, webServer(MANY), target =>
    script(hostPid(target), requests('127.0.0.1', FIRST)),
  ),
  connecting('to the last of 1,000 published ports', MANY, webServer(MANY), target =>
    script(hostPid(target), requests('127.0.0.1', FIRST + MANY - 1)),
  ),
  {
    name: 'start of a container that publishes 1,000 ports',
    unit: 'ms',
    better: 'lower',
    limit: 2000,
    rounds: 2,
    async sample(target) {
      const range = '22000-22999'
      await target.docker('create', '--name', NAME, '-p', `${range}:${range}`, 'busybox', 'sleep', '1000')
      try {
        return await milliseconds(() => target.start(NAME))
      } finally {
        await target.removeByForce(NAME)
      }
    },
  },
  asking(1, 'one after the other'),
  asking(32, '32 at a time'),
]
