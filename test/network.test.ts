/** Containers reach each other, the host and its neighbours as Docker lets them, and nobody else does. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { after, before, describe, test } from 'node:test'
import { Daemon } from './support/daemon.ts'
import { eventually } from './support/eventually.ts'
import { leftovers } from './support/leftovers.ts'
import { cannotHaveNeighbour, fetchFrom, Neighbour } from './support/neighbour.ts'

/** A server that says its own name and who asked. */
const serve = (name: string, port = 80) =>
  `mkdir -p /w/cgi-bin; printf '#!/bin/sh\\necho; echo ${name} $REMOTE_ADDR\\n' > /w/cgi-bin/who; chmod +x /w/cgi-bin/who; exec httpd -f -p ${port} -h /w`

/** Asks a server, from inside a container. By nc, since Debian's static busybox has a wget that crashes where it looks up names. */
const ask = (host: string, port = 80) =>
  `printf 'GET /cgi-bin/who HTTP/1.0\\r\\n\\r\\n' | nc -w 2 ${host} ${port} | tail -n 1`

describe('networks', { skip: cannotHaveNeighbour() }, () => {
  let daemon: Daemon
  let neighbour: Neighbour
  before(async () => {
    daemon = await Daemon.start()
    neighbour = new Neighbour(daemon)
  })
  after(async () => {
    neighbour?.remove()
    await daemon.remove()
    assert.deepEqual(leftovers(daemon), [])
  })

  const server = (name: string, flags: string[] = [], port = 80) =>
    daemon.ok('run', '-d', '--name', name, ...flags, 'busybox', 'sh', '-c', serve(name, port))
  const host = (url: string) => fetchFrom((...command) => daemon.inNetwork(...command), url)
  const inside = (name: string, line: string) => daemon.docker('exec', name, 'sh', '-c', line)
  const addressOf = (name: string, network = 'bridge') =>
    daemon.ok('inspect', '-f', `{{(index .NetworkSettings.Networks "${network}").IPAddress}}`, name)
  const answers = (ask: () => string | undefined, expected: RegExp) =>
    eventually(() => assert.match(ask() ?? 'no answer', expected), 5)

  test('a published port is reached from everywhere, and sources are kept where Docker keeps them', async () => {
    await server('web', ['-p', '8080:80'])
    await answers(() => host('http://127.0.0.1:8080/cgi-bin/who'), /^web /)
    await answers(() => host(`http://${neighbour.daemonAddress}:8080/cgi-bin/who`), /^web /)
    await answers(() => host('http://[::1]:8080/cgi-bin/who'), /^web /)
    await answers(
      () => neighbour.fetch(`http://${neighbour.daemonAddress}:8080/cgi-bin/who`),
      /^web \S*192\.0\.2\.2\]?$/,
    )
    await server('other')
    const hairpin = await inside('other', ask(neighbour.daemonAddress, 8080))
    assert.match(hairpin.stdout, /^web /)
    const itself = await inside('web', ask(neighbour.daemonAddress, 8080))
    assert.match(itself.stdout, /^web /)
    assert.equal(await daemon.ok('port', 'web'), '80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080')
    const taken = await daemon.docker('run', '-d', '--name', 'late', '-p', '8080:80', 'busybox', 'true')
    assert.equal(taken.code, 125)
    assert.match(taken.stderr, /Bind for (0\.0\.0\.0|:::|\[::\]):8080 failed: port is already allocated/)
    await daemon.ok('rm', '-f', 'web', 'other', 'late')
    assert.equal(host('http://127.0.0.1:8080/cgi-bin/who'), undefined)
  })

  test('what is published on loopback stays there', async () => {
    await server('local', ['-p', '127.0.0.1:8081:80'])
    await answers(() => host('http://127.0.0.1:8081/cgi-bin/who'), /^local /)
    assert.equal(neighbour.fetch(`http://${neighbour.daemonAddress}:8081/cgi-bin/who`), undefined)
    await daemon.ok('rm', '-f', 'local')
  })

  test('a neighbour that routes straight to a container gets nothing', async () => {
    await server('shy', ['-p', '8082:80'])
    await server('hidden')
    neighbour.run('ip', 'route', 'add', '172.17.0.0/16', 'via', neighbour.daemonAddress)
    daemon.inNetwork('sysctl', '-qw', 'net.ipv4.ip_forward=1')
    assert.equal(neighbour.fetch(`http://${await addressOf('hidden')}/cgi-bin/who`), undefined)
    assert.equal(neighbour.fetch(`http://${await addressOf('shy')}/cgi-bin/who`), undefined)
    neighbour.run('ip', 'route', 'del', '172.17.0.0/16')
    await daemon.ok('rm', '-f', 'shy', 'hidden')
  })

  test('containers reach the outside through the host', async () => {
    await daemon.ok('run', '-d', '--name', 'out', 'busybox', 'sleep', '1000')
    const { code } = await inside('out', `ping -c 1 -W 2 ${neighbour.address}`)
    assert.equal(code, 0)
    await daemon.ok('rm', '-f', 'out')
  })

  test('names, aliases and reverse look-ups on a network of its own', async () => {
    await daemon.ok('network', 'create', 'names')
    const on = ['--network', 'names', '--network-alias', 'both']
    await server('one', on)
    await server('two', on)
    assert.match((await inside('one', ask('two'))).stdout, /^two /)
    const addresses = [await addressOf('one', 'names'), await addressOf('two', 'names')]
    const first = new Set<string>()
    await eventually(async () => {
      const { stdout } = await inside('one', 'nslookup both | grep Address')
      const found = addresses.filter(address => stdout.includes(address))
      assert.deepEqual(found, addresses, 'an alias names every container that has it')
      first.add(found.toSorted((a, b) => stdout.indexOf(a) - stdout.indexOf(b))[0]!)
      assert.equal(first.size, 2, 'the order does not change')
    })
    const { stdout } = await inside('one', `nslookup ${await addressOf('two', 'names')}`)
    assert.match(stdout, /name = two\.names/)
    const id = (await daemon.ok('inspect', '-f', '{{.Id}}', 'two')).slice(0, 12)
    assert.match((await inside('one', `ping -c 1 ${id}`)).stdout, /1 packets received/)
    await daemon.ok('rm', '-f', 'two')
    assert.notEqual((await inside('one', 'nslookup two')).code, 0)
    await daemon.ok('rm', '-f', 'one')
    await daemon.ok('network', 'rm', 'names')
  })

  test('connect and disconnect while a container runs', async () => {
    await daemon.ok('network', 'create', '--subnet', '10.77.0.0/24', 'second')
    await server('mover')
    await daemon.ok('network', 'connect', '--ip', '10.77.0.77', '--alias', 'moved', 'second', 'mover')
    assert.equal(await addressOf('mover', 'second'), '10.77.0.77')
    const asked = await daemon.ok('run', '--rm', '--network', 'second', 'busybox', 'sh', '-c', ask('moved'))
    assert.match(asked, /^mover \S*10\.77\.0\./)
    const used = await daemon.docker('network', 'rm', 'second')
    assert.match(used.stderr, /has active endpoints/)
    await daemon.ok('network', 'disconnect', 'second', 'mover')
    assert.equal((await inside('mover', 'ip addr')).stdout.includes('10.77.0.77'), false)
    await daemon.ok('rm', '-f', 'mover')
    await daemon.ok('network', 'rm', 'second')
  })

  test('bridges do not reach each other, and an internal one reaches nothing else', async () => {
    await daemon.ok('network', 'create', 'left')
    await daemon.ok('network', 'create', '--internal', 'inner')
    await server('on-left', ['--network', 'left'])
    await server('on-inner', ['--network', 'inner'])
    await server('on-default')
    for (const [from, to, network] of [
      ['on-default', 'on-left', 'left'],
      ['on-left', 'on-default', 'bridge'],
      ['on-left', 'on-inner', 'inner'],
      ['on-inner', 'on-left', 'left'],
    ]) {
      const { stdout } = await inside(from!, ask(await addressOf(to!, network)))
      assert.equal(stdout, '', `${from} reached ${to}`)
    }
    assert.notEqual((await inside('on-inner', `ping -c 1 -W 1 ${neighbour.address}`)).code, 0)
    await daemon.ok('rm', '-f', 'on-left', 'on-inner', 'on-default')
    await daemon.ok('network', 'rm', 'left', 'inner')
  })

  test('icc=false: links are the only exceptions', async () => {
    await daemon.ok('network', 'create', '-o', 'com.docker.network.bridge.enable_icc=false', 'quiet')
    await server('speaker', ['--network', 'quiet'])
    await daemon.ok('run', '-d', '--name', 'listener', '--network', 'quiet', 'busybox', 'sleep', '1000')
    const address = await addressOf('speaker', 'quiet')
    assert.equal((await inside('listener', ask(address))).stdout, '')
    await daemon.ok('rm', '-f', 'speaker', 'listener')
    await daemon.ok('network', 'rm', 'quiet')
  })

  test('--link on the default bridge: alias, hosts and environment', async () => {
    await server('db', ['--expose', '80'])
    const line = `${ask('database')}; env; cat /etc/hosts`
    const { stdout } = await daemon.docker(
      'run',
      '--rm',
      '--name',
      'app',
      '--link',
      'db:database',
      'busybox',
      'sh',
      '-c',
      line,
    )
    assert.match(stdout, /^db /)
    assert.match(stdout, /DATABASE_PORT=tcp:\/\/172\.17\.0\.\d+:80/)
    assert.match(stdout, /DATABASE_NAME=\/app\/database/)
    assert.match(stdout, /172\.17\.0\.\d+\s+database [0-9a-f]{12} db/)
    await daemon.ok('rm', '-f', 'db')
  })

  test('ports of a running container change, and stay so over restarts', async () => {
    await server('changes')
    const body = { PortBindings: { '80/tcp': [{ HostIp: '', HostPort: '8090' }] } }
    const updated = await daemon.api('POST', '/containers/changes/update', body)
    assert.equal(updated.status, 200, JSON.stringify(updated.body))
    await answers(() => neighbour.fetch(`http://${neighbour.daemonAddress}:8090/cgi-bin/who`), /^changes /)
    assert.match(await daemon.ok('port', 'changes'), /80\/tcp -> 0\.0\.0\.0:8090/)
    await daemon.ok('restart', '-t', '0', 'changes')
    await answers(() => neighbour.fetch(`http://${neighbour.daemonAddress}:8090/cgi-bin/who`), /^changes /)
    await daemon.api('POST', '/containers/changes/update', { PortBindings: {} })
    assert.equal(neighbour.fetch(`http://${neighbour.daemonAddress}:8090/cgi-bin/who`), undefined)
    assert.equal(await daemon.ok('port', 'changes'), '')
    await daemon.ok('rm', '-f', 'changes')
  })

  test('a killed daemon breaks no connection, and its successor knows every name and port', async () => {
    await daemon.ok('network', 'create', 'lasting')
    await daemon.ok(
      'run',
      '-d',
      '--name',
      'drip',
      '--network',
      'lasting',
      '-p',
      '8091:80',
      'busybox',
      'sh',
      '-c',
      serve('drip'),
    )
    await daemon.ok(
      'run',
      '-d',
      '--name',
      'stream',
      '-p',
      '8092:90',
      'busybox',
      'sh',
      '-c',
      'while :; do (while :; do echo x; sleep 0.1; done) | nc -l -p 90; done',
    )
    const client = spawn('ip', [
      'netns',
      'exec',
      `gantry-n${process.pid}`,
      'sh',
      '-c',
      `curl -sN telnet://${neighbour.daemonAddress}:8092 < /dev/zero`,
    ])
    let received = 0
    client.stdout.on('data', chunk => {
      received += chunk.length
    })
    await eventually(() => assert.ok(received > 0))
    await daemon.stop('SIGKILL')
    const atDeath = received
    await eventually(() => assert.ok(received > atDeath + 6, 'the connection broke'))
    await daemon.start()
    await answers(() => neighbour.fetch(`http://${neighbour.daemonAddress}:8091/cgi-bin/who`), /^drip /)
    const asked = await daemon.ok('run', '--rm', '--network', 'lasting', 'busybox', 'sh', '-c', ask('drip'))
    assert.match(asked, /^drip /)
    assert.equal(client.exitCode, null, 'the connection broke')
    client.kill()
    await daemon.ok('rm', '-f', 'drip', 'stream')
    await daemon.ok('network', 'rm', 'lasting')
  })

  test('flushed rules are back after a restart of the daemon', async () => {
    await server('flushed', ['-p', '8093:80'])
    daemon.inNetwork('nft', 'flush', 'ruleset')
    await daemon.stop('SIGKILL')
    await daemon.start()
    await answers(() => neighbour.fetch(`http://${neighbour.daemonAddress}:8093/cgi-bin/who`), /^flushed /)
    await daemon.ok('rm', '-f', 'flushed')
  })

  test('containers that come and go leave no interface, rule or address behind', async () => {
    await daemon.ok('network', 'create', 'busy')
    const picture = () => {
      const links = daemon.inNetwork('ip', '-o', 'link').split('\n').length
      const rules = daemon.inNetwork('nft', 'list', 'ruleset')
      return { links, rules }
    }
    const before = picture()
    const one = async () => {
      const { body } = await daemon.api('POST', '/containers/create', {
        Image: 'busybox',
        Cmd: ['true'],
        ExposedPorts: { '80/tcp': {} },
        HostConfig: { NetworkMode: 'busy', PublishAllPorts: true, AutoRemove: true },
      })
      await daemon.api('POST', `/containers/${body.Id}/start`)
      await daemon.api('POST', `/containers/${body.Id}/wait?condition=removed`)
    }
    for (let i = 0; i < 500; i += 10) await Promise.all(Array.from({ length: 10 }, one))
    await eventually(() => assert.deepEqual(picture(), before))
    const { body } = await daemon.api('GET', '/networks/busy')
    assert.deepEqual(body.Containers, {})
    await daemon.ok('network', 'rm', 'busy')
  })
})
