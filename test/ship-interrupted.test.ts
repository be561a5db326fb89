/** Transfers that are cut off go on where they stopped, those for the same thing are one, and refusals are waited out. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { after, before, beforeEach, describe, test } from 'node:test'
import { cannotRunDaemon, Daemon } from './support/daemon.ts'
import { eventually } from './support/eventually.ts'
import { leftovers } from './support/leftovers.ts'
import { memoryPeak } from './support/memory.ts'
import { loadNoise } from './support/noise.ts'
import { type Beside, startGantryRegistry, Tap } from './support/registry.ts'

/** Through the tap. */
const HOST = '127.0.0.1:5000'
/** Of the layer that is cut, which does not compress. At length: `SHIP_LAYER_MB=2048`. */
const SIZE = Number(process.env['SHIP_LAYER_MB'] ?? 12) * 2 ** 20
const HOLD = Math.floor((SIZE / 12) * 7)
/** What the daemon may have of memory, in MB, however large a layer is. */
const MEMORY = 400
/** What may be under way and is not yet safe: a write's batch, and what the sockets between us hold. */
const UNDER_WAY = 4 << 20

describe('a transfer that is cut off', { skip: cannotRunDaemon() }, () => {
  let daemon: Daemon
  let registry: Beside
  let tap: Tap
  let storage: string

  before(async () => {
    daemon = await Daemon.start()
    storage = path.join(daemon.folder, 'registry')
    registry = await startGantryRegistry(daemon, '127.0.0.1:5001', storage)
    tap = await Tap.start(daemon, 5000, 5001)
    await loadNoise(daemon, `${HOST}/noise:1`, [1000, SIZE])
    await daemon.ok('push', `${HOST}/noise:1`)
    await daemon.ok('rmi', `${HOST}/noise:1`)
  })

  after(async () => {
    await tap?.stop()
    await registry?.stop()
    await daemon?.remove()
    assert.deepEqual(leftovers(daemon), [])
  })

  beforeEach(() => tap.set({}))

  /** A client that someone may interrupt. */
  function begin(...args: string[]) {
    const child = spawn('docker', args, { env: { ...process.env, DOCKER_HOST: daemon.host } })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (output += chunk))
    const ended = new Promise<{ code: number | null; output: string }>(resolve =>
      child.once('close', code => resolve({ code, output })),
    )
    return { child, ended }
  }

  const name = `${HOST}/noise:1`

  /** A pull that gets {@link HOLD} bytes and no more. */
  async function beginPull() {
    await daemon.docker('rmi', '-f', name)
    await daemon.ok('image', 'prune', '-f')
    await tap.set({ hold: HOLD })
    const pull = begin('pull', name)
    await tap.held()
    return pull
  }

  /** What is asked for by a pull that goes on: the rest of the layer, and nothing else of it. */
  async function assertGoesOn(): Promise<void> {
    await tap.set({})
    const memory = memoryPeak([daemon.pid!])
    await daemon.ok('pull', name)
    assert.ok(memory() < MEMORY, `${memory()} MB`)
    await eventually(() => assert.ok(tap.downloads.some(({ sent }) => sent > 1 << 20)))
    const [rest, ...others] = tap.downloads.filter(({ sent }) => sent > 10_000)
    assert.deepEqual(others, [])
    const from = Number(/^bytes=(\d+)-/.exec(rest!.range ?? '')?.[1] ?? 0)
    assert.equal(rest!.status, 206)
    assert.ok(from >= HOLD - UNDER_WAY, `goes on at ${from}`)
    assert.ok(
      from + rest!.sent >= SIZE && rest!.sent <= SIZE - from + 100_000,
      `${rest!.sent} bytes from ${from}`,
    )
    assert.match(await daemon.ok('inspect', '-f', '{{.Id}}', name), /^sha256:/)
  }

  test('by Ctrl-C at a pull', async () => {
    const pull = await beginPull()
    pull.child.kill('SIGINT')
    const { code } = await pull.ended
    assert.notEqual(code, 0)
    await eventually(() => assert.ok(tap.downloads.length > 0, 'the daemon hung up'))
    assert.equal((await daemon.docker('inspect', name)).code, 1)
    await assertGoesOn()
  })

  test('by kill -9 of the daemon at a pull', async () => {
    const pull = await beginPull()
    await daemon.stop('SIGKILL')
    await pull.ended
    await daemon.start()
    assert.equal((await daemon.docker('inspect', name)).code, 1)
    await assertGoesOn()
  })

  test('by the network at a pull, which nobody notices', async () => {
    const pull = await beginPull()
    await tap.cut()
    await tap.set({})
    const { code, output } = await pull.ended
    assert.equal(code, 0, output)
    await eventually(() => {
      assert.ok(tap.downloads.some(({ range, status }) => range !== undefined && status === 206))
    })
  })

  test('by kill -9 of the daemon at a push', async () => {
    await loadNoise(daemon, `${HOST}/up:1`, [SIZE])
    await tap.set({ hold: HOLD })
    const push = begin('push', `${HOST}/up:1`)
    await tap.held()
    await daemon.stop('SIGKILL')
    await push.ended
    await tap.cut()
    await daemon.start()
    await tap.set({})
    const memory = memoryPeak([daemon.pid!])
    await daemon.ok('push', `${HOST}/up:1`)
    assert.ok(memory() < MEMORY, `${memory()} MB`)
    await eventually(() => assert.ok(tap.requests.some(({ url }) => url.endsWith('/manifests/1'))))
    const sent = tap.uploads
      .filter(({ status }) => status === 202)
      .reduce((sum, { received }) => sum + received, 0)
    assert.ok(sent <= SIZE - HOLD + UNDER_WAY, `${sent} bytes were sent the second time`)
    await tap.set({})
    assert.match(await daemon.ok('push', `${HOST}/up:1`), /: Layer already exists/)
    assert.deepEqual(
      tap.uploads.filter(({ method }) => method === 'PATCH'),
      [],
    )
  })

  test('by a registry that says 429', async () => {
    await daemon.docker('rmi', '-f', name)
    await daemon.ok('image', 'prune', '-f')
    await tap.set({ tooMany: 3 })
    assert.match(await daemon.ok('pull', name), /: Retrying in 1 second/)
    assert.equal(tap.requests.filter(({ status }) => status === 429).length, 3)
  })

  test('is one transfer for all who want it, until the last has gone', async () => {
    const first = await beginPull()
    const second = begin('pull', name)
    const third = begin('pull', name)
    await eventually(async () =>
      assert.ok(tap.requests.filter(({ method }) => method === 'HEAD').length >= 2),
    )
    first.child.kill('SIGINT')
    await first.ended
    await tap.set({})
    for (const { ended } of [second, third]) {
      const { code, output } = await ended
      assert.equal(code, 0, output)
    }
    await eventually(() => {
      const large = tap.downloads.filter(({ sent }) => sent > 1 << 20)
      assert.deepEqual(
        large.map(({ range, status }) => [range, status]),
        [[undefined, 200]],
      )
    })
  })

  test('leaves a running pull what it has, whoever prunes', async () => {
    const pull = await beginPull()
    await daemon.ok('image', 'prune', '-af')
    await daemon.docker('rmi', 'busybox')
    await tap.set({})
    const { code, output } = await pull.ended
    assert.equal(code, 0, output)
    await daemon.ok('create', '--name', 'whole', name)
    await daemon.ok('cp', 'whole:/noise-1', path.join(daemon.folder, 'noise'))
    assert.equal(fs.statSync(path.join(daemon.folder, 'noise')).size, SIZE)
    await daemon.ok('rm', 'whole')
  })

  test('leaves nothing on the disk once it is given up', async () => {
    const pull = await beginPull()
    pull.child.kill('SIGINT')
    await pull.ended
    const ingest = path.join(daemon.dataRoot, 'ingest')
    assert.equal(fs.readdirSync(ingest).length, 1)
    // Docker's client prints how much came back only where an image went.
    await eventually(async () => {
      const { body } = await daemon.api('POST', '/images/prune')
      assert.ok(body.SpaceReclaimed > HOLD - UNDER_WAY, `${body.SpaceReclaimed} bytes`)
    })
    assert.deepEqual(fs.readdirSync(ingest), [])
  })

  test('by a registry that is asked to stop: it lets the transfer end', async () => {
    const pull = await beginPull()
    const stopping = registry.stop('SIGTERM')
    await tap.set({})
    const { code, output } = await pull.ended
    assert.equal(code, 0, output)
    assert.equal(await stopping, 0)
    registry = await startGantryRegistry(daemon, '127.0.0.1:5001', storage)
  })
})
