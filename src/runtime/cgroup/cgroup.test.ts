import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { cannotLaunch, Sandbox } from '../../../test/isolation/sandbox.ts'
import { buildSpec } from '../build-spec.ts'
import type { RuntimeRequest } from '../request.ts'
import { cgroupPath, openCgroup, strayCgroups } from './index.ts'

const MiB = 1024 * 1024

describe('the cgroup of a real container', { skip: cannotLaunch() }, () => {
  let sandbox: Sandbox
  before(() => {
    sandbox = new Sandbox()
  })
  after(() => sandbox?.remove())

  async function start(command: string, more: Partial<RuntimeRequest> = {}) {
    const id = randomBytes(32).toString('hex')
    const process = { argv: ['sh', '-c', command], env: ['PATH=/bin'] }
    const running = await sandbox.start(buildSpec({ id, process, ...more }))
    return { id, ...running, cgroup: openCgroup(cgroupPath(id)) }
  }

  const ended = async (running: Awaited<ReturnType<typeof start>>): Promise<number> => {
    running.cgroup.kill()
    return (await running.finished).exit.exitCode
  }

  test('holds what runs in it, and goes with it', async () => {
    const running = await start('sleep 100 & sleep 100 & wait')
    assert.ok(running.cgroup.processes().includes(running.task.pid))
    assert.ok(strayCgroups('/gantry').some(stray => stray.id === running.id && stray.busy))
    assert.equal(await ended(running), 137)
    assert.ok(!strayCgroups('/gantry').some(stray => stray.id === running.id))
  })

  test('counts', async () => {
    const running = await start('i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; sleep 100', {
      resources: { memory: { limit: 64 * MiB }, pids: { limit: 20 } },
    })
    const deadline = Date.now() + 10_000
    while (running.cgroup.stats().cpu.total === 0 && Date.now() < deadline) await new Promise(setImmediate)
    const stats = running.cgroup.stats()
    assert.ok(stats.cpu.total > 0)
    assert.ok(stats.memory.usage > 0 && stats.memory.usage <= 64 * MiB)
    assert.equal(stats.memory.limit, 64 * MiB)
    assert.ok(Object.keys(stats.memory.stats).length > 10)
    assert.equal(stats.pids.limit, 20)
    assert.ok(stats.pids.current >= 1)
    await ended(running)
  })

  test('freezes and thaws', async () => {
    const running = await start('while :; do :; done')
    running.cgroup.freeze()
    assert.equal(running.cgroup.isFrozen(), true)
    const before = running.cgroup.stats().cpu.total
    await new Promise(resolve => setTimeout(resolve, 30))
    assert.equal(running.cgroup.stats().cpu.total, before)
    running.cgroup.thaw()
    assert.equal(running.cgroup.isFrozen(), false)
    await ended(running)
  })

  test('is killed although it is frozen', async () => {
    const running = await start('sleep 100')
    running.cgroup.freeze()
    assert.equal(await ended(running), 137)
  })

  test('gives and takes while it runs, in either direction', async () => {
    const running = await start('sleep 100', { resources: { memory: { limit: 32 * MiB, swap: 64 * MiB } } })
    const limits = [256, 16, 128]
    for (const limit of limits) {
      running.cgroup.update({ memory: { limit: limit * MiB, swap: 2 * limit * MiB }, pids: { limit } })
      const { memory, pids } = running.cgroup.stats()
      assert.deepEqual([memory.limit, pids.limit], [limit * MiB, limit])
    }
    await ended(running)
  })

  test('ends what wants too much memory, and says so', async () => {
    const running = await start('x=$(head -c 100000000 /dev/zero | tr "\\0" x)', {
      resources: { memory: { limit: 16 * MiB, swap: 16 * MiB } },
    })
    const { exit } = await running.finished
    assert.equal(exit.exitCode, 137)
    assert.equal(exit.oomKilled, true)
  })

  test('stops a fork bomb', async () => {
    const running = await start('for i in 1 2 3 4 5 6 7 8 9; do sleep 100 & done; echo unreachable', {
      resources: { pids: { limit: 5 } },
    })
    const { output } = await running.finished
    assert.match(output, /can't fork/)
    assert.doesNotMatch(output, /unreachable/)
  })

  test('with the host’s PIDs, what is left goes with the first process', async () => {
    const running = await start('sleep 1000 & echo started', { namespaces: { pid: 'host' } })
    const { exit, output } = await running.finished
    assert.equal(exit.exitCode, 0)
    assert.match(output, /started/)
    assert.ok(!strayCgroups('/gantry').some(stray => stray.id === running.id))
  })

  test('a start that is refused before anything runs leaves none', async () => {
    const id = randomBytes(32).toString('hex')
    const spec = buildSpec({ id, process: { argv: ['true'], env: [] } })
    spec.linux.seccomp = { defaultAction: 'SCMP_ACT_NOTIFY' }
    await assert.rejects(sandbox.start(spec), /SCMP_ACT_NOTIFY/)
    assert.ok(!strayCgroups('/gantry').some(stray => stray.id === id))
  })

  test('a stray one is found and removed', () => {
    const id = `test-${randomBytes(8).toString('hex')}`
    const cgroup = openCgroup(cgroupPath(id))
    const fd = cgroup.create({})
    if (fd !== undefined) fs.closeSync(fd)
    for (const op of cgroup.ops({}).host) if (op.op === 'mkdir') fs.mkdirSync(op.path)
    assert.ok(strayCgroups('/gantry').some(stray => stray.id === id && !stray.busy))
    cgroup.remove()
    assert.ok(!strayCgroups('/gantry').some(stray => stray.id === id))
  })
})
