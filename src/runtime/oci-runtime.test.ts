import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { cannotLaunch, Sandbox, unframe } from '../../test/isolation/sandbox.ts'
import { buildSpec } from './build-spec.ts'
import { detectCgroups, openCgroup } from './cgroup/index.ts'
import { execProcess } from './exec.ts'
import type { Task } from './launcher.ts'
import { LaunchError } from './launcher.ts'
import {
  type BundlePlace,
  compileOciExec,
  compileOciPlan,
  removeBundle,
  runtimeErrorText,
  writeBundle,
} from './oci-runtime.ts'
import type { RuntimeRequest } from './request.ts'

const env = ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin']

for (const [name, binary] of [
  ['runc', '/usr/sbin/runc'],
  ['crun', '/usr/bin/crun'],
] as const) {
  const missing = cannotLaunch() || cannotRun(name, binary)
  describe(`through ${name}`, { skip: missing }, () => {
    let sandbox: Sandbox
    before(() => {
      sandbox = new Sandbox()
    })
    after(() => sandbox?.remove())

    async function launch(request: Omit<RuntimeRequest, 'id'>): Promise<{
      place: BundlePlace
      task: Task
      output: Promise<string>
      spec: ReturnType<typeof buildSpec>
    }> {
      const id = randomBytes(32).toString('hex')
      const place = { id, execRoot: sandbox.execRoot }
      const spec = buildSpec({ id, hostname: 'outside', ...request })
      writeBundle(place, spec, { type: 'path', path: sandbox.rootfs })
      try {
        const plan = compileOciPlan({ path: binary }, place, spec, {})
        const task = await sandbox.launcher.launch({ id, plan })
        const output = text(await task.attach({ stdout: true, stderr: true }), spec.process.terminal ?? false)
        return { place, task, output, spec }
      } catch (error) {
        const said = runtimeErrorText(place)
        removeBundle(place)
        throw Object.assign(error as Error, { said, place })
      }
    }

    test('streams, exit code and isolation are as with our own launcher', async () => {
      const script =
        'echo out; echo err >&2; hostname; grep -E "^(CapEff|Seccomp):" /proc/self/status; exit 7'
      const { task, output, place } = await launch({ process: { argv: ['sh', '-c', script], env } })
      try {
        await task.start()
        assert.equal((await task.wait()).exitCode, 7)
        const lines = (await output).split('\n')
        for (const line of ['out', 'err', 'outside', 'CapEff:\t00000000a80425fb', 'Seccomp:\t2']) {
          assert.ok(lines.includes(line), `${line} in ${lines}`)
        }
      } finally {
        await task.delete()
        removeBundle(place)
      }
    })

    test('a terminal comes over the console socket', async () => {
      const { task, output, place } = await launch({ process: { argv: ['tty'], env, tty: true } })
      try {
        await task.start()
        assert.equal((await task.wait()).exitCode, 0)
        assert.match(await output, /\/dev\/(pts\/0|console)/)
      } finally {
        await task.delete()
        removeBundle(place)
      }
    })

    test('exec joins it, and its limits are ours to change', async () => {
      const { task, place, spec } = await launch({
        process: { argv: ['sleep', '100'], env },
        resources: { pids: { limit: 33 } },
      })
      try {
        await task.start()
        const process = execProcess({ argv: ['sh', '-c', 'hostname; exit 3'], env }, spec)
        const plan = compileOciExec({ path: binary }, place, { id: 'one', process })
        const exec = await task.exec({ id: 'one', plan, attach: { stdout: true, stderr: true } })
        const said = text(exec.stream!, false)
        assert.equal((await exec.wait()).exitCode, 3)
        assert.equal(await said, 'outside\n')
        const cgroup = openCgroup(spec.linux.cgroupsPath)
        assert.equal(cgroup.stats().pids.limit, 33)
        cgroup.update({ pids: { limit: 44 } })
        assert.equal(cgroup.stats().pids.limit, 44)
        await task.kill(9)
        assert.equal((await task.wait()).exitCode, 137)
      } finally {
        await task.delete()
        removeBundle(place)
      }
    })

    test('what it complains of is told', async () => {
      await assert.rejects(
        launch({ process: { argv: ['/nosuch'], env } }),
        (error: LaunchError & { said: string }) => {
          assert.ok(error instanceof LaunchError)
          assert.match(error.said, /nosuch/)
          return true
        },
      )
    })
  })
}

function cannotRun(name: string, binary: string): string | false {
  if (!fs.existsSync(binary)) return `${name} is not installed`
  const { version, unified } = detectCgroups()
  const isMixed =
    version === 1 && unified && fs.readFileSync(`${unified}/cgroup.controllers`, 'utf8').trim() !== ''
  return name === 'crun' && isMixed ? 'crun refuses controllers in both cgroup versions' : false
}

async function text(stream: AsyncIterable<Buffer>, terminal: boolean): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk)
  const bytes = Buffer.concat(chunks)
  return terminal ? bytes.toString() : unframe(bytes)
}
