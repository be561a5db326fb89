/** Images whose layers do not compress, so that their bytes can be counted. */
import { randomBytes } from 'node:crypto'
import { dockerArchive, tarOf } from '../../src/image/fixtures.ts'
import type { Daemon } from './daemon.ts'

/** Load an image called `name` with one file of noise in each of its layers, of so many bytes. */
export async function loadNoise(daemon: Daemon, name: string, sizes: number[]): Promise<void> {
  const layers = sizes.map((size, i) => tarOf({ [`noise-${i}`]: { content: randomBytes(size) } }))
  const archive = dockerArchive(layers, { tags: [name], config: { Cmd: ['sh'] } })
  const { code, stderr } = await daemon.dockerWith({ input: archive }, 'load', '-q')
  if (code !== 0) throw new Error(`docker load: ${stderr}`)
}
