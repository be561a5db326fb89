/** One command: its mounts are made, it runs, and what it wrote outside of its own root is put away. */
import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { invalid, notFound } from '../../errors.ts'
import * as linux from '../../linux/index.ts'
import type { ExecMount, ExecOp, Vertex } from '../plan/ops.ts'
import { ExitError } from './exit-error.ts'
import { OutputLimit } from './output-limit.ts'
import { isRoot, type Solved } from './root.ts'
import type { BuildSession } from './session.ts'
import type { Solver } from './solver.ts'
import type { StepMount } from './step.ts'
import { StubKeeper } from './stubs.ts'
import { Tree } from './tree.ts'

export interface StepContext {
  solver: Solver
  session: BuildSession
  vertex: Vertex
  op: ExecOp
  inputs: Solved[]
  rootFd: number
}

/** Rejects with an {@link ExitError} for a command that failed. */
export async function runStep(context: StepContext): Promise<void> {
  const { solver, session, vertex, op, rootFd } = context
  const cleanup = new Cleanup()
  try {
    const mounts: StepMount[] = []
    const secretEnv: string[] = []
    for (const mount of op.mounts) {
      const made = await prepareMount(context, mount, cleanup, secretEnv)
      if (made) mounts.push(made)
    }
    const stubs = new StubKeeper(
      new Tree(rootFd),
      mounts.map(mount => mount.target),
    )
    const output = new OutputLimit((stream, data) => {
      session.onProgress({ type: 'log', vertex: vertex.digest, stream, data, timestamp: Date.now() })
    })
    const exit = await solver.options.executor.run({
      id: randomBytes(32).toString('hex'),
      op,
      rootFd,
      mounts,
      extraEnv: [...secretEnv, ...op.proxyEnv],
      onOutput: (stream, data) => output.write(stream, data),
      signal: session.signal,
    })
    session.signal.throwIfAborted()
    stubs.removeLeftovers()
    if (exit.exitCode !== 0) throw new ExitError(op.argv, exit.exitCode, exit.oomKilled)
  } finally {
    cleanup.run()
  }
}

