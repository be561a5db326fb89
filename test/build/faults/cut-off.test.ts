/** Builds that are cut off, and what they leave: nothing, and a cache that is still true. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { cannotRunDaemon } from '../../support/daemon.ts'
import { eventually } from '../../support/eventually.ts'
import { SmallDisk, soon } from './small-disk.ts'

describe('builds that are cut off', { skip: cannotRunDaemon() }, () => {
  let disk: SmallDisk

  before(async () => {
    disk = await SmallDisk.start(400)
  })
  after(() => disk?.remove())

  const first = (name: string) => `FROM busybox\nRUN echo first-${name} > /first\n`
  const stubborn = (name: string) =>
    `${first(name)}RUN trap '' TERM INT HUP; echo begun; while true; do sleep 0.2; done\n`
  const begun = (output: () => string) => eventually(() => assert.match(output(), /^#\d+ [\d.]+ begun/m))

  /** The step before the one that was cut off is in the cache, and what it made is there. */
  async function isStillTrue(name: string): Promise<void> {
    await disk.nothingHalf()
    const again = await disk.build(`${first(name)}RUN cat /first\n`)
    assert.equal(again.code, 0, again.stderr)
    assert.match(again.stderr, /CACHED/)
    assert.match(again.stderr, new RegExp(`first-${name}$`, 'm'))
  }

  for (const signal of ['SIGKILL', 'SIGINT'] as const) {
    test(`a client that ends by ${signal} takes the step that ignores signals with it`, async () => {
      await disk.during(stubborn(signal), {}, async (client, output) => {
        await begun(output)
        assert.equal(disk.names('build/layers').length, disk.names('build/records').length + 1)
        client.kill(signal)
        await isStillTrue(signal)
      })
    })
  }

  test('a daemon killed in a RUN', async () => {
    await disk.during(stubborn('run'), {}, async (_, output) => {
      await begun(output)
      await disk.daemon.stop('SIGKILL')
    })
    await disk.daemon.start()
    await isStillTrue('run')
  })

  test('a daemon killed in a COPY', async () => {
    const files = Object.fromEntries(
      Array.from({ length: 2000 }, (_, index) => [`file-${index}`, Buffer.alloc(10_000, index)]),
    )
    const copy = (text: string) => `${text}COPY --chown=7:7 . /copied\n`
    await disk.during(copy(first('copy')), files, async () => {
      await soon(() => disk.names('build/records').length >= 1 && isCopying())
      await disk.daemon.stop('SIGKILL')
    })
    await disk.daemon.start()
    await isStillTrue('copy')
    const all = await disk.build(`${copy(first('copy'))}RUN ls /copied | grep -c file-\n`, files)
    assert.equal(all.code, 0, all.stderr)
    assert.match(all.stderr, /^#\d+ [\d.]+ 2000$/m)
  })

  /** A layer that is being made has a folder of overlayfs's own. */
  const isCopying = () => disk.names('build/layers').some(id => hasFile(id))
  function hasFile(id: string): boolean {
    try {
      return (
        disk.names(`build/layers/${id}`).includes('work') &&
        disk.names(`build/layers/${id}/fs/copied`).length > 9
      )
    } catch {
      return false
    }
  }

  test('a daemon killed in the commit of a layer', async () => {
    const large = `${first('commit')}RUN head -c 60000000 /dev/urandom > /large\n`
    await disk.during(large, {}, async () => {
      await soon(() => disk.names('ingest').length > 0)
      await disk.daemon.stop('SIGKILL')
    })
    await disk.daemon.start()
    await isStillTrue('commit')
    const again = await disk.build(large, {}, '-t', 'large')
    assert.equal(again.code, 0, again.stderr)
    const size = await disk.daemon.ok('run', '--rm', '--network=none', 'large', 'stat', '-c', '%s', '/large')
    assert.equal(size, '60000000')
    await disk.daemon.ok('rmi', '-f', 'large')
  })

  test('a prune during a build takes nothing that the build stands on', async () => {
    await disk.during(stubborn('prune'), {}, async (client, output) => {
      await begun(output)
      await disk.daemon.ok('rmi', '-f', 'busybox').catch(() => {})
      await disk.daemon.ok('builder', 'prune', '-af')
      await disk.daemon.ok('image', 'prune', '-af')
      assert.ok(disk.names('build/bases').length > 0)
      client.kill('SIGINT')
      await disk.nothingHalf()
    })
    await eventually(() => assert.deepEqual(disk.names('build/bases').length, 1))
  })

  test('prune leaves no layer, record or base', async () => {
    await disk.daemon.ok('builder', 'prune', '-af')
    const left = ['layers', 'records', 'bases'].map(name => disk.names(`build/${name}`))
    assert.deepEqual(left, [[], [], []])
  })
})
