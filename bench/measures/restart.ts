import type { Measure } from '../measure.ts'

/** Gantry's own: another Docker is not restarted by a benchmark. */
export const restartMeasure: Measure = {
  name: 'daemon start until it answers, with 200 stopped and 50 running containers',
  unit: 'ms',
  better: 'lower',
  limit: 500,
  rounds: 5,
  async prepare(target) {
    const ids: string[] = []
    for (let i = 0; i < 250; i++) {
      const id = await target.create('busybox', i < 200 ? ['true'] : ['sleep', '1000'])
      ids.push(id)
      await target.start(id)
    }
    return async () => {
      for (const id of ids) await target.removeByForce(id)
    }
  },
  sample: (_target, context) => context.restartGantry(),
}
