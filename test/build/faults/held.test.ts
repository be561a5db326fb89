/** Builds that would fill a disk or a machine are held. */
import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { cannotRunDaemon } from '../../support/daemon.ts'
import { eventually } from '../../support/eventually.ts'
import { groupsNamed } from '../../support/leftovers.ts'
import { memoryPeak } from '../../support/memory.ts'
import { processesBelow } from '../../support/processes.ts'
import { SmallDisk } from './small-disk.ts'

describe('builds that would take everything', { skip: cannotRunDaemon() }, () => {
  let disk: SmallDisk

  before(async () => {
    disk = await SmallDisk.start(160)
  })
  after(() => disk?.remove())

  /** The build fails for want of space, all of which comes back. */
  async function doesNotFit(dockerfile: string, files: Record<string, Buffer> = {}): Promise<void> {
    const before = disk.free
    const { code, stderr } = await disk.build(dockerfile, files, '--no-cache')
    assert.notEqual(code, 0)
    assert.match(stderr, /no space left on device/i)
    await disk.nothingHalf()
    await disk.daemon.ok('builder', 'prune', '-af')
    await eventually(() => assert.ok(disk.free >= before - 2, `${disk.free} of ${before} MB`))
    const small = await disk.build('FROM busybox\nCOPY big /big\n', { big: Buffer.from('small') })
    assert.equal(small.code, 0, small.stderr)
    await disk.daemon.ok('builder', 'prune', '-af')
  }

  test('a context that does not fit', async () => {
    await doesNotFit('FROM busybox\nCOPY big /big\n', { big: Buffer.alloc(200 << 20, 'x') })
  })

  test('a COPY that does not fit, of a context that does', async () => {
    await doesNotFit('FROM busybox\nCOPY --chown=7:7 big /big\n', { big: Buffer.alloc(80 << 20, 'x') })
  })

  test('a layer of a step that fits, and its archive does not', async () => {
    await doesNotFit('FROM busybox\nRUN head -c 80000000 /dev/urandom > /large\n')
  })

  test('a step that prints 1 GB is cut short', async () => {
    const peak = memoryPeak([disk.daemon.pid!])
    const line = '0123456789012345678901234567890123456789'
    const print = `FROM busybox\nRUN yes ${line} | head -c 1000000000\n`
    const { code, stderr } = await disk.build(print)
    assert.equal(code, 0, stderr.slice(-2000))
    assert.match(stderr, /output clipped/)
    assert.ok(stderr.length < 8 << 20)
    assert.ok(peak() < 400, `${peak()} MB`)
  })

  test('a step has a limit of processes that leaves half of them to the host', async () => {
    const { code, stderr } = await disk.build(
      'FROM busybox\nRUN cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max; true\n',
    )
    assert.equal(code, 0, stderr)
    const [, limit] = /^#\d+ [\d.]+ (\d+)$/m.exec(stderr) ?? []
    assert.ok(Number(limit) <= Number(fs.readFileSync('/proc/sys/kernel/pid_max')) / 2, stderr)
  })

  test('a step that forks until it may not ends, with all that it made', async () => {
    const bomb = 'FROM busybox\nRUN echo begun; sleep 2; while true; do sleep 1000 & done\n'
    await disk.during(bomb, {}, async (_, output) => {
      await eventually(() => assert.match(output(), /^#\d+ [\d.]+ begun/m))
      for (const group of groupsNamed(disk.daemon.cgroupParent)) {
        for (const name of fs.readdirSync(group)) lowerLimit(path.join(group, name, 'pids.max'))
      }
      await eventually(() => assert.match(output(), /can't fork[\s\S]*did not complete successfully/))
      await disk.nothingHalf()
      assert.deepEqual(processesBelow(disk.daemon.folder), [disk.daemon.pid])
    })
  })
})

/** The real one would take all of the machine's memory. */
function lowerLimit(file: string): void {
  if (fs.existsSync(file)) fs.writeFileSync(file, '100')
}
