/** What it costs to watch: the CPU time of everything that is not the container's own, while each container's statistics are streamed. */
import * as fs from 'node:fs'
import * as http from 'node:http'
import * as path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { processesBelow } from '../../test/support/processes.ts'
import type { Measure } from '../measure.ts'
import { processesNamed, type Target } from '../target.ts'

/** Of which Docker gets fewer, since each takes it half a second to start; both are shown for 500 readings a second. */
const CONTAINERS = { gantry: 500, docker: 100 }
const SECONDS = 10
const USER_HZ = 100

interface Watching {
  requests: http.ClientRequest[]
  readings: number
}

const watching = new Map<Target, Watching>()

/** Seconds of CPU time that these processes have had, by process: proc(5), stat, utime and stime. */
function cpuSeconds(pids: number[]): Map<number, number> {
  return new Map(
    pids.map(pid => {
      const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1')
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      return [pid, (Number(fields[11]) + Number(fields[12])) / USER_HZ]
    }),
  )
}

/** All processes that take part: the engine's and the containers' shims. */
function workers(target: Target): number[] {
  return target.name === 'gantry'
    ? processesBelow(path.dirname(target.socket))
    : [...target.enginePids(), ...processesNamed(name => name.startsWith('containerd-shim'))]
}

/** Each reading is one line. */
function stream(target: Target, id: string, watch: Watching): Promise<void> {
  return new Promise((resolve, reject) => {
    const path = `/v1.50/containers/${id}/stats?stream=1`
    const request = http.get({ socketPath: target.socket, path, agent: false })
    watch.requests.push(request)
    request.on('error', reject)
    request.on('response', response => {
      response.on('data', (chunk: Buffer) => {
        for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) watch.readings++
        resolve()
      })
      response.on('error', () => {})
    })
  })
}

/** Start so many containers and watch each. Answers how to undo it. */
async function watch(target: Target, count: number): Promise<() => Promise<void>> {
  const ids: string[] = []
  const watch: Watching = { requests: [], readings: 0 }
  const undo = async () => {
    for (const request of watch.requests) request.destroy()
    for (const id of ids) await target.removeByForce(id)
  }
  try {
    for (let i = 0; i < count; i++) {
      ids.push(await target.create('busybox', ['sleep', '10000'], { NetworkMode: 'bridge' }))
      await target.start(ids.at(-1)!)
    }
    await Promise.all(ids.map(id => stream(target, id, watch)))
  } catch (error) {
    await undo()
    throw error
  }
  watching.set(target, watch)
  await sleep(2000)
  return undo
}

/** Seconds of CPU time that were spent, and readings that came, in {@link SECONDS}. */
async function spent(target: Target): Promise<{ cpu: number; readings: number }> {
  const pids = workers(target)
  const watch = watching.get(target)!
  const [before, first] = [cpuSeconds(pids), watch.readings]
  await sleep(SECONDS * 1000)
  const [after, last] = [cpuSeconds(pids), watch.readings]
  const cpu = pids.reduce((sum, pid) => sum + after.get(pid)! - before.get(pid)!, 0)
  return { cpu, readings: last - first }
}

export const statisticsMeasures: Measure[] = [
  {
    name: 'CPU for 500 readings of statistics a second, streamed',
    unit: '% of a core',
    better: 'lower',
    limit: 5,
    rounds: 3,
    prepare: target => watch(target, target.name === 'gantry' ? CONTAINERS.gantry : CONTAINERS.docker),
    async sample(target) {
      const { cpu, readings } = await spent(target)
      return (cpu / readings) * 500 * 100
    },
  },
  {
    name: 'CPU while the statistics of idle containers are streamed (100, or --containers)',
    unit: '% of a core',
    better: 'lower',
    goal: 1,
    rounds: 5,
    prepare: (target, { containers }) => watch(target, containers),
    sample: async target => ((await spent(target)).cpu / SECONDS) * 100,
  },
]
