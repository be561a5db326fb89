/** Real work in a real distribution: packages installed, servers run from a committed image, privileges, a terminal. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import * as net from 'node:net'
import * as path from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { cannotRunDaemon } from './support/daemon.ts'
import { cannotMakeDebian } from './support/debian-rootfs.ts'
import { eventually } from './support/eventually.ts'
import { debianDaemon } from './support/suite.ts'
import { Terminal } from './support/terminal.ts'

describe('a Debian root file system', { skip: cannotRunDaemon() || cannotMakeDebian() }, () => {
  const daemon = debianDaemon()

  const inside = (...command: string[]) =>
    daemon.ok('run', '--rm', '--network', 'none', 'debian:servers', ...command)

  test('nginx serves a page from a committed image', async () => {
    const port = await freePort()
    const config = `daemon off; events {} http { server { listen 127.0.0.1:${port}; root /var/www/html; index index.nginx-debian.html; } }`
    await daemon.ok(
      'run',
      '-d',
      '--name',
      'nginx',
      '--network',
      'host',
      'debian:servers',
      'sh',
      '-c',
      `echo '${config}' > /etc/nginx/nginx.conf; exec nginx`,
    )
    await eventually(async () =>
      assert.match(await (await fetch(`http://127.0.0.1:${port}/`)).text(), /Welcome to nginx/),
    )
    await daemon.ok('stop', 'nginx')
    assert.equal(await daemon.ok('inspect', '-f', '{{.State.ExitCode}}', 'nginx'), '0')
    await daemon.ok('rm', 'nginx')
  })

  test('redis answers', async () => {
    const port = await freePort()
    await daemon.ok(
      'run',
      '-d',
      '--name',
      'redis',
      '--network',
      'host',
      '-u',
      'redis',
      'debian:servers',
      'redis-server',
      '--port',
      `${port}`,
      '--bind',
      '127.0.0.1',
      '--dir',
      '/tmp',
    )
    await eventually(async () =>
      assert.equal(
        await daemon.ok('exec', 'redis', 'redis-cli', '-p', `${port}`, 'set', 'key', 'value'),
        'OK',
      ),
    )
    assert.equal(await daemon.ok('exec', 'redis', 'redis-cli', '-p', `${port}`, 'get', 'key'), 'value')
    await daemon.ok('rm', '-f', 'redis')
  })

  test('postgresql answers', async () => {
    const port = await freePort()
    const start = `exec /usr/lib/postgresql/15/bin/postgres -D /var/lib/postgresql/15/main -c config_file=/etc/postgresql/15/main/postgresql.conf -c port=${port} -c listen_addresses=127.0.0.1`
    await daemon.ok(
      'run',
      '-d',
      '--name',
      'pg',
      '--network',
      'host',
      '-u',
      'postgres',
      'debian:servers',
      'sh',
      '-c',
      start,
    )
    await eventually(async () =>
      assert.equal(await daemon.ok('exec', 'pg', 'psql', '-p', `${port}`, '-Atc', 'select 6 * 7'), '42'),
    )
    await daemon.ok('stop', '-s', 'INT', 'pg')
    assert.equal(await daemon.ok('inspect', '-f', '{{.State.ExitCode}}', 'pg'), '0')
    await daemon.ok('rm', 'pg')
  })

  test('file capabilities, set-user-id programs and new users work', async () => {
    assert.match(await inside('getcap', '/bin/ping'), /cap_net_raw=ep/)
    const asNobody = ['run', '--rm', '--network', 'host', '-u', 'nobody', 'debian:servers']
    assert.match(await daemon.ok(...asNobody, 'ping', '-c', '1', '127.0.0.1'), /1 received/)
    assert.equal(await inside('sh', '-c', 'useradd -m alice && su alice -c "id -un; pwd"'), 'alice\n/')
    const { code } = await daemon.docker(...asNobody, 'su', '-c', 'true')
    assert.notEqual(code, 0, 'su without a password became root')
  })

  test('/usr copied out and in again is the same, bit by bit', async () => {
    const out = path.join(daemon.folder, 'out')
    fs.mkdirSync(out)
    await daemon.ok(
      'create',
      '--name',
      'copy',
      '--network',
      'none',
      'debian:12',
      'sh',
      '-c',
      'cd /; find usr -printf "%P %m %U %G %s %y %l\\n" | sort | md5sum; cd /copy; find usr -printf "%P %m %U %G %s %y %l\\n" | sort | md5sum; diff -r --no-dereference /usr /copy/usr && echo same',
    )
    await daemon.ok('cp', '-a', 'copy:/usr', out)
    fs.mkdirSync(path.join(daemon.folder, 'copy'))
    await daemon.ok('cp', path.join(daemon.folder, 'copy'), 'copy:/copy')
    await daemon.ok('cp', '-a', path.join(out, 'usr'), 'copy:/copy/')
    const lines = (await daemon.ok('start', '-a', 'copy')).split('\n')
    const listing = execFileSync(
      'sh',
      ['-c', `cd '${out}'; find usr -printf '%P %m %U %G %s %y %l\\n' | LC_ALL=C sort | md5sum`],
      { encoding: 'utf8' },
    )
    assert.equal(lines[2], 'same')
    assert.ok(listing.length > 0)
    await daemon.ok('rm', 'copy')
    fs.rmSync(out, { recursive: true })
  })

  test('a shell on a terminal: size, Ctrl-C, detach and attach again', {
    skip: Terminal.cannotRun(),
  }, async () => {
    const terminal = await Terminal.open(
      `DOCKER_HOST=${daemon.host} docker run -it --name tty --network none debian:12 bash`,
    )
    try {
      await terminal.waitFor(/# $/)
      await terminal.type('stty size\n')
      await terminal.waitFor(/24 80/)
      await terminal.resize(100, 30)
      await sleep(300)
      await terminal.type('clear; stty size\n')
      await terminal.waitFor(/30 100/)
      await terminal.type('sleep 1000\n')
      await sleep(300)
      await terminal.press('C-c')
      await terminal.type('echo after=$?\n')
      await terminal.waitFor(/after=130/)
      await terminal.press('C-p', 'C-q')
      await terminal.waitFor(/read escape sequence|\$ $/)
      assert.equal(await daemon.ok('inspect', '-f', '{{.State.Running}}', 'tty'), 'true')
      await terminal.type(`clear; DOCKER_HOST=${daemon.host} docker attach tty\n`)
      await sleep(500)
      await terminal.type('echo back-$((6*7))\n')
      await terminal.waitFor(/back-42/)
      await terminal.type('exit 7\n')
      await eventually(async () =>
        assert.equal(
          await daemon.ok('inspect', '-f', '{{.State.Status}} {{.State.ExitCode}}', 'tty'),
          'exited 7',
        ),
      )
    } finally {
      terminal.close()
      await daemon.docker('rm', '-f', 'tty')
    }
  })
})

/** A TCP port of 127.0.0.1 that nobody listens on now. */
async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const { port } = server.address() as net.AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
}
