/**
 * `npm run bench -- --docker /run/docker.sock [--debian debian.tar] [--registry HOST:PORT] [--only TEXT] [--rounds N]
 * [--containers N]`: Gantry beside a real Docker, in one run, alternating sample by sample; medians and their ratio as a
 * Markdown table. Without `--docker`, Gantry alone. With a registry (for `--only pull` and `--only push`), Gantry's daemon stands in the host's network and has no bridge.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { busyboxChanges, busyboxRootfs } from '../test/support/busybox.ts'
import { Daemon } from '../test/support/daemon.ts'
import type { Context, Measure } from './measure.ts'
import { buildMeasures } from './measures/build.ts'
import { byteMeasures } from './measures/bytes.ts'
import { execMeasures } from './measures/exec.ts'
import { footprintMeasures } from './measures/footprint.ts'
import { lifecycleMeasures, networkMeasures } from './measures/lifecycle.ts'
import { trafficMeasures } from './measures/network.ts'
import { restartMeasure } from './measures/restart.ts'
import { shipMeasures } from './measures/ship.ts'
import { statisticsMeasures } from './measures/statistics.ts'
import { Target } from './target.ts'

/** Milliseconds before each sample. */
const PAUSE = 150

const { values: options } = parseArgs({
  options: {
    docker: { type: 'string' },
    debian: { type: 'string' },
    registry: { type: 'string' },
    only: { type: 'string', default: '' },
    rounds: { type: 'string' },
    containers: { type: 'string', default: '100' },
  },
})

const measures: Measure[] = [
  ...lifecycleMeasures,
  ...execMeasures,
  ...networkMeasures,
  ...trafficMeasures,
  ...footprintMeasures,
  ...byteMeasures,
  ...shipMeasures,
  ...buildMeasures,
  ...statisticsMeasures,
  restartMeasure,
].filter(measure => measure.name.includes(options.only))

// The registry is reached from the host's own network, which stays as it is.
const network =
  options.registry === undefined
    ? {}
    : { isolateNetwork: false, args: ['--bridge', 'none', '--insecure-registry', options.registry] }
const daemon = await Daemon.start({ parent: '/var/tmp', ...network })
try {
  const gantry = new Target('gantry', daemon.socket)
  gantry.enginePids = () => [daemon.pid!]
  const targets = [gantry]
  if (options.docker !== undefined) {
    const docker = new Target('docker', options.docker.replace('unix://', ''))
    await docker.docker('import', ...busyboxChanges, busyboxRootfs(), 'busybox:latest')
    targets.push(docker)
  }
  const context: Context = {
    debianArchive: options.debian,
    containers: Number(options.containers),
    registry: options.registry,
    publisher: targets.at(-1)!,
    async restartGantry() {
      await daemon.stop('SIGKILL')
      const start = performance.now()
      await daemon.start()
      return performance.now() - start
    },
  }

  console.log('| measure | Docker | Gantry | ratio | goal |\n| --- | --- | --- | --- | --- |')
  for (const measure of measures) console.log(await row(measure, targets, context))
  for (const target of targets) target.close()
} finally {
  await daemon.remove()
}

async function row(measure: Measure, targets: Target[], context: Context): Promise<string> {
  const compared = measure === restartMeasure ? targets.slice(0, 1) : targets
  const samples = new Map<Target, number[]>(compared.map(target => [target, []]))
  try {
    const undo = await Promise.all(compared.map(target => measure.prepare?.(target, context)))
    try {
      for (let round = 0; round < Number(options.rounds ?? measure.rounds); round++) {
        for (const [target, values] of samples) {
          // What the other one still tidies up after its answer is not to be paid here.
          await sleep(PAUSE)
          values.push(await measure.sample(target, context))
        }
      }
    } finally {
      for (const each of undo) await each?.()
    }
  } catch (error) {
    return `| ${measure.name} | | ${String(error).split('\n')[0]} | | |`
  }
  const [gantry, docker] = compared.map(target => median(samples.get(target)!))
  const ratio =
    docker === undefined ? undefined : measure.better === 'lower' ? docker / gantry! : gantry! / docker
  const goal =
    measure.limit === undefined ? `${measure.goal} times` : `under ${measure.limit} ${measure.unit}`
  const show = (value: number | undefined) =>
    value === undefined ? '' : `${value.toPrecision(3)} ${measure.unit}`
  return `| ${measure.name} | ${show(docker)} | ${show(gantry)} | ${ratio?.toFixed(1) ?? ''} | ${goal} |`
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)]!
}
