/** What goes wrong on real machines: a shim that is killed, a reboot, a full disk, clients that do not read or hang up. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import * as net from 'node:net'
import * as os from 'node:os'
import * as path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { cannotRunDaemon, Daemon } from './support/daemon.ts'
import { eventually } from './support/eventually.ts'
import { isAlive, openFiles, processesBelow, shimOf } from './support/processes.ts'
import { suiteDaemon } from './support/suite.ts'

describe('faults', { skip: cannotRunDaemon() }, () => {
  const daemon = suiteDaemon()

  test('a container whose shim is killed is settled and can be started again', async () => {
    const id = await daemon.ok('run', '-d', '--network', 'none', 'busybox', 'sleep', '1000')
    const pid = Number(await daemon.ok('inspect', '-f', '{{.State.Pid}}', id))
    process.kill(shimOf(daemon, id), 'SIGKILL')
    await eventually(async () =>
      assert.equal(await daemon.ok('inspect', '-f', '{{.State.Running}}', id), 'false'),
    )
    assert.equal(isAlive(pid), false, 'the process lives on unwatched')
    assert.equal(await daemon.ok('inspect', '-f', '{{.State.ExitCode}}', id), '137')
    await daemon.ok('start', id)
    assert.equal(await daemon.ok('inspect', '-f', '{{.State.Running}}', id), 'true')
    await daemon.ok('rm', '-f', id)
  })

  test('a shim killed while the daemon is dead is found at the next start', async () => {
    const id = await daemon.ok('run', '-d', '--network', 'none', 'busybox', 'sleep', '1000')
    const pid = Number(await daemon.ok('inspect', '-f', '{{.State.Pid}}', id))
    await daemon.stop('SIGKILL')
    process.kill(shimOf(daemon, id), 'SIGKILL')
    await daemon.start()
    await eventually(async () =>
      assert.equal(await daemon.ok('inspect', '-f', '{{.State.Running}}', id), 'false'),
    )
    assert.equal(isAlive(pid), false, 'the process lives on unwatched')
    await daemon.ok('rm', '-f', id)
  })

  test('after a reboot containers have ended, and those that must be are started again', async () => {
    const plain = await daemon.ok('run', '-d', '--network', 'none', 'busybox', 'sleep', '1000')
    const always = await daemon.ok(
      'run',
      '-d',
      '--network',
      'none',
      '--restart',
      'always',
      'busybox',
      'sleep',
      '1000',
    )
    await daemon.stop('SIGKILL')
    for (const id of [plain, always]) process.kill(shimOf(daemon, id), 'SIGKILL')
    for (const pid of processesBelow(daemon.execRoot)) process.kill(pid, 'SIGKILL')
    fs.rmSync(daemon.execRoot, { recursive: true })
    await daemon.start()
    assert.equal(
      await daemon.ok('inspect', '-f', '{{.State.Status}} {{.State.ExitCode}}', plain),
      'exited 255',
    )
    await eventually(async () =>
      assert.equal(await daemon.ok('inspect', '-f', '{{.State.Status}}', always), 'running'),
    )
    await daemon.ok('rm', '-f', plain, always)
  })

  test('a log reader that never reads holds up neither the container nor the daemon', async () => {
    const id = await daemon.ok(
      'run',
      '-d',
      '--network',
      'none',
      'busybox',
      'sh',
      '-c',
      'sleep 1; yes | head -c 50000000',
    )
    const reader = net.connect(daemon.socket)
    reader.write(`GET /containers/${id}/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: d\r\n\r\n`)
    reader.pause()
    assert.equal(await daemon.ok('wait', id), '0')
    const resident = Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${daemon.pid}/status`, 'utf8'))![1])
    assert.ok(resident < 400_000, `the daemon holds ${resident} kB`)
    reader.destroy()
    await daemon.ok('rm', id)
  })

  test('a thousand clients attach and hang up, and not one descriptor stays open', async () => {
    const id = await daemon.ok('run', '-d', '--network', 'none', 'busybox', 'sleep', '1000')
    const shim = shimOf(daemon, id)
    await attachAndHangUp(daemon, id)
    await sleep(200)
    const openBefore = { daemon: openFiles(daemon.pid!), shim: openFiles(shim) }
    for (let i = 0; i < 1000; i++) await attachAndHangUp(daemon, id)
    // Fewer is fine: what was open for the container's start may have been still open before.
    await eventually(async () => {
      const open = { daemon: openFiles(daemon.pid!), shim: openFiles(shim) }
      assert.ok(
        open.daemon <= openBefore.daemon && open.shim <= openBefore.shim,
        JSON.stringify({ open, openBefore }),
      )
    })
    await daemon.ok('rm', '-f', id)
  })
})

describe('a full disk', { skip: cannotRunDaemon() }, () => {
  let parent: string
  let daemon: Daemon
  before(async () => {
    parent = fs.mkdtempSync(path.join(os.tmpdir(), 'gantry-disk-'))
    const image = `${parent}.img`
    fs.closeSync(fs.openSync(image, 'w'))
    fs.truncateSync(image, 96 << 20)
    execFileSync('mkfs.ext4', ['-q', '-m', '0', image])
    execFileSync('mount', ['-o', 'loop', image, parent])
    daemon = await Daemon.start({ parent })
  })
  after(async () => {
    await daemon?.remove()
    execFileSync('umount', [parent])
    fs.rmSync(parent, { recursive: true })
    fs.rmSync(`${parent}.img`)
  })

  const free = () => {
    const { bavail, bsize } = fs.statfsSync(parent)
    return Math.round((bavail * bsize) / 1e6)
  }

  test('a layer that does not fit is refused, and its space comes back', async () => {
    const freeBefore = free()
    const archive = path.join(os.tmpdir(), `gantry-large-${process.pid}.tar`)
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gantry-large-'))
    try {
      execFileSync('dd', ['if=/dev/urandom', `of=${folder}/noise`, 'bs=1M', 'count=120'], { stdio: 'ignore' })
      execFileSync('tar', ['-C', folder, '-cf', archive, '.'])
      const { code, stderr } = await daemon.docker('import', archive, 'large:latest')
      assert.notEqual(code, 0)
      assert.match(stderr, /no space left on device/i)
    } finally {
      fs.rmSync(folder, { recursive: true })
      fs.rmSync(archive, { force: true })
    }
    await eventually(async () =>
      assert.ok(free() >= freeBefore - 2, `${freeBefore} MB free before, ${free()} after`),
    )
    assert.equal(await daemon.ok('run', '--rm', '--network', 'none', 'busybox', 'echo', 'fine'), 'fine')
  })

  test('a container outlives a log that cannot grow', async () => {
    const command = 'head -c 150000000 /dev/zero | tr "\\0" "x" | fold -w 1000; echo the end'
    const id = await daemon.ok('run', '-d', '--network', 'none', 'busybox', 'sh', '-c', command)
    assert.equal(await daemon.ok('wait', id), '0')
    const log = fs.readFileSync(await daemon.ok('inspect', '-f', '{{.LogPath}}', id), 'latin1')
    for (const line of log.trimEnd().split('\n')) JSON.parse(line)
    await daemon.ok('rm', id)
    assert.equal(await daemon.ok('run', '--rm', '--network', 'none', 'busybox', 'echo', 'fine'), 'fine')
  })

  test('a log goes on when there is space again', async () => {
    const wait = (file: string) => `until [ -e /dev/shm/${file} ]; do sleep 0.1; done`
    const noise = 'head -c 3000000 /dev/zero | tr "\\0" "x" | fold -w 1000'
    const id = await daemon.ok(
      ...['run', '-d', '--network', 'none', 'busybox', 'sh', '-c'],
      `echo before; ${wait('full')}; ${noise}; echo; touch /dev/shm/lost; ${wait('free')}; echo after`,
    )
    const filler = path.join(parent, 'filler')
    spawnSync('dd', ['if=/dev/zero', `of=${filler}`, 'bs=64k'], { stdio: 'ignore' })
    assert.ok(free() < 1)
    await daemon.ok('exec', id, 'touch', '/dev/shm/full')
    await daemon.ok('exec', id, 'sh', '-c', wait('lost'))
    fs.rmSync(filler)
    await daemon.ok('exec', id, 'touch', '/dev/shm/free')
    assert.equal(await daemon.ok('wait', id), '0')
    const lines = (await daemon.ok('logs', id)).split('\n')
    assert.equal(lines[0], 'before')
    assert.equal(lines.at(-1), 'after')
    assert.ok(lines.length < 3000, `${lines.length} lines on a full disk`)
    assert.ok(lines.slice(1, -1).every(line => /^x{1000}$/.test(line)))
    await daemon.ok('rm', id)
  })
})

/** Attach to `id` over a socket of its own, wait for the stream to be opened, and hang up without a word. */
function attachAndHangUp(daemon: Daemon, id: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(daemon.socket)
    socket.write(
      `POST /containers/${id}/attach?stream=1&stdout=1&stderr=1 HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n`,
    )
    socket.once('data', () => socket.destroy())
    socket.once('close', () => resolve())
    socket.once('error', reject)
  })
}