class Cleanup {
  readonly #work: (() => void)[] = []
  add(work: () => void): void {
    this.#work.push(work)
  }
  run(): void {
    for (const work of this.#work.reverse()) work()
  }
}

async function prepareMount(
  context: StepContext,
  mount: ExecMount,
  cleanup: Cleanup,
  secretEnv: string[],
): Promise<StepMount | undefined> {
  switch (mount.type) {
    case 'tmpfs':
      return {
        target: mount.target,
        source: { tmpfs: { ...(mount.size && { size: mount.size }) } },
        readOnly: false,
      }
    case 'bind':
      return {
        target: mount.target,
        source: { fd: await bindFd(context, mount, cleanup) },
        readOnly: mount.readOnly,
      }
    case 'cache':
      return cacheMount(context, mount, cleanup)
    case 'secret':
      return secretMount(context, mount, cleanup, secretEnv)
    case 'ssh':
      return sshMount(context, mount, cleanup, secretEnv)
    case 'file': {
      const file = memoryFile(cleanup, Buffer.from(mount.content), mount)
      return { target: mount.target, source: { path: file }, readOnly: true }
    }
  }
}

/** A detached mount of a path in an input. Written to, it is a layer of its own that is thrown away. */
async function bindFd(
  { solver, inputs }: StepContext,
  mount: Extract<ExecMount, { type: 'bind' }>,
  cleanup: Cleanup,
): Promise<number> {
  const { layers } = solver.options
  const input = mount.from === undefined ? undefined : inputs[mount.from]
  let rootFd: number
  if (input && !isRoot(input)) {
    rootFd = mount.readOnly
      ? fs.openSync(input.local.path, linux.O_PATH)
      : scratchOver(solver, input.local.path, cleanup)
    if (mount.readOnly) cleanup.add(() => fs.closeSync(rootFd))
  } else {
    const root = input ?? { key: 'empty', base: undefined, layers: [] }
    if (mount.readOnly) {
      rootFd = await layers.mount(root)
      cleanup.add(() => fs.closeSync(rootFd))
    } else {
      const draft = await layers.draft(root)
      cleanup.add(() => layers.drop(draft))
      rootFd = draft.mountFd
    }
  }
  return treeFd(rootFd, mount.source, cleanup)
}

function scratchOver(solver: Solver, folder: string, cleanup: Cleanup): number {
  const { layers } = solver.options
  const draft = layers.draftOver([folder])
  cleanup.add(() => layers.drop(draft))
  return draft.mountFd
}

function treeFd(rootFd: number, source: string, cleanup: Cleanup): number {
  let place: number
  try {
    place = linux.openat2(rootFd, source.slice(1) || '.', {
      flags: linux.O_PATH,
      resolve: linux.RESOLVE_IN_ROOT,
    })
  } catch (error) {
    throw notFound(`${JSON.stringify(source)}: not found`, error)
  }
  try {
    const fd = linux.openTree('', { dirfd: place })
    cleanup.add(() => fs.closeSync(fd))
    return fd
  } finally {
    fs.closeSync(place)
  }
}

async function cacheMount(
  { solver, session, inputs }: StepContext,
  mount: Extract<ExecMount, { type: 'cache' }>,
  cleanup: Cleanup,
): Promise<StepMount> {
  const input = mount.from === undefined ? undefined : inputs[mount.from]
  const folder = await solver.options.caches.take(mount, input?.key ?? '', session.signal)
  cleanup.add(() => folder.release())
  if (folder.isNew && input) {
    const fd = isRoot(input)
      ? await solver.options.layers.mount(input)
      : fs.openSync(input.local.path, linux.O_PATH)
    const into = fs.openSync(folder.path, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY)
    try {
      const copy = { action: 'copy' as const, from: 0, source: mount.source, destination: '/' }
      const actions = [{ ...copy, exclude: [], parents: false, unpack: false, allowEmpty: true }]
      await solver.options.files.run({ job: 'apply', rootFd: into, inputs: [fd], actions })
    } finally {
      fs.closeSync(fd)
      fs.closeSync(into)
    }
  }
  return { target: mount.target, source: { path: folder.path }, readOnly: mount.readOnly }
}

async function secretMount(
  { session }: StepContext,
  mount: Extract<ExecMount, { type: 'secret' }>,
  cleanup: Cleanup,
  secretEnv: string[],
): Promise<StepMount | undefined> {
  const value = await session.secret(mount.id)
  if (!value) {
    if (mount.required) throw invalid(`secret ${mount.id}: not found`)
    return undefined
  }
  if (mount.env !== undefined) secretEnv.push(`${mount.env}=${Buffer.from(value).toString('utf8')}`)
  if (mount.target === undefined) return undefined
  return { target: mount.target, source: { path: memoryFile(cleanup, value, mount) }, readOnly: true }
}

async function sshMount(
  { session }: StepContext,
  mount: Extract<ExecMount, { type: 'ssh' }>,
  cleanup: Cleanup,
  secretEnv: string[],
): Promise<StepMount | undefined> {
  const agent = await session.ssh(mount.id)
  secretEnv.push(`SSH_AUTH_SOCK=${mount.target}`) // also without an agent, as with Docker
  if (!agent) {
    if (mount.required) throw invalid(`unset ssh forward key ${mount.id}`)
    return undefined
  }
  cleanup.add(() => agent.release())
  fs.chmodSync(agent.path, mount.mode)
  fs.chownSync(agent.path, mount.uid, mount.gid)
  return { target: mount.target, source: { path: agent.path }, readOnly: true }
}

/** A file that never is on a disk: secrets must not. `/dev/shm` is a tmpfs. */
function memoryFile(
  cleanup: Cleanup,
  content: Uint8Array,
  { mode, uid = 0, gid = 0 }: { mode: number; uid?: number; gid?: number },
): string {
  const base = fs.existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir()
  const folder = fs.mkdtempSync(path.join(base, 'gantry-build-'))
  cleanup.add(() => fs.rmSync(folder, { recursive: true, force: true }))
  const file = path.join(folder, 'content')
  fs.writeFileSync(file, content, { mode: 0o600 })
  fs.chownSync(file, uid, gid)
  fs.chmodSync(file, mode)
  return file
}
