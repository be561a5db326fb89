import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import { after, before, describe, test } from 'node:test'
import type { StatsSample } from './results.ts'
import { TestEngine, unable } from './testing.ts'

const openFiles = (): string[] =>
  fs
    .readdirSync('/proc/self/fd')
    .map(fd => `/proc/self/fd/${fd}`)
    .flatMap(name => (fs.existsSync(name) ? [fs.readlinkSync(name)] : []))
    .filter(target => target.startsWith('/sys/fs/cgroup') || target.endsWith('/net/dev'))

describe('statistics', { skip: unable }, () => {
  let sandbox: TestEngine
  before(async () => {
    sandbox = await TestEngine.open()
  })
  after(() => sandbox?.[Symbol.asyncDispose]())

  /** The first `count` samples of a container. */
  async function watch(id: string, count: number): Promise<StatsSample[]> {
    const samples: StatsSample[] = []
    const enough = new AbortController()
    const tell = (sample: StatsSample): void => {
      samples.push(sample)
      if (samples.length === count) enough.abort()
    }
    await sandbox.engine.containers.watchStats(id, tell, enough.signal)
    return samples
  }

  test('all who watch a container are told the same readings, each compared with the one before', async () => {
    const id = await sandbox.create(['sh', '-c', 'while :; do :; done'], { memory: 64 << 20, pidsLimit: 20 })
    await sandbox.engine.containers.start(id)
    const [mine, others] = await Promise.all([watch(id, 4), watch(id, 4)])
    assert.equal(mine.at(-1), others.at(-1))
    assert.equal(mine[0]!.precpu.totalUsage, 0)
    const [third, fourth] = mine.slice(2) as [StatsSample, StatsSample]
    assert.equal(fourth.preread, third.read)
    assert.equal(fourth.precpu, third.cpu)
    assert.ok(fourth.cpu.totalUsage > third.cpu.totalUsage)
    assert.ok(fourth.cpu.systemUsage! > third.cpu.systemUsage!)
    assert.equal(fourth.memory.limit, 64 << 20)
    assert.equal(fourth.pids.limit, 20)
    assert.deepEqual(openFiles(), [])
    await sandbox.engine.containers.remove(id, { force: true })
  })

  test('go on over an end and a new start, and end with the container', async () => {
    const id = await sandbox.create(['sleep', '1000'])
    await sandbox.engine.containers.start(id)
    const seen: string[] = []
    const says = (what: string) => sandbox.until(() => seen.at(-1) === what)
    const watching = sandbox.engine.containers.watchStats(id, ({ memory }) => {
      seen.push(memory.usage === undefined ? 'nothing' : 'something')
    })
    await says('something')
    await sandbox.engine.containers.kill(id)
    await says('nothing')
    assert.deepEqual(openFiles(), [])
    await sandbox.engine.containers.start(id)
    await says('something')
    await sandbox.engine.containers.remove(id, { force: true })
    await watching
    assert.deepEqual(openFiles(), [])
  })

  test('of no container are refused at once', () => {
    assert.throws(() => sandbox.engine.containers.watchStats('nobody', () => {}), /No such container: nobody/)
  })
})
