/** Containers without a daemon: the launcher, the tests' busybox and a temporary folder. */
import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import * as path from 'node:path'
import type { Duplex } from 'node:stream'
import {
  compilePlan,
  type LaunchContext,
  openCgroup,
  type RuntimeSpec,
  strayCgroups,
} from '../../src/runtime/index.ts'
import type { ExitRecord, Task } from '../../src/runtime/launcher.ts'
import { createLauncher } from '../../src/runtime/shim-launcher.ts'
import { busyboxRootfs } from '../support/busybox.ts'
import { testTag } from '../support/host-state.ts'

/** Why containers cannot be launched here, or `false`: for `test(…, { skip })`. */
export function cannotLaunch(): string | false {
  return process.getuid?.() === 0 ? false : 'needs root'
}

export interface Run {
  exit: ExitRecord
  /** What it wrote to both streams, or to its terminal. */
  output: string
}

export interface Running {
  task: Task
  /** Ends with the process. */
  finished: Promise<Run>
}

export class Sandbox {
  readonly folder: string
  readonly rootfs: string
  readonly execRoot: string
  readonly launcher: ReturnType<typeof createLauncher>
  readonly #cgroups = new Set<string>()
  #count = 0

  constructor() {
    this.folder = fs.mkdtempSync(path.join(baseFolder(), `gt-${testTag}`))
    this.execRoot = path.join(this.folder, 'run')
    this.rootfs = path.join(this.folder, 'rootfs')
    fs.mkdirSync(this.rootfs)
    execFileSync('tar', ['-xf', busyboxRootfs(), '-C', this.rootfs])
    this.launcher = createLauncher({ root: this.execRoot })
  }

  /** Start a container and stay with it until it ends. `context` may give another root. */
  async start(spec: RuntimeSpec, context: Partial<LaunchContext> = {}): Promise<Running> {
    const layer = path.join(this.folder, `layer-${this.#count++}`)
    const [upperdir, workdir] = [path.join(layer, 'upper'), path.join(layer, 'work')]
    fs.mkdirSync(upperdir, { recursive: true })
    fs.mkdirSync(workdir)
    const { cgroupsPath } = spec.linux
    const id = path.basename(cgroupsPath)
    this.#cgroups.add(cgroupsPath)
    const compiled = compilePlan(spec, {
      rootfs: { type: 'overlay', lowerdirs: [this.rootfs], upperdir, workdir },
      cgroup: openCgroup(cgroupsPath),
      ...context,
    })
    try {
      const task = await this.launcher.launch({ id, plan: compiled.plan, fds: compiled.fds })
      const stream = await task.attach({ stdout: true, stderr: true })
      const output = collect(stream, spec.process.terminal ?? false)
      await task.start()
      const finished = Promise.all([task.wait(), output]).then(async ([exit, text]) => {
        await task.delete()
        return { exit, output: text }
      })
      return { task, finished }
    } finally {
      compiled.release()
    }
  }

  async run(spec: RuntimeSpec, context: Partial<LaunchContext> = {}): Promise<Run> {
    return (await this.start(spec, context)).finished
  }

  /** Everything away, also what a failed test left running. */
  remove(): void {
    this.launcher.close()
    const left = new Set(strayCgroups('/gantry').map(stray => stray.path))
    for (const cgroupPath of this.#cgroups) {
      if (!left.has(cgroupPath)) continue
      const cgroup = openCgroup(cgroupPath)
      cgroup.kill()
      cgroup.remove()
    }
    fs.rmSync(this.folder, { recursive: true, force: true })
  }
}

function collect(stream: Duplex, terminal: boolean): Promise<string> {
  const chunks: Buffer[] = []
  return new Promise((resolve, reject) => {
    stream.on('data', chunk => chunks.push(chunk))
    stream.on('error', reject)
    stream.on('end', () =>
      resolve(terminal ? Buffer.concat(chunks).toString() : unframe(Buffer.concat(chunks))),
    )
  })
}

/** Short, since sockets are made in it, and not on an overlay, which cannot be another's upper folder. */
function baseFolder(): string {
  return fs.statfsSync('/var/tmp').type === OVERLAYFS_SUPER_MAGIC ? '/tmp' : '/var/tmp'
}

const OVERLAYFS_SUPER_MAGIC = 0x794c7630

/** Docker's frames: 8 bytes of header, the last four of them the length. */
export function unframe(bytes: Buffer): string {
  const payloads: Buffer[] = []
  for (let at = 0; at + 8 <= bytes.length; ) {
    const length = bytes.readUInt32BE(at + 4)
    payloads.push(bytes.subarray(at + 8, at + 8 + length))
    at += 8 + length
  }
  return Buffer.concat(payloads).toString()
}
