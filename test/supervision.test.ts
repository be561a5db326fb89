/** What the daemon does for a container over time: restarts, health checks, logs that rotate. */
import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { describe, test } from 'node:test'
import { cannotRunDaemon } from './support/daemon.ts'
import { eventually } from './support/eventually.ts'
import { suiteDaemon } from './support/suite.ts'

describe('supervision', { skip: cannotRunDaemon() }, () => {
  const daemon = suiteDaemon()

  const start = (name: string, flags: string[], ...command: string[]) =>
    daemon.ok('run', '-d', '--name', name, '--network', 'none', ...flags, 'busybox', ...command)
  const inspect = (name: string, format: string) => daemon.ok('inspect', '-f', format, name)

  test('on-failure restarts so often and no more, and not after success', async () => {
    await start('fails', ['--restart', 'on-failure:3'], 'sh', '-c', 'exit 5')
    await eventually(async () =>
      assert.equal(await inspect('fails', '{{.RestartCount}} {{.State.Status}}'), '3 exited'),
    )
    assert.equal(await inspect('fails', '{{.State.ExitCode}}'), '5')
    await start('succeeds', ['--restart', 'on-failure:3'], 'true')
    await eventually(async () =>
      assert.equal(await inspect('succeeds', '{{.State.Status}} {{.RestartCount}}'), 'exited 0'),
    )
    await daemon.ok('rm', '-f', 'fails', 'succeeds')
  })

  test('a container that was stopped by hand stays so over a restart of the daemon', async () => {
    await start('unless', ['--restart', 'unless-stopped'], 'sleep', '1000')
    await start('always', ['--restart', 'always'], 'sleep', '1000')
    await daemon.ok('stop', '-t', '0', 'unless', 'always')
    await daemon.stop('SIGKILL')
    await daemon.start()
    await eventually(async () => assert.equal(await inspect('always', '{{.State.Status}}'), 'running'))
    assert.equal(await inspect('unless', '{{.State.Status}}'), 'exited')
    await daemon.ok('rm', '-f', 'unless', 'always')
  })

  test('a restart policy and --rm exclude each other', async () => {
    const { code, stderr } = await daemon.docker('run', '--rm', '--restart', 'always', 'busybox', 'true')
    assert.equal(code, 125)
    assert.match(stderr, /[Cc]onflicting options|can't create 'AutoRemove' container with restart policy/)
  })

  test('health goes from starting to healthy to unhealthy, and a check that hangs is killed', async () => {
    const flags = [
      '--health-cmd',
      'test -f /ok',
      '--health-interval',
      '200ms',
      '--health-retries',
      '2',
      '--health-timeout',
      '1s',
    ]
    await start('health', flags, 'sleep', '1000')
    await daemon.ok('exec', 'health', 'touch', '/ok')
    await eventually(async () => assert.equal(await inspect('health', '{{.State.Health.Status}}'), 'healthy'))
    await daemon.ok('exec', 'health', 'rm', '/ok')
    await eventually(async () =>
      assert.equal(await inspect('health', '{{.State.Health.Status}}'), 'unhealthy'),
    )
    const { body } = await daemon.api('GET', '/containers/health/json')
    assert.ok(body.State.Health.Log.length <= 5)
    assert.equal(body.State.Health.Log.at(-1).ExitCode, 1)
    await daemon.ok('rm', '-f', 'health')

    await start(
      'hangs',
      [
        '--health-cmd',
        '(sleep 4711 &); sleep 4711 & sleep 4711',
        '--health-interval',
        '200ms',
        '--health-timeout',
        '300ms',
        '--health-retries',
        '1',
      ],
      'sleep',
      '1000',
    )
    await eventually(async () =>
      assert.equal(await inspect('hangs', '{{.State.Health.Status}}'), 'unhealthy'),
    )
    await eventually(async () =>
      assert.ok(Number(await inspect('hangs', '{{.State.Health.FailingStreak}}')) >= 3),
    )
    // Between two checks.
    await eventually(async () => assert.doesNotMatch(await daemon.ok('top', 'hangs'), /sleep 4711/))
    await daemon.ok('rm', '-f', 'hangs')
  })

  for (const compress of [false, true]) {
    test(`a log that rotates loses no line for its follower${compress ? ', also compressed' : ''}`, async () => {
      const lines = 20_000
      const flags = [
        '--log-opt',
        'max-size=100k',
        '--log-opt',
        'max-file=3',
        ...(compress ? ['--log-opt', 'compress=true'] : []),
      ]
      await daemon.ok(
        'create',
        '--name',
        'rotates',
        '--network',
        'none',
        ...flags,
        'busybox',
        'sh',
        '-c',
        // A follower must be able to keep up: what rotates away before it is read is gone for it.
        `i=0; while [ $i -lt ${lines} ]; do echo line $i; i=$((i+1)); [ $((i % 500)) = 0 ] && sleep 0.05; done`,
      )
      const attached = daemon.docker('start', '-a', 'rotates')
      await eventually(async () => assert.notEqual(await inspect('rotates', '{{.State.Status}}'), 'created'))
      const { stdout } = await daemon.docker('logs', '-f', 'rotates')
      const expected = Array.from({ length: lines }, (_, line) => `line ${line}`)
      assert.deepEqual((await attached).stdout.trimEnd().split('\n'), expected)
      const followed = stdout.trimEnd().split('\n')
      // What had rotated away before the follower came is gone for it; from its first line on, nothing is.
      assert.deepEqual(followed, expected.slice(-followed.length))
      const file = await inspect('rotates', '{{.LogPath}}')
      const ending = compress ? '.gz' : ''
      await eventually(() =>
        assert.deepEqual(
          fs
            .readdirSync(path.dirname(file))
            .filter(name => name.includes('.log.'))
            .sort(),
          [1, 2].map(n => `${path.basename(file)}.${n}${ending}`),
        ),
      )
      const { stdout: kept } = await daemon.docker('logs', 'rotates')
      const left = kept.trimEnd().split('\n')
      assert.ok(left.length > 2000, `only ${left.length} lines are left`)
      assert.deepEqual(left, expected.slice(-left.length))
      await daemon.ok('rm', 'rotates')
    })
  }

  for (const driver of ['json-file', 'local']) {
    test(`logs of ${driver}: tail, since, timestamps`, async () => {
      await start(
        'logs',
        ['--log-driver', driver],
        'sh',
        '-c',
        'echo one; echo two >&2; sleep 1.2; echo three',
      )
      await daemon.ok('wait', 'logs')
      assert.equal(await daemon.ok('logs', '--tail', '1', 'logs'), 'three')
      const { stdout, stderr } = await daemon.docker('logs', 'logs')
      assert.deepEqual([stdout, stderr], ['one\nthree\n', 'two\n'])
      const stamped = await daemon.ok('logs', '-t', '--tail', '1', 'logs')
      const [, time] = /^(\d{4}-\S+Z) three$/.exec(stamped)!
      assert.equal(await daemon.ok('logs', '--since', time!, 'logs'), 'three')
      await daemon.ok('rm', 'logs')
    })
  }

  test('no log, and drivers that are not there', async () => {
    await start('none', ['--log-driver', 'none'], 'echo', 'x')
    await daemon.ok('wait', 'none')
    const { stderr } = await daemon.docker('logs', 'none')
    assert.match(stderr, /configured logging driver does not support reading/)
    await daemon.ok('rm', 'none')
    const refused = await daemon.docker('create', '--log-driver', 'syslog', 'busybox')
    assert.notEqual(refused.code, 0)
    assert.match(refused.stderr, /syslog/)
  })
})
