import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { describe, test } from 'node:test'
import * as linux from '../linux/index.ts'
import { createLauncher, type ExitRecord, type Task } from './launcher.ts'
import {
  folder,
  launcher,
  readLog,
  request,
  running,
  shimOf,
  skip,
  until,
  withLauncher,
} from './launcher-testing.ts'
import type { LaunchPlan } from './plan.ts'

describe('a launcher among crashes', { skip }, () => {
  withLauncher()

  test('shims wait for containers, and are passed over where somebody killed them', async () => {
    const shim = path.join(folder, 'own-shim')
    fs.copyFileSync(process.env['GANTRY_SHIM'] ?? path.join(linux.buildFolder, 'gantry-shim'), shim)
    fs.chmodSync(shim, 0o755)
    const { ino } = fs.statSync(shim)
    const own = createLauncher({ root: path.join(folder, 'own-run'), shim })
    const shims = () =>
      fs.readdirSync('/proc').filter(pid => {
        try {
          return /^\d+$/.test(pid) && fs.statSync(`/proc/${pid}/exe`).ino === ino
        } catch {
          return false
        }
      })
    const argument = (pid: string) => {
      try {
        return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')[1]
      } catch {
        return ''
      }
    }
    const waiting = '-'.repeat(64)
    for (const round of ['new', 'killed', 'waiting']) {
      const started = request(['sh', '-c', 'exit 3'])
      const task = await own.launch(started)
      assert.ok(
        shims().some(pid => argument(pid) === started.id),
        `${round}: ps shows whose shim it is`,
      )
      await task.start()
      assert.equal((await task.wait()).exitCode, 3)
      await task.delete()
      await until(() => shims().map(argument).join(' ') === `${waiting} ${waiting}`)
      if (round !== 'new') continue
      for (const pid of shims()) process.kill(Number(pid), 'SIGKILL')
      await until(() => shims().length === 0)
    }
    own.close()
    await until(() => shims().length === 0)
  })

  describe('crashes', () => {
    test('the container outlives the process that launched it, and is found again', async () => {
      const { id, plan } = request(['sh', '-c', 'echo before; read line; echo $line; exit 5'], {
        stdin: true,
      })
      await launchAndDie(id, plan)
      const task = (await launcher.reconnect(id)) as Task
      assert.equal(task.started, true)
      const stream = await task.attach({ stdin: true, stdout: true })
      stream.write('after\n')
      assert.equal((await task.wait()).exitCode, 5)
      assert.deepEqual(
        readLog()
          .trimEnd()
          .split('\n')
          .map(line => JSON.parse(line).log),
        ['before\n', 'after\n'],
      )
      stream.destroy()
      await task.delete()
      assert.equal(await launcher.reconnect(id), undefined)
    })

    test('an exit that nobody saw is on record', async () => {
      const { id, plan } = request(['sh', '-c', 'sleep 0.2; exit 6'])
      plan.exit = [{ op: 'record', name: 'status', path: '/proc/sys/kernel/ostype' }]
      await launchAndDie(id, plan)
      await until(() => fs.existsSync(path.join(folder, 'run', id, 'exit')))
      const record = (await launcher.reconnect(id)) as ExitRecord
      assert.equal(record.exitCode, 6)
      assert.deepEqual(record.files, { status: 'Linux\n' })
      launcher.discard(id)
    })

    test('a folder that was being removed is in nobody’s way', async () => {
      const { id, plan } = request(['true'])
      fs.mkdirSync(path.join(folder, 'run', id))
      assert.equal(await launcher.reconnect(id), undefined)
      const task = await launcher.launch({ id, plan })
      await task.delete()
    })

    test('a killed shim takes its container along, and that is told', async () => {
      const task = await running('trap "" TERM; sleep 1000')
      linux.kill(shimOf(task.id), 9)
      const record = await task.wait()
      assert.deepEqual([record.exitCode, record.lost], [137, true])
      await until(() => !linux.processExists(task.pid)) // killed, and reaped by init
      assert.equal(((await launcher.reconnect(task.id)) as ExitRecord).lost, true)
      await task.delete()
    })

    test('also where the container had no parent-death signal', async () => {
      const { id, plan } = request(['sleep', '1000'])
      plan.init = plan.init.filter(op => op.op !== 'parentDeath')
      const task = await launcher.launch({ id, plan })
      await task.start()
      linux.kill(shimOf(id), 9)
      assert.equal((await task.wait()).lost, true)
      await until(() => !linux.processExists(task.pid))
      await task.delete()
    })
  })
})

/** Launch and start it in another process, which is killed then. */
async function launchAndDie(id: string, plan: LaunchPlan): Promise<void> {
  const child = fork(new URL('./testdata/launch-and-stay.ts', import.meta.url), [
    path.join(folder, 'run'),
    id,
    JSON.stringify(plan),
  ])
  await once(child, 'message')
  child.kill('SIGKILL')
  await once(child, 'exit')
}
