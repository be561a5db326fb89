import type { Measure } from '../measure.ts'
import { milliseconds, type Target } from '../target.ts'

const NAME = 'bench-exec'

async function idleContainer(target: Target): Promise<() => Promise<void>> {
  const id = await target.create('busybox', ['sleep', '1000'], { NetworkMode: 'none' }, NAME)
  await target.start(id)
  return () => target.removeByForce(id)
}

export const execMeasures: Measure[] = [
  {
    name: 'API: exec create, start, inspect of `true`',
    unit: 'ms',
    better: 'lower',
    goal: 5,
    rounds: 30,
    prepare: idleContainer,
    sample: target =>
      milliseconds(async () => {
        const body = { Cmd: ['true'], AttachStdout: true, AttachStderr: true }
        const { Id } = await target.json<{ Id: string }>('POST', `/v1.50/containers/${NAME}/exec`, body)
        await target.request('POST', `/v1.50/exec/${Id}/start`, { Detach: false, Tty: false })
        const { ExitCode } = await target.json<{ ExitCode: number }>('GET', `/v1.50/exec/${Id}/json`)
        if (ExitCode !== 0) throw new Error(`${target.name}: exec of true ended with ${ExitCode}`)
      }),
  },
  {
    name: '`docker exec C true`',
    unit: 'ms',
    better: 'lower',
    goal: 2.5,
    rounds: 20,
    prepare: idleContainer,
    sample: target => milliseconds(() => target.docker('exec', NAME, 'true')),
  },
]
