/**
 * PostgreSQL and Redis with their data on named volumes, killed under write load: the container, the daemon, both. The restart
 * policy brings them back, and no write that was acknowledged is lost.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { cannotRunDaemon } from './support/daemon.ts'
import { cannotMakeDebian } from './support/debian-rootfs.ts'
import { eventually } from './support/eventually.ts'
import { debianDaemon } from './support/suite.ts'

interface Database {
  name: string
  flags: string[]
  command: string[]
  /** Commands run in the container. */
  prepare: string[]
  write: (key: number) => string[]
  /** What {@link write} prints when the write is safe. */
  acknowledged: RegExp
  /** Prints each key that is there, one a line. */
  keys: string[]
}

const postgres: Database = {
  name: 'postgresql',
  flags: ['-u', 'postgres', '-v', 'pgdata:/var/lib/postgresql'],
  command: [
    'sh',
    '-c',
    'rm -f /var/lib/postgresql/15/main/postmaster.pid; exec /usr/lib/postgresql/15/bin/postgres -D /var/lib/postgresql/15/main -c config_file=/etc/postgresql/15/main/postgresql.conf -c listen_addresses=',
  ],
  prepare: ['psql', '-Atc', 'create table if not exists t (k int primary key)'],
  write: key => ['psql', '-Atc', `insert into t values (${key})`],
  acknowledged: /INSERT 0 1/,
  keys: ['psql', '-Atc', 'select k from t'],
}

const redis: Database = {
  name: 'redis',
  flags: ['-v', 'redisdata:/data'],
  command: ['redis-server', '--dir', '/data', '--appendonly', 'yes', '--appendfsync', 'always'],
  prepare: ['redis-cli', 'ping'],
  write: key => ['redis-cli', 'set', String(key), 'x'],
  acknowledged: /^OK/,
  keys: ['redis-cli', 'keys', '*'],
}

describe('databases on volumes', { skip: cannotRunDaemon() || cannotMakeDebian() }, () => {
  const daemon = debianDaemon()

  for (const database of [postgres, redis]) {
    test(`${database.name} loses no acknowledged write`, async () => {
      const { name, flags, command } = database
      await daemon.ok(
        'run',
        '-d',
        '--name',
        name,
        '--network',
        'none',
        '--restart',
        'always',
        ...flags,
        'debian:servers',
        ...command,
      )
      const ready = () =>
        eventually(
          async () => assert.equal((await daemon.docker('exec', name, ...database.prepare)).code, 0),
          60,
        )
      await ready()

      const safe = new Set<number>()
      let over = false
      const writing = (async () => {
        for (let key = 0; !over; key++) {
          const { stdout } = await daemon.docker('exec', name, ...database.write(key))
          if (database.acknowledged.test(stdout)) safe.add(key)
          else await sleep(50)
        }
      })()

      const faults: (() => Promise<void>)[] = [
        () =>
          daemon
            .ok('kill', '-s', 'KILL', name)
            .then(() => daemon.ok('start', name))
            .then(() => {}),
        () => killInit(),
        () => daemon.stop('SIGKILL').then(() => daemon.start()),
        async () => {
          await killInit()
          await daemon.stop('SIGKILL')
          await daemon.start()
        },
      ]
      for (const fault of faults) {
        const enough = safe.size + 8
        await eventually(async () => assert.ok(safe.size >= enough, `stuck at ${safe.size} writes`), 60)
        await fault()
        await ready()
      }
      over = true
      await writing

      const there = new Set((await daemon.ok('exec', name, ...database.keys)).split('\n').map(Number))
      const lost = [...safe].filter(key => !there.has(key))
      assert.deepEqual(lost, [])
      await daemon.ok('rm', '-f', '-v', name)

      /** As the kernel's out-of-memory killer would: not by the daemon, so that the restart policy acts. */
      async function killInit(): Promise<void> {
        process.kill(Number(await daemon.ok('inspect', '-f', '{{.State.Pid}}', name)), 'SIGKILL')
      }
    })
  }
})
