/** The places where a daemon listens besides its unix socket: TCP with and without certificates, and sockets it is handed. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { selfSigned } from './support/certificate.ts'
import { cannotRunDaemon, Daemon, type Outcome } from './support/daemon.ts'
import { eventually } from './support/eventually.ts'

const bin = path.resolve(import.meta.dirname, '../bin')

function cannotRun(): string | false {
  try {
    execFileSync('openssl', ['version'], { stdio: 'pipe' })
  } catch {
    return 'needs openssl (Debian: apt-get install openssl)'
  }
  return cannotRunDaemon()
}

describe('listeners', { skip: cannotRun() }, () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gantry-listeners-'))
  const file = (name: string) => path.join(folder, name)
  after(() => fs.rmSync(folder, { recursive: true, force: true }))

  describe('tcp', () => {
    let daemon: Daemon
    before(async () => {
      for (const name of ['server', 'client', 'stranger']) selfSigned(folder, name)
      daemon = await Daemon.start({
        args: [
          ...['-H', 'tcp://127.0.0.1', '--tlsverify', '--tlscacert', file('client.pem')],
          ...['--tlscert', file('server.pem'), '--tlskey', file('server-key.pem')],
        ],
      })
    })
    after(() => daemon?.remove())

    /** The docker client where the daemon's port 2376 is. */
    function overTls(who: string | undefined, ...args: string[]): Outcome {
      const identity = who ? ['--tlscert', file(`${who}.pem`), '--tlskey', file(`${who}-key.pem`)] : []
      try {
        const stdout = daemon.inNetwork(
          ...['docker', '-H', 'tcp://127.0.0.1:2376', '--tlsverify', '--tlscacert', file('server.pem')],
          ...[...identity, ...args],
        )
        return { stdout, stderr: '', code: 0 }
      } catch (error) {
        const { stdout, stderr, status } = error as { stdout: string; stderr: string; status: number }
        return { stdout, stderr, code: status }
      }
    }

    test('a client with a trusted certificate runs containers', () => {
      const run = ['run', '--rm', '--network', 'none', 'busybox', 'echo', 'over TLS']
      assert.deepEqual(overTls('client', ...run), { stdout: 'over TLS\n', stderr: '', code: 0 })
    })

    test('one without, or with another one, is refused', () => {
      for (const who of [undefined, 'stranger']) {
        const { code, stderr } = overTls(who, 'version')
        assert.notEqual(code, 0)
        assert.match(stderr, /tls:|certificate/i)
      }
    })

    test('nothing is told to who does not speak TLS', () => {
      assert.throws(() => daemon.inNetwork('docker', '-H', 'tcp://127.0.0.1:2376', 'version'))
      assert.doesNotMatch(daemon.log, /DEPRECATION NOTICE/)
    })
  })

  test('tcp without certificates warns, and works', async () => {
    const daemon = await Daemon.start({ args: ['-H', 'tcp://127.0.0.1:4711'] })
    try {
      assert.match(daemon.log, /whoever reaches this address is root/)
      const out = daemon.inNetwork('docker', '-H', 'tcp://127.0.0.1:4711', 'images', '-q', 'busybox')
      assert.match(out, /^[0-9a-f]{12}\n$/)
    } finally {
      await daemon.remove()
    }
  })

  test('a socket handed over by systemd is listened on', { skip: cannotHandOver() }, async () => {
    const socket = file('handed.sock')
    // What systemd does: a listening socket as descriptor 3, and LISTEN_PID of the process that execs.
    const hand = `
      use Socket; $^F = 10;
      socket(my $s, AF_UNIX, SOCK_STREAM, 0) or die; bind($s, sockaddr_un($ARGV[0])) or die; listen($s, 8) or die;
      fileno($s) == 3 or die "not the third: " . fileno($s);
      $ENV{LISTEN_FDS} = 1; $ENV{LISTEN_PID} = $$; shift; exec @ARGV;`
    const roots = ['--data-root', file('data'), '--exec-root', file('run'), '--pidfile', file('pid')]
    const daemon = spawn(
      'unshare',
      ['-n', 'perl', '-e', hand, socket, path.join(bin, 'dockerd'), '-H', 'fd://', ...roots],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    )
    let log = ''
    daemon.stderr.on('data', chunk => {
      log += chunk
    })
    const gone = new Promise(resolve => daemon.once('exit', resolve))
    try {
      await eventually(() => {
        assert.equal(daemon.exitCode, null, log)
        const out = execFileSync('docker', ['-H', `unix://${socket}`, 'info', '-f', '{{.DockerRootDir}}'], {
          encoding: 'utf8',
          stdio: 'pipe',
        })
        assert.equal(out, `${file('data')}\n`)
      })
    } finally {
      daemon.kill()
      await gone
    }
  })

  test('fd:// without such a socket is an error', () => {
    const roots = ['--data-root', file('data'), '--exec-root', file('run'), '--pidfile', file('pid')]
    assert.throws(
      () =>
        execFileSync('unshare', ['-n', path.join(bin, 'gantry'), 'daemon', '-H', 'fd://', ...roots], {
          stdio: 'pipe',
          encoding: 'utf8',
        }),
      /no sockets found via socket activation/,
    )
  })
})

function cannotHandOver(): string | false {
  try {
    execFileSync('perl', ['-MSocket', '-e', '1'], { stdio: 'pipe' })
    return false
  } catch {
    return 'needs perl (Debian: apt-get install perl-base)'
  }
}
