import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { after, test } from 'node:test'
import { silent } from '../../logger.ts'
import { type DaemonFlags, daemonCommand } from './command.ts'
import { mergeValues, readConfigFile } from './config-file.ts'
import { claimPidfile } from './pidfile.ts'
import { settingsOf } from './settings.ts'

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'daemon-'))
const file = path.join(folder, 'daemon.json')
after(() => fs.rmSync(folder, { recursive: true }))

function read(content: unknown) {
  fs.writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content))
  return readConfigFile(file, true)
}

async function flags(...argv: string[]): Promise<DaemonFlags> {
  let seen: DaemonFlags | undefined
  const command = daemonCommand(async given => {
    seen = given
  }).exitOverride()
  command.configureOutput({ outputError: () => {} })
  await command.parseAsync(argv, { from: 'user' })
  return seen!
}

test('flags are read as dockerd reads them', async () => {
  const { values, configFile } = await flags(
    ...[
      '-H',
      'unix:///a',
      '--host=tcp://b:1',
      '-D',
      '--iptables=false',
      '--mtu',
      '1400',
      '--config-file',
      'x',
    ],
    ...['--log-opt', 'max-size=1m', '--log-opt', 'tag=a=b', '--label', 'k=v', '--dns', '1.1.1.1', '-G', 'me'],
  )
  assert.equal(configFile, 'x')
  assert.deepEqual(values, {
    hosts: ['unix:///a', 'tcp://b:1'],
    group: 'me',
    debug: true,
    labels: ['k=v'],
    'log-opts': { 'max-size': '1m', tag: 'a=b' },
    mtu: 1400,
    dns: ['1.1.1.1'],
    iptables: false,
  })
  await assert.rejects(flags('--mtu', 'x'), { message: 'invalid argument "x" for "--mtu" flag' })
  await assert.rejects(flags('--no-such-flag'))
})

test('a file that says too much or the wrong thing is refused', () => {
  const fail = (content: unknown, reason: string) =>
    assert.throws(() => read(content), {
      kind: 'invalid',
      message: `unable to configure the Docker daemon with file ${file}: ${reason}`,
    })
  fail({ bogus: 1 }, "the following directives don't match any configuration option: bogus")
  fail(
    { mtu: 'a' },
    'invalid JSON: json: cannot unmarshal string into Go struct field Config.mtu of type int',
  )
  assert.throws(() => read('{'), /invalid JSON/)
  assert.deepEqual(read(''), {})
  assert.deepEqual(readConfigFile(path.join(folder, 'none.json'), false), {})
  assert.throws(() => readConfigFile(path.join(folder, 'none.json'), true), /no such file or directory$/)
})

test('what flag and file both say is refused, with both values', () => {
  assert.throws(() => mergeValues({ debug: true, labels: ['x=y'] }, { debug: true, labels: ['a=b'] }, 'F'), {
    message:
      'unable to configure the Docker daemon with file F: the following directives are specified both as a flag and in ' +
      'the configuration file: debug: (from flag: true, from file: true), labels: (from flag: [x=y], from file: [a=b])',
  })
  assert.deepEqual(mergeValues({ 'registry-mirrors': ['b'] }, { 'registry-mirrors': ['a'], mtu: 1 }, 'F'), {
    'registry-mirrors': ['a', 'b'],
    mtu: 1,
  })
})

test('values find their place', () => {
  const { engine, hosts, tls } = settingsOf(
    {
      hosts: ['unix:///a'],
      tlsverify: true,
      'log-driver': 'local',
      'default-shm-size': '128m',
      runtimes: { crun: { path: '/usr/bin/crun' } },
      'default-ulimits': { nofile: { Soft: 1, Hard: 2 } },
      'default-address-pools': ['base=10.0.0.0/8,size=24'],
      'exec-opts': ['native.cgroupdriver=cgroupfs'],
    },
    silent,
  )
  assert.deepEqual(hosts, ['unix:///a'])
  assert.equal(tls, true)
  assert.deepEqual(engine, {
    logConfig: { type: 'local', options: {} },
    defaultShmSize: 128 << 20,
    runtimes: { crun: { path: '/usr/bin/crun' } },
    defaultUlimits: [{ name: 'nofile', soft: 1, hard: 2 }],
    defaultAddressPools: [{ base: '10.0.0.0/8', size: 24 }],
    debug: false,
  })
})

test('what is not built is refused, what changes nothing is not', () => {
  assert.throws(() => settingsOf({ 'userns-remap': 'default' }, silent), /user namespace remapping/)
  assert.throws(() => settingsOf({ 'exec-opts': ['native.cgroupdriver=systemd'] }, silent), /cgroupfs/)
  settingsOf({ 'userns-remap': '', 'selinux-enabled': false, containerd: '/run/c.sock' }, silent)
  assert.throws(
    () => settingsOf({ 'max-concurrent-downloads': -1 }, silent),
    /invalid max concurrent downloads: -1$/,
  )
})

test('a pidfile of a living process keeps the next daemon out', () => {
  const pidfile = path.join(folder, 'pid')
  fs.writeFileSync(pidfile, '1')
  assert.throws(() => claimPidfile(pidfile), /process with PID 1 is still running$/)
  fs.writeFileSync(pidfile, '999999999')
  const release = claimPidfile(pidfile)
  assert.equal(fs.readFileSync(pidfile, 'utf8'), String(process.pid))
  release()
  assert.ok(!fs.existsSync(pidfile))
})
