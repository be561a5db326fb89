import type { Measure } from '../measure.ts'
import { milliseconds, type Target } from '../target.ts'

async function lifecycle(target: Target, host: object): Promise<void> {
  const id = await target.create('busybox', ['true'], host)
  await target.start(id)
  await target.request('POST', `/v1.50/containers/${id}/wait`)
  await target.request('DELETE', `/v1.50/containers/${id}`)
}

const api = (name: string, host: object): Measure => ({
  name: `API: create, start, wait, remove of \`busybox true\`, ${name}`,
  unit: 'ms',
  better: 'lower',
  goal: 10,
  rounds: 30,
  sample: target => milliseconds(() => lifecycle(target, host)),
})

const cli = (goal: number, ...flags: string[]): Measure => ({
  name: `\`docker ${['run', '--rm', ...flags].join(' ')} busybox true\``,
  unit: 'ms',
  better: 'lower',
  goal,
  rounds: 20,
  sample: target => milliseconds(() => target.docker('run', '--rm', ...flags, 'busybox', 'true')),
})

/** 100 detached containers started by 8 clients at once. */
const many: Measure = {
  name: '100 detached containers started from 8 clients at once',
  unit: 'per second',
  better: 'higher',
  goal: 8,
  rounds: 2,
  async sample(target) {
    const clients = target.withConnections(8)
    const ids: string[] = []
    let left = 100
    const elapsed = await milliseconds(() =>
      Promise.all(
        Array.from({ length: 8 }, async () => {
          while (left-- > 0) {
            const id = await clients.create('busybox', ['sleep', '1000'])
            ids.push(id)
            await clients.start(id)
          }
        }),
      ),
    )
    await Promise.all(ids.map(id => clients.removeByForce(id)))
    clients.close()
    return 100_000 / elapsed
  },
}

export const lifecycleMeasures: Measure[] = [
  api('network none', { NetworkMode: 'none' }),
  cli(6, '--network', 'none'),
  many,
]

export const networkMeasures: Measure[] = [api('default bridge', {}), cli(8), cli(8, '-p', '80')]
