/** Images to a registry and back, from one registry that both engines reach. */
import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { dockerArchive, tarOf } from '../../src/image/fixtures.ts'
import { TarParser } from '../../src/image/tar/parser.ts'
import type { Context, Measure } from '../measure.ts'
import { milliseconds, settleDisk, type Target } from '../target.ts'

const LAYERS = 20
const LAYER_BYTES = 10_000_000

/** An image that nobody has seen before, so that none of its layers is anywhere yet. */
type Fresh = (target: Target, name: string, context: Context) => Promise<void>

/** The Debian root file system as one layer, with a file of its own in it. */
const freshDebian: Fresh = (target, name, { debianArchive }) => {
  if (debianArchive === undefined) throw new Error('needs --debian ARCHIVE, made by `docker save`')
  return withFile(stamped(debianArchive), file => target.docker('import', file, name))
}

/** The pieces of the Debian layer with a file of its own. */
function stamped(archive: string): [stamp: Buffer, layer: Buffer] {
  return [tarOf({ stamp: randomBytes(16).toString('hex') }).subarray(0, 1024), firstLayer(archive)]
}

const freshLayers: Fresh = (target, name) =>
  withFile([layersArchive(name)], file => target.docker('load', '-q', '-i', file))

/** What `docker save` would have written of such images, called `name`. */
export function debianArchive(archive: string, name: string): Buffer {
  return dockerArchive([Buffer.concat(stamped(archive))], { tags: [name] })
}

/** Layers of noise: what is measured is the way of the bytes. */
export function layersArchive(name: string): Buffer {
  const layers = Array.from({ length: LAYERS }, (_, i) =>
    tarOf({ [`noise-${i}`]: { content: randomBytes(LAYER_BYTES) } }),
  )
  return dockerArchive(layers, { tags: [name] })
}

export async function withFile(parts: Buffer[], work: (file: string) => Promise<unknown>): Promise<void> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gantry-bench-'))
  const file = path.join(folder, 'archive.tar')
  try {
    for (const part of parts) fs.appendFileSync(file, part)
    await work(file)
  } finally {
    fs.rmSync(folder, { recursive: true })
  }
}

/** The tar of the lowest layer in a `docker save` archive. */
function firstLayer(archive: string): Buffer {
  const members = new Map<string, Buffer[]>()
  let parts: Buffer[] = []
  const parser = new TarParser({
    entry: ({ name }) => members.set(name, (parts = [])),
    data: bytes => parts.push(bytes),
    end: () => {},
  })
  parser.push(fs.readFileSync(archive))
  const read = (name: string) => Buffer.concat(members.get(name) ?? [])
  const [image] = JSON.parse(read('manifest.json').toString()) as { Layers: string[] }[]
  return read(image!.Layers[0]!)
}

let count = 0

/** A name in the registry that was not there before. */
function newName({ registry }: Context): string {
  if (registry === undefined) throw new Error('needs --registry HOST:PORT, which both engines reach')
  return `${registry}/bench/image-${process.pid}-${count++}:1`
}

/** Names that {@link publish} gave, by what is under them: both engines pull the same bytes. */
const published = new Map<Fresh, Promise<string>>()

/** Push a fresh image from the engine that all are compared with. */
function publish(fresh: Fresh, context: Context): Promise<string> {
  const work = async () => {
    const name = newName(context)
    const { publisher } = context
    await fresh(publisher, name, context)
    await publisher.docker('push', '-q', name)
    await publisher.docker('rmi', name)
    return name
  }
  if (!published.has(fresh)) published.set(fresh, work())
  return published.get(fresh)!
}

function pull(name: string, goal: number, fresh: Fresh): Measure {
  return {
    name,
    unit: 'ms',
    better: 'lower',
    goal,
    rounds: 7,
    async prepare(target, context) {
      const image = await publish(fresh, context)
      return async () => {
        await target.docker('rmi', '-f', image)
      }
    },
    async sample(target, context) {
      const image = await publish(fresh, context)
      await target.docker('rmi', '-f', image).catch(() => {})
      settleDisk()
      return milliseconds(() => target.docker('pull', '-q', image))
    },
  }
}

function push(name: string, goal: number, fresh: Fresh): Measure {
  return {
    name,
    unit: 'ms',
    better: 'lower',
    goal,
    rounds: 5,
    async sample(target, context) {
      const image = newName(context)
      await fresh(target, image, context)
      settleDisk()
      try {
        return await milliseconds(() => target.docker('push', '-q', image))
      } finally {
        await target.docker('rmi', '-f', image)
      }
    },
  }
}

export const shipMeasures: Measure[] = [
  pull('pull of a Debian image', 3, freshDebian),
  pull('pull of 20 layers of 10 MB', 2, freshLayers),
  {
    name: 'pull of what is there already',
    unit: 'ms',
    better: 'lower',
    goal: 3,
    rounds: 15,
    async prepare(target, context) {
      const image = await publish(freshDebian, context)
      await target.docker('pull', '-q', image)
      return async () => {
        await target.docker('rmi', '-f', image)
      }
    },
    // Asked for by the API: the docker client alone takes as long as the pull.
    async sample(target, context) {
      const [name, tag] = (await publish(freshDebian, context)).split(/:(?=[^:]*$)/)
      const query = new URLSearchParams({ fromImage: name!, tag: tag! })
      return milliseconds(() => target.request('POST', `/v1.50/images/create?${query}`))
    },
  },
  push('push of a Debian image that was made here', 2, freshDebian),
  push('push of 20 layers of 10 MB that were made here', 2, freshLayers),
]
