import { spawn } from 'node:child_process'
import type { Measure } from '../measure.ts'
import { milliseconds, settleDisk, type Target } from '../target.ts'

const LOG_BYTES = 200_000_000

/** Bytes of standard output that the docker client delivers from a run that is attached. */
function attachedOutput(target: Target, ...cmd: string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn('docker', ['run', '--rm', '--network', 'none', 'busybox', ...cmd], {
      env: { ...process.env, DOCKER_HOST: `unix://${target.socket}` },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let bytes = 0
    child.stdout.on('data', chunk => {
      bytes += chunk.length
    })
    child.on('error', reject)
    child.on('close', () => resolve(bytes))
  })
}

export const byteMeasures: Measure[] = [
  {
    name: '`docker load` of a Debian image',
    unit: 'ms',
    better: 'lower',
    goal: 3,
    rounds: 5,
    async sample(target, context) {
      if (context.debianArchive === undefined)
        throw new Error('needs --debian ARCHIVE, made by `docker save`')
      // The image must not be there, or nothing is unpacked.
      await target.docker('rmi', '-f', 'debian:bookworm-slim').catch(() => {})
      settleDisk()
      return milliseconds(() => target.docker('load', '-q', '-i', context.debianArchive!))
    },
  },
  {
    name: 'a container printing 200 MB of log lines, attached',
    unit: 'MB/s',
    better: 'higher',
    goal: 2,
    rounds: 3,
    async sample(target) {
      const line = 'the quick brown fox jumps over the lazy dog, and then once more for good measure'
      const command = `yes '${line}' | head -c ${LOG_BYTES}`
      let bytes = 0
      const elapsed = await milliseconds(async () => {
        bytes = await attachedOutput(target, 'sh', '-c', command)
      })
      if (bytes !== LOG_BYTES) throw new Error(`${target.name}: ${bytes} bytes arrived of ${LOG_BYTES}`)
      return LOG_BYTES / 1000 / elapsed
    },
  },
]
