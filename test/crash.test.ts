/**
 * `kill -9` of the daemon at random moments, while containers are created, started, written to, committed and removed.
 * Afterwards every container is in a legal state with the right exit code and its whole log, and nothing else is left.
 */
import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { cannotRunDaemon, Daemon } from './support/daemon.ts'
import { leftovers } from './support/leftovers.ts'
import { shimsOf } from './support/processes.ts'
import { randomFrom } from './support/random.ts'

const KILLS = 50
const WORKERS = 4
const LINES = 200

/** What a worker asked of a container: what must be true of it however often the daemon died meanwhile. */
interface Expected {
  id: string
  exitCode: number
  started: boolean
}

test('a daemon killed again and again loses nothing', { skip: cannotRunDaemon() }, async t => {
  const seed = Number(process.env.SEED ?? Date.now() % 1_000_000)
  t.diagnostic(`seed ${seed}`)
  const random = randomFrom(seed)
  const daemon = await Daemon.start()
  const expected: Expected[] = []
  const images: string[] = []
  let over = false
  try {
    const workers = Array.from({ length: WORKERS }, (_, index) => work(index, randomFrom(seed + index + 1)))
    for (let kill = 0; kill < KILLS; kill++) {
      await sleep(random(20, 500))
      await daemon.stop('SIGKILL')
      await daemon.start()
    }
    over = true
    await Promise.all(workers)
    await settle(daemon)
    await check(daemon)
  } finally {
    over = true
    await daemon.remove()
  }
  assert.deepEqual(leftovers(daemon), [])

  /** Create, start, write, commit and remove until told to stop; a call that met a dead daemon is not repeated blindly. */
  async function work(index: number, dice: (low: number, high: number) => number): Promise<void> {
    for (let turn = 0; !over; turn++) {
      const exitCode = dice(0, 120)
      const name = `crash-${index}-${turn}`
      const script = `i=0; while [ $i -lt ${LINES} ]; do echo line $i; i=$((i+1)); done; exit ${exitCode}`
      const created = await attempt('POST', `/containers/create?name=${name}`, {
        Image: 'busybox',
        Cmd: ['sh', '-c', script],
        HostConfig: { NetworkMode: 'none' },
      })
      // The answer may have been lost with the daemon, and the container be there all the same.
      const id = created?.body.Id ?? (await inspect(name))?.Id
      if (id === undefined) continue
      const entry: Expected = { id, exitCode, started: false }
      expected.push(entry)
      const started = await attempt('POST', `/containers/${id}/start`)
      entry.started = started !== undefined || (await inspect(id))?.State.Status !== 'created'
      if (dice(0, 4) === 0) await attempt('POST', `/containers/${id}/exec`, { Cmd: ['true'] })
      if (dice(0, 4) === 0) {
        const image = await attempt('POST', `/commit?container=${id}&repo=crash&tag=${index}-${turn}`, {})
        if (image?.status === 201) images.push(image.body.Id)
      }
      if (dice(0, 3) === 0) {
        await attempt('DELETE', `/containers/${id}?force=1`)
        if ((await inspect(id)) === undefined) expected.splice(expected.indexOf(entry), 1)
        // A removal that the daemon's death cut short is asked for again at the end.
        else entry.started = false
      }
    }
  }

  /** One request; `undefined` where the daemon died under it. */
  async function attempt(method: string, url: string, body?: unknown) {
    try {
      return await daemon.api(method, url, body)
    } catch {
      return undefined
    }
  }

  /** Ask until a living daemon answers. */
  async function inspect(nameOrId: string): Promise<any> {
    for (;;) {
      const answer = await attempt('GET', `/containers/${nameOrId}/json`)
      if (answer?.status === 200) return answer.body
      if (answer?.status === 404) return undefined
      await sleep(20)
    }
  }

  async function check(daemon: Daemon): Promise<void> {
    const { body: listed } = await daemon.api('GET', '/containers/json?all=1')
    for (const container of listed) {
      assert.match(container.State, /^(created|exited|dead)$/, `state of ${container.Names}`)
    }
    for (const entry of expected) {
      const container = await inspect(entry.id)
      assert.ok(container, `container ${entry.id} is lost`)
      if (!entry.started || container.State.Status === 'created') continue
      assert.equal(container.State.ExitCode, entry.exitCode, `exit code of ${container.Name}`)
      const { body: log } = await daemon.api('GET', `/containers/${entry.id}/logs?stdout=1`)
      const lines = [...log.toString('latin1').matchAll(/line (\d+)\n/g)].map(match => Number(match[1]))
      assert.deepEqual(
        lines,
        Array.from({ length: LINES }, (_, line) => line),
        `log of ${container.Name}`,
      )
    }
    for (const image of images) {
      assert.equal((await daemon.api('GET', `/images/${image}/json`)).status, 200, `image ${image} is lost`)
    }
    const folders = fs.readdirSync(path.join(daemon.dataRoot, 'containers')).sort()
    assert.deepEqual(folders, listed.map((container: any) => container.Id).sort(), 'folders of containers')
    assert.deepEqual(shimsOf(daemon), [], 'shims that outlived their container')
  }
})

/** Wait until no container runs: each of them ends by itself. */
async function settle(daemon: Daemon): Promise<void> {
  for (;;) {
    const { body } = await daemon.api('GET', '/containers/json')
    if (body.length === 0) return
    await sleep(100)
  }
}
