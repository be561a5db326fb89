/**
 * `sh scripts/node bench/copiers.ts --registry HOST:PORT --debian debian.tar [--skopeo CMD] [--crane CMD] [--rounds N]`: Gantry beside
 * skopeo and crane, which copy images without keeping them; in turns, medians as a Markdown table. A program that is neither named nor on the
 * PATH is left out. All of them get the same archive to push; to pull means to write an archive to nowhere for them, and for Gantry to have
 * the image ready to run.
 */
import { execFileSync, spawn } from 'node:child_process'
import * as fs from 'node:fs'
import { parseArgs } from 'node:util'
import { Daemon } from '../test/support/daemon.ts'
import { debianArchive, layersArchive, withFile } from './measures/ship.ts'
import { milliseconds, settleDisk, Target } from './target.ts'

const { values: options } = parseArgs({
  options: {
    registry: { type: 'string' },
    debian: { type: 'string' },
    skopeo: { type: 'string' },
    crane: { type: 'string' },
    rounds: { type: 'string', default: '5' },
  },
})
const { registry, debian } = options
if (registry === undefined || debian === undefined) throw new Error('needs --registry and --debian')

/** Copies between an archive and the registry. */
interface Copier {
  name: string
  /** Why it is not measured. */
  missing?: string
  /** What has to be done before {@link push}, and is not measured. */
  load(archive: string): Promise<unknown>
  push(archive: string, image: string): Promise<unknown>
  pull(image: string): Promise<unknown>
  forget(image: string): Promise<unknown>
}

/** Standard input is the archive, standard output goes nowhere: so it matters not which files the program sees. */
function program(name: string, path: string | undefined, push: string[], pull: string[]): Copier {
  const command = (path ?? name).split(' ')
  const run = (args: string[], image: string, archive = '/dev/null'): Promise<void> =>
    new Promise((resolve, reject) => {
      const input = fs.openSync(archive, 'r')
      const words = [...command.slice(1), ...args.map(word => word.replace('IMAGE', image))]
      const child = spawn(command[0]!, words, { stdio: [input, 'ignore', 'pipe'] })
      fs.closeSync(input)
      let said = ''
      child.stderr!.on('data', chunk => (said += chunk))
      child.on('error', reject)
      child.on('close', code => (code === 0 ? resolve() : reject(new Error(`${name}: ${said}`))))
    })
  const nothing = async () => {}
  return {
    name,
    ...(isThere(command) ? {} : { missing: `no ${name} on the PATH, and no --${name}` }),
    load: nothing,
    push: (archive, image) => run(push, image, archive),
    pull: image => run(pull, image),
    forget: nothing,
  }
}

function isThere(command: string[]): boolean {
  try {
    execFileSync(command[0]!, [...command.slice(1), '--help'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

const network = ['--bridge', 'none', '--insecure-registry', registry]
const daemon = await Daemon.start({ parent: '/var/tmp', isolateNetwork: false, args: network })
const target = new Target('gantry', daemon.socket)
const gantry: Copier = {
  name: 'Gantry',
  load: archive => target.docker('load', '-q', '-i', archive),
  push: (_, image) => target.docker('push', '-q', image),
  pull: image => target.docker('pull', '-q', image),
  forget: image => target.docker('rmi', '-f', image),
}
const skopeo = program(
  'skopeo',
  options.skopeo,
  ['copy', '-q', '--dest-tls-verify=false', 'docker-archive:/dev/stdin', 'docker://IMAGE'],
  ['copy', '-q', '--src-tls-verify=false', 'docker://IMAGE', 'docker-archive:/dev/stdout'],
)
const crane = program(
  'crane',
  options.crane,
  ['push', '--insecure', '/dev/stdin', 'IMAGE'],
  ['pull', '--insecure', 'IMAGE', '/dev/stdout'],
)

const images: [name: string, make: (image: string) => Buffer][] = [
  ['a Debian image', image => debianArchive(debian, image)],
  ['20 layers of 10 MB', layersArchive],
]

let count = 0
try {
  for (const { missing } of [skopeo, crane]) if (missing) console.log(`(${missing})`)
  const copiers = [gantry, skopeo, crane].filter(({ missing }) => missing === undefined)
  console.log(`| measure | ${copiers.map(({ name }) => name).join(' | ')} |`)
  console.log(`| --- | ${copiers.map(() => '---').join(' | ')} |`)
  for (const [what, make] of images) {
    const pushes = copiers.map((): number[] => [])
    const pulls = copiers.map((): number[] => [])
    for (let round = 0; round < Number(options.rounds); round++) {
      for (const [i, copier] of copiers.entries()) {
        const image = `${registry}/bench/copied-${process.pid}-${count++}:1`
        await withFile([make(image)], async archive => {
          await copier.load(archive)
          settleDisk()
          pushes[i]!.push(await milliseconds(() => copier.push(archive, image)))
        })
        await copier.forget(image)
        settleDisk()
        pulls[i]!.push(await milliseconds(() => copier.pull(image)))
        await copier.forget(image)
      }
    }
    for (const [verb, samples] of [['push', pushes] as const, ['pull', pulls] as const]) {
      console.log(`| ${verb} of ${what} | ${samples.map(median).join(' | ')} |`)
    }
  }
  target.close()
} finally {
  await daemon.remove()
}

function median(samples: number[]): string {
  return `${samples.sort((a, b) => a - b)[samples.length >> 1]!.toFixed(0)} ms`
}
