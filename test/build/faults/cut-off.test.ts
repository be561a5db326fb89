/** Builds that are cut off, and what they leave: nothing, and a cache that is still true. */
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { cannotRunDaemon, Daemon } from '../support/daemon.ts'
import { eventually } from '../support/eventually.ts'
import { leftovers } from '../support/leftovers.ts'

describe('builds that are cut off', { skip: cannotRunDaemon() }, () => {
  let daemon: Daemon
  let parent: string

  before(async () => {
    parent = fs.mkdtempSync('/var/tmp/gantry-build-')
    const image = `${parent}.img`
    fs.closeSync(fs.openSync(image, 'w'))
    fs.truncateSync(image, 160 << 20)
    execFileSync('mkfs.ext4', ['-q', '-m', '0', image])
    execFileSync('mount', ['-o', 'loop', image, parent])
    daemon = await Daemon.start({ parent })
  })

  after(async () => {
    await daemon?.remove()
    if (daemon) assert.deepEqual(leftovers(daemon), [])
    execFileSync('umount', [parent])
    fs.rmSync(parent, { recursive: true })
    fs.rmSync(`${parent}.img`)
  })

  function contextOf(dockerfile: string, files: Record<string, Buffer> = {}): string {
    const context = fs.mkdtempSync(path.join('/var/tmp', 'gantry-context-'))
    fs.writeFileSync(path.join(context, 'Dockerfile'), dockerfile)
    for (const [name, bytes] of Object.entries(files)) fs.writeFileSync(path.join(context, name), bytes)
    return context
  }

  async function build(dockerfile: string, files: Record<string, Buffer> = {}, ...args: string[]) {
    const context = contextOf(dockerfile, files)
    try {
      return await daemon.docker('build', '--progress=plain', ...args, context)
    } finally {
      fs.rmSync(context, { recursive: true })
    }
  }

  /** A build that has said `text`, still at work. */
  async function begin(dockerfile: string, text: string): Promise<ChildProcess> {
    const context = contextOf(dockerfile)
    const child = spawn('docker', ['build', '--progress=plain', '--network=none', context], {
      env: { ...process.env, DOCKER_HOST: daemon.host },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let output = ''
    child.stderr!.on('data', chunk => {
      output += chunk
    })
    try {
      await eventually(() => assert.match(output, new RegExp(`^#\\d+ [\\d.]+ ${text}`, 'm')))
    } finally {
      fs.rmSync(context, { recursive: true })
    }
    return child
  }

  const layers = () => fs.readdirSync(path.join(daemon.dataRoot, 'build/layers'))
  const records = () => fs.readdirSync(path.join(daemon.dataRoot, 'build/records'))

  /** Each layer has its record, and no step is left in the folder of running containers. */
  const nothingHalf = () =>
    eventually(() => {
      assert.deepEqual(
        layers().sort(),
        records()
          .map(name => path.basename(name, '.json'))
          .sort(),
      )
      assert.deepEqual(
        leftovers(daemon).filter(one => one.startsWith('mount') && !one.includes('loop')),
        [],
      )
    })

  const stubborn = (name: string) =>
    `FROM busybox\nRUN echo first-${name} > /first\nRUN trap '' TERM INT HUP; echo begun; while true; do sleep 0.2; done\n`

  test('a client that is gone takes the step that ignores signals with it', async () => {
    const child = await begin(stubborn('client'), 'begun')
    assert.equal(layers().length, records().length + 1)
    child.kill('SIGKILL')
    await nothingHalf()
  })

  test('a daemon killed in a RUN sweeps at its next start, and keeps what was complete', async () => {
    const child = await begin(stubborn('daemon'), 'begun')
    await daemon.stop('SIGKILL')
    child.kill('SIGKILL')
    await daemon.start()
    await nothingHalf()
    const again = await build('FROM busybox\nRUN echo first-daemon > /first\n', {}, '--network=none')
    assert.equal(again.code, 0, again.stderr)
    assert.match(again.stderr, /CACHED/)
  })

  test('a COPY that does not fit is refused, and its space comes back', async () => {
    const free = () => {
      const { bavail, bsize } = fs.statfsSync(parent)
      return Math.round((bavail * bsize) / 1e6)
    }
    const before = free()
    const noise = Buffer.alloc(200 << 20, 'x')
    const { code, stderr } = await build('FROM busybox\nCOPY big /big\n', { big: noise })
    assert.notEqual(code, 0)
    assert.match(stderr, /no space left on device/i)
    await nothingHalf()
    await eventually(() => assert.ok(free() >= before - 2, `${free()} of ${before} MB`))
    const small = await build('FROM busybox\nCOPY big /big\n', { big: Buffer.from('small') })
    assert.equal(small.code, 0, small.stderr)
  })

  test('a RUN that prints 200 MB is cut short and held', async () => {
    const { code, stderr } = await build(
      'FROM busybox\nRUN yes 0123456789012345678901234567890123456789 | head -c 200000000\n',
      {},
      '--network=none',
    )
    assert.equal(code, 0, stderr.slice(-2000))
    assert.ok(stderr.length < 8 << 20)
    assert.match(stderr, /output clipped/)
  })

  test('prune leaves no layer, record or base', async () => {
    await daemon.ok('builder', 'prune', '-af')
    assert.deepEqual(
      [layers(), records(), fs.readdirSync(path.join(daemon.dataRoot, 'build/bases'))],
      [[], [], []],
    )
  })
})
