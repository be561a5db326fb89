import type { Measure } from '../measure.ts'
import { memory, processesNamed, type Target } from '../target.ts'

const CONTAINERS = 100

async function idleContainers(target: Target): Promise<() => Promise<void>> {
  const ids: string[] = []
  for (let i = 0; i < CONTAINERS; i++) {
    const id = await target.create('busybox', ['sleep', '1000'])
    ids.push(id)
    await target.start(id)
  }
  return async () => {
    for (const id of ids) await target.removeByForce(id)
  }
}

const sum = (values: number[]) => values.reduce((total, value) => total + value, 0)

/** Both need the same 100 containers, so they are started once for each engine and measured in one go. */
export const footprintMeasures: Measure[] = [
  {
    name: `engine's resident memory with ${CONTAINERS} idle containers`,
    unit: 'MB',
    better: 'lower',
    limit: 120,
    rounds: 1,
    prepare: idleContainers,
    sample: async target => sum(target.enginePids().map(pid => memory(pid, 'Rss'))),
  },
  {
    name: 'shim, private resident memory per idle container',
    unit: 'MB',
    better: 'lower',
    limit: 1,
    rounds: 1,
    prepare: idleContainers,
    async sample(target) {
      const shims = processesNamed(name =>
        name.startsWith(target.name === 'gantry' ? 'gantry-shim' : 'containerd-shim'),
      )
      return sum(shims.map(pid => memory(pid, 'Private_Clean', 'Private_Dirty'))) / CONTAINERS
    },
  },
]
