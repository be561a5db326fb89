/** Builds through the same client: BuildKit's protocol, and the classic builder's. */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { memoryPeak } from '../../test/support/memory.ts'
import type { Measure } from '../measure.ts'
import { milliseconds, settleDisk, type Target } from '../target.ts'

const IMAGE = 'bench-build'

/** Files of the large context, of 10 kB each. */
const FILES = 10_000

interface Build {
  dockerfile: string
  args?: string[]
  /** The builder behind `POST /build`, which no longer is the client's own choice. */
  classic?: boolean
  /** Build in this folder; in a new one with nothing but the Dockerfile where it is absent. */
  folder?: string
}

/** Milliseconds of a build. Its image stays, as it does for whoever builds again and again, until {@link cleanUp}. */
async function build(target: Target, options: Build): Promise<number> {
  const { dockerfile, args = [], classic = false, folder = makeFolder() } = options
  fs.writeFileSync(path.join(folder, 'Dockerfile'), dockerfile)
  const env = { DOCKER_BUILDKIT: classic ? '0' : '1', BUILDX_NO_DEFAULT_ATTESTATIONS: '1' }
  try {
    let id = ''
    settleDisk()
    const elapsed = await milliseconds(async () => {
      id = await target.dockerWith(env, 'build', '-q', '-t', IMAGE, ...args, folder)
    })
    if (id.startsWith('sha256:')) built.push({ target, id: id.trim() })
    return elapsed
  } finally {
    if (options.folder === undefined) fs.rmSync(folder, { recursive: true })
  }
}

const makeFolder = (): string => fs.mkdtempSync('/var/tmp/gantry-bench-build-')

/** A folder that no engine has seen before, written through to the disk. */
function largeContext(): string {
  const folder = makeFolder()
  for (let index = 0; index < FILES; index++) {
    const below = path.join(folder, `files/${Math.floor(index / 100)}`)
    if (index % 100 === 0) fs.mkdirSync(below, { recursive: true })
    fs.writeFileSync(path.join(below, `${index}`), randomBytes(10_000))
  }
  const fd = fs.openSync(folder, 'r')
  fs.fsyncSync(fd)
  fs.closeSync(fd)
  made.push(folder)
  return folder
}

const made: string[] = []
const built: { target: Target; id: string }[] = []

/** Not before all is measured: ext4 is slow to make files where many have just been removed. */
async function cleanUp(): Promise<void> {
  for (const folder of made.splice(0)) fs.rmSync(folder, { recursive: true })
  for (const { target, id } of new Map(
    built.splice(0).map(each => [`${each.target.name} ${each.id}`, each]),
  ).values())
    await target.docker('rmi', '-f', id)
}

const steps = Array.from({ length: 20 }, (_, index) => `RUN echo ${index} > /step-${index}\n`)
const TWENTY = `FROM busybox\n${steps.join('')}`
const COPY = 'FROM busybox\nCOPY files /files\n'

/** Nothing but a loop of the shell, of about a second. */
const WORK = 'RUN i=0; while [ $i -lt 1000000 ]; do i=$((i+1)); done; echo $i > /done\n'
const FOUR = [
  ...['a', 'b', 'c', 'd'].map(name => `FROM busybox AS ${name}\n${WORK.replace('/done', `/${name}`)}`),
  'FROM busybox\n',
  ...['a', 'b', 'c', 'd'].map(name => `COPY --from=${name} /${name} /\n`),
].join('')

const measure = (name: string, goal: number, rounds: number, more: Pick<Measure, 'prepare' | 'sample'>) => ({
  prepare: async () => cleanUp,
  name,
  unit: 'ms' as const,
  better: 'lower' as const,
  goal,
  rounds,
  ...more,
})

const twenty = (goal: number, classic: boolean): Measure =>
  measure(`${title(classic)}: 20 \`RUN\` steps without cache`, goal, 5, {
    sample: target => build(target, { dockerfile: TWENTY, args: ['--no-cache'], classic }),
  })

const context = (goal: number, classic: boolean): Measure =>
  measure(`${title(classic)}: a new context of ${FILES} files (100 MB)`, goal, 5, {
    sample: target => build(target, { dockerfile: COPY, folder: largeContext(), classic }),
  })

const title = (classic: boolean): string => (classic ? 'classic build' : 'build')

/** Each engine's own large context. */
const contexts = new Map<Target, string>()

async function prepareContext(target: Target): Promise<() => Promise<void>> {
  const folder = largeContext()
  contexts.set(target, folder)
  await build(target, { dockerfile: COPY, folder })
  return cleanUp
}

const memory = (what: string, work: (target: Target, folder: string) => Promise<void>): Measure => ({
  name: `engine's highest resident memory while it ${what}`,
  unit: 'MB',
  better: 'lower',
  limit: 200,
  rounds: 1,
  prepare: async () => cleanUp,
  async sample(target) {
    const folder = makeFolder()
    made.push(folder)
    const peak = memoryPeak(target.enginePids())
    await work(target, folder)
    return peak()
  },
})

export const buildMeasures: Measure[] = [
  twenty(6, false),
  twenty(6, true),
  measure('build: the same again, all from the cache', 1, 10, {
    async prepare(target) {
      await build(target, { dockerfile: TWENTY })
      return cleanUp
    },
    sample: target => build(target, { dockerfile: TWENTY }),
  }),
  context(2, false),
  context(2, true),
  measure('build: the large context with one byte changed', 3, 5, {
    prepare: prepareContext,
    async sample(target) {
      const folder = contexts.get(target)!
      const fd = fs.openSync(path.join(folder, 'files/50/5050'), 'r+')
      fs.writeSync(fd, randomBytes(1), 0, 1, 5000)
      fs.closeSync(fd)
      return build(target, { dockerfile: COPY, folder })
    },
  }),
  measure('build: the large context, unchanged', 1, 5, {
    prepare: prepareContext,
    sample: target => build(target, { dockerfile: COPY, folder: contexts.get(target)! }),
  }),
  measure('build: four stages of a CPU-second each on two cores', 1, 3, {
    sample: target => build(target, { dockerfile: FOUR, args: ['--no-cache'] }),
  }),
  memory('builds and sends a layer of 1 GB', async (target, folder) => {
    const dockerfile = 'FROM busybox\nRUN head -c 1000000000 /dev/urandom > /large\n'
    await build(target, { dockerfile, folder, args: ['--no-cache'] })
    await build(target, { dockerfile, folder, args: ['-o', 'type=tar,dest=/dev/null'] })
  }),
  memory('takes, copies and sends a file of 1 GB', async (target, folder) => {
    execFileSync('sh', ['-c', 'head -c 1000000000 /dev/urandom > large'], { cwd: folder })
    const dockerfile = 'FROM busybox\nCOPY large /large\n'
    await build(target, { dockerfile, folder })
    for (const type of ['tar,dest=/dev/null', `local,dest=${folder}/out`]) {
      await build(target, { dockerfile, folder, args: ['-o', `type=${type}`] })
    }
  }),
]
