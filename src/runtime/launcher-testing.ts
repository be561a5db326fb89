/** What the launcher's tests share: containers of the host's own programs, run by plans that are written out here. */
import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { buffer } from 'node:stream/consumers'
import { after, before } from 'node:test'
import * as linux from '../linux/index.ts'
import { createLauncher, type ExitRecord, type LaunchRequest, type Task } from './launcher.ts'
import type { LaunchPlan, Op } from './plan.ts'

export const skip = process.getuid?.() === 0 ? false : 'needs root: it makes namespaces and mounts'

export const namespaces =
  linux.CLONE_NEWNS | linux.CLONE_NEWPID | linux.CLONE_NEWUTS | linux.CLONE_NEWIPC | linux.CLONE_NEWNET
export const PATH = 'PATH=/usr/local/bin:/usr/bin:/bin'

/** Of this file's tests. */
export let folder = ''
export let launcher: ReturnType<typeof createLauncher>
let counter = 0

/** A root of the host's own programs: a tmpfs with /usr bound in read-only. */
export const root: Op[] = [
  { op: 'propagation', path: '/', flags: linux.MS_SLAVE | linux.MS_REC },
  { op: 'rootFs', type: 'tmpfs', options: ['mode=755'] },
  { op: 'mountBind', source: '/usr', target: '/usr', create: 1, set: linux.MOUNT_ATTR_RDONLY },
  ...['bin', 'lib', 'lib64', 'sbin'].map(
    (name): Op => ({ op: 'symlink', target: `usr/${name}`, path: `/${name}` }),
  ),
  { op: 'mountFs', type: 'proc', target: '/proc', create: 1, attributes: 0xe },
  { op: 'mountFs', type: 'tmpfs', target: '/dev', options: ['mode=755'], create: 1 },
  {
    op: 'mountFs',
    type: 'devpts',
    target: '/dev/pts',
    options: ['newinstance', 'ptmxmode=0666', 'mode=0620'],
    create: 1,
  },
  { op: 'mknod', path: '/dev/null', mode: linux.S_IFCHR | 0o666, major: 1, minor: 3 },
  { op: 'makeFolder', path: '/tmp', mode: 0o1777 },
]

export interface Settings {
  stdin?: boolean
  tty?: boolean
  host?: Op[]
  /** Before the pivot, and after it. */
  mounts?: Op[]
  late?: Op[]
  rest?: Partial<LaunchPlan>
  log?: Partial<Extract<Op, { op: 'log' }>>
}

export function planOf(argv: string[], settings: Settings = {}): LaunchPlan {
  const { stdin = false, tty = false, host = [], mounts = [], late = [], rest = {}, log = {} } = settings
  return {
    host: [
      { op: 'stdio', stdin, tty },
      { op: 'log', format: 1, path: path.join(folder, 'log'), ...log },
      { op: 'clone', flags: namespaces },
      ...host,
    ],
    init: [
      ...root,
      ...mounts,
      ...(tty ? [{ op: 'console', rows: 30, columns: 90 } satisfies Op] : []),
      { op: 'await' },
      { op: 'pivot' },
      { op: 'hostname', name: 'box' },
      ...late,
      { op: 'workingFolder', path: '/' },
      { op: 'program', argv, env: [PATH] },
      { op: 'parentDeath', signal: 9 },
      { op: 'ready' },
      { op: 'exec' },
    ],
    parent: [],
    ...rest,
  }
}

export function request(argv: string[], settings?: Settings): LaunchRequest {
  fs.rmSync(path.join(folder, 'log'), { force: true })
  return { id: `t${process.pid}-${counter++}`, plan: planOf(argv, settings) }
}

export interface Outcome {
  record: ExitRecord
  stdout: string
  stderr: string
  log: string
}

/** Run to the end, attached, and take all of it away. */
export async function run(argv: string[], settings?: Settings, input?: string): Promise<Outcome> {
  const task = await launcher.launch(request(argv, settings))
  try {
    const stream = await task.attach({
      stdin: input !== undefined,
      stdout: true,
      stderr: true,
      closeStdin: true,
    })
    const output = buffer(stream)
    await task.start()
    if (input !== undefined) stream.end(input)
    const record = await task.wait()
    const frames = settings?.tty ? [(await output).toString(), ''] : demultiplex(await output)
    return { record, stdout: frames[0]!, stderr: frames[1]!, log: readLog() }
  } finally {
    await task.delete()
  }
}

export function demultiplex(bytes: Buffer): [stdout: string, stderr: string] {
  const parts: [Buffer[], Buffer[]] = [[], []]
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at + 4)
    parts[bytes[at]! - 1]!.push(bytes.subarray(at + 8, at + 8 + length))
    at += 8 + length
  }
  return [Buffer.concat(parts[0]).toString(), Buffer.concat(parts[1]).toString()]
}

export const readLog = (name = 'log') => fs.readFileSync(path.join(folder, name), 'utf8')

export const shell = (script: string, settings?: Settings, input?: string) =>
  run(['sh', '-c', script], settings, input)

export function execPlan(target: Task, argv: string[], { tty = false, stdin = false } = {}): LaunchPlan {
  return {
    host: [
      { op: 'stdio', tty, stdin },
      { op: 'pidNamespace', path: `/proc/${target.pid}/ns/pid` },
    ],
    init: [
      { op: 'setns', flags: namespaces },
      ...(tty ? [{ op: 'console' } satisfies Op] : []),
      { op: 'await' },
      { op: 'workingFolder', path: '/' },
      { op: 'program', argv, env: [PATH] },
      { op: 'ready' },
      { op: 'exec' },
    ],
    parent: [],
  }
}

/** A container that runs until it is told otherwise. */
export async function running(script: string, settings?: Settings): Promise<Task> {
  const task = await launcher.launch(request(['sh', '-c', script], settings))
  await task.start()
  return task
}

export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise(resolve => setTimeout(resolve, 2))
}

export function shimOf(id: string): number {
  return Number(fs.readFileSync(path.join(folder, 'run', id, 'pid'), 'utf8').split(' ')[2])
}

/** A launcher in a folder of its own while the tests of a suite run. `GANTRY_SHIM` may name another build of the shim. */
export function withLauncher(): void {
  before(() => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'launcher-'))
    launcher = createLauncher({
      root: path.join(folder, 'run'),
      ...(process.env['GANTRY_SHIM'] ? { shim: process.env['GANTRY_SHIM'] } : {}),
    })
  })
  after(() => {
    assert.deepEqual(launcher.list(), [])
    launcher.close()
    fs.rmSync(folder, { recursive: true })
  })
}
