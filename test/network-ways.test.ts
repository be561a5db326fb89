/** The rarer ways of being on a network: IPv6, a parent interface, another container's namespace, several networks, many ports. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { after, before, describe, test } from 'node:test'
import { Daemon } from './support/daemon.ts'
import { eventually } from './support/eventually.ts'
import { cannotHaveNeighbour, fetchFrom, Neighbour } from './support/neighbour.ts'

/** Answers `name` to whoever connects, for ever. */
const say = (name: string, port = 80) => `while :; do echo ${name} | nc -l -p ${port}; done`
const hear = (host: string, port = 80) => `nc -w 2 ${host} ${port} < /dev/null`

/** Whether the kernel cannot make a kind of interface, for `skip`. */
function lacks(kind: string): string | false {
  try {
    const line = `ip link add parent0 type dummy && ip link add link parent0 name child0 type ${kind}`
    execFileSync('unshare', ['-n', 'sh', '-c', line], { stdio: 'pipe' })
    return false
  } catch {
    return `this kernel has no ${kind}`
  }
}

describe('ways onto a network', { skip: cannotHaveNeighbour() }, () => {
  let daemon: Daemon
  let neighbour: Neighbour
  before(async () => {
    daemon = await Daemon.start({ args: ['--ipv6', '--fixed-cidr-v6', 'fd00:77::/64'] })
    neighbour = new Neighbour(daemon)
  })
  after(async () => {
    neighbour?.remove()
    await daemon.remove()
  })

  const run = (name: string, line: string, ...flags: string[]) =>
    daemon.ok('run', '-d', '--name', name, ...flags, 'busybox', 'sh', '-c', line)
  const inside = async (name: string, line: string) =>
    (await daemon.docker('exec', name, 'sh', '-c', line)).stdout
  /** What a server that is no web server says to the neighbour. */
  const hearFrom = (url: string) => fetchFrom((...command) => neighbour.run(...command, '--http0.9'), url)
  const remove = (...names: string[]) => daemon.ok('rm', '-f', '-v', ...names)
  const detail = (name: string, network: string, field: string) =>
    daemon.ok('inspect', '-f', `{{(index .NetworkSettings.Networks "${network}").${field}}}`, name)

  test('IPv6 on the default bridge and on a network of its own', async () => {
    await daemon.ok('network', 'create', '--ipv6', '--subnet', 'fd00:78::/64', 'six')
    await run('old', say('old'))
    await run('new', say('new'), '--network', 'six', '--ip6', 'fd00:78::99')
    assert.match(await detail('old', 'bridge', 'GlobalIPv6Address'), /^fd00:77::/)
    assert.equal(await detail('new', 'six', 'GlobalIPv6Address'), 'fd00:78::99')
    await run('asks', 'sleep 1000', '--network', 'six')
    assert.match(await inside('asks', 'nslookup -type=aaaa new'), /fd00:78::99/)
    await eventually(async () => assert.equal(await inside('asks', hear('fd00:78::99')), 'new\n'))
    assert.match(await inside('asks', 'ping6 -c 1 fd00:78::1'), /1 packets received/)
    assert.equal(await inside('asks', hear(await detail('old', 'bridge', 'GlobalIPv6Address'))), '')
    await remove('old', 'new', 'asks')
    await daemon.ok('network', 'rm', 'six')
  })

  for (const driver of ['macvlan', 'ipvlan']) {
    test(`${driver} is on the network outside`, { skip: lacks(driver) }, async () => {
      const subnet = ['--subnet', '192.0.2.0/24', '--gateway', neighbour.address, '-o', 'parent=cable0']
      await daemon.ok('network', 'create', '-d', driver, ...subnet, driver)
      await run(driver, say(driver), '--network', driver, '--ip', '192.0.2.50')
      await eventually(() => assert.equal(hearFrom('http://192.0.2.50/'), driver))
      assert.match(await inside(driver, 'ip route'), /default via 192\.0\.2\.2/)
      await remove(driver)
      await daemon.ok('network', 'rm', driver)
    })
  }

  test('--network container: shares addresses, names and ports, and ends with its owner', async () => {
    await run('owner', say('shared'), '-p', '8300:80')
    await run('guest', 'sleep 1000', '--network', 'container:owner')
    const addresses = 'ip -o addr | grep -v " lo "'
    assert.equal(await inside('guest', addresses), await inside('owner', addresses))
    assert.equal(await inside('guest', hear('127.0.0.1')), 'shared\n')
    assert.equal(await inside('guest', 'cat /etc/hosts'), await inside('owner', 'cat /etc/hosts'))
    const both = await daemon.docker('run', '--network', 'container:owner', '-p', '80', 'busybox', 'true')
    assert.notEqual(both.code, 0)
    assert.match(both.stderr, /conflicting options/)
    await remove('owner', 'guest')
  })

  test('the gateway follows priorities while networks come and go', async () => {
    for (const [name, net] of [
      ['aa', '10.91.0'],
      ['bb', '10.92.0'],
      ['cc', '10.93.0'],
    ]) {
      await daemon.ok('network', 'create', '--subnet', `${net}.0/24`, name!)
    }
    await run('hub', 'sleep 1000', '--network', 'bb')
    const route = () => inside('hub', 'ip route | grep default')
    assert.match(await route(), /via 10\.92\.0\.1/)
    await daemon.ok('network', 'connect', 'aa', 'hub')
    assert.match(await route(), /via 10\.91\.0\.1/, 'ties go to the name that sorts first')
    await daemon.ok('network', 'connect', '--gw-priority', '10', 'cc', 'hub')
    assert.match(await route(), /via 10\.93\.0\.1/)
    await daemon.ok('network', 'disconnect', 'cc', 'hub')
    assert.match(await route(), /via 10\.91\.0\.1/)
    await daemon.ok('network', 'disconnect', 'aa', 'hub')
    await daemon.ok('network', 'disconnect', 'bb', 'hub')
    assert.equal(await route(), '')
    assert.doesNotMatch(await inside('hub', 'ip -o addr'), /eth/)
    await remove('hub')
    await daemon.ok('network', 'rm', 'aa', 'bb', 'cc')
  })

  test('published ports follow the gateway, and a connection to what stays is not broken', async () => {
    await daemon.ok('network', 'create', 'first')
    await daemon.ok('network', 'create', 'second')
    await run('moves', say('moves'), '--network', 'second', '-p', '8301:80')
    await eventually(() => assert.equal(hearFrom(`http://${neighbour.daemonAddress}:8301/`), 'moves'))
    await daemon.ok('network', 'connect', 'first', 'moves')
    await eventually(() => assert.equal(hearFrom(`http://${neighbour.daemonAddress}:8301/`), 'moves'))
    await daemon.ok('network', 'disconnect', 'second', 'moves')
    await eventually(() => assert.equal(hearFrom(`http://${neighbour.daemonAddress}:8301/`), 'moves'))
    await remove('moves')
    await daemon.ok('network', 'rm', 'first', 'second')
  })

  test('host-gateway, link-local addresses, and a linked container that restarts', async () => {
    const hosts = await daemon.ok(
      'run',
      '--rm',
      '--add-host',
      'up:host-gateway',
      'busybox',
      'cat',
      '/etc/hosts',
    )
    assert.match(hosts, /^172\.17\.0\.1\tup$/m)
    await daemon.ok('network', 'create', 'links')
    const { body } = await daemon.api('POST', '/containers/create?name=local', {
      Image: 'busybox',
      Cmd: ['sleep', '1000'],
      HostConfig: { NetworkMode: 'links' },
      NetworkingConfig: { EndpointsConfig: { links: { IPAMConfig: { LinkLocalIPs: ['169.254.8.8'] } } } },
    })
    await daemon.ok('start', body.Id)
    assert.match(await inside('local', 'ip addr'), /inet 169\.254\.8\.8\/16/)
    await remove('local')
    await daemon.ok('network', 'rm', 'links')

    await run('target', 'sleep 1000')
    await run('linked', 'sleep 1000', '--link', 'target:t')
    const before = await detail('target', 'bridge', 'IPAddress')
    await daemon.ok('stop', '-t', '0', 'target')
    await run('squatter', 'sleep 1000')
    assert.equal(await detail('squatter', 'bridge', 'IPAddress'), before)
    await daemon.ok('start', 'target')
    const now = await detail('target', 'bridge', 'IPAddress')
    assert.notEqual(now, before)
    assert.match(await inside('linked', 'cat /etc/hosts'), new RegExp(`^${now}\tt `, 'm'))
    await remove('target', 'linked', 'squatter')
  })

  test('a thousand ports of one container, and the last is reached as the first', async () => {
    const line = `${say('last', 20999)} & ${say('first', 20000)}`
    await run('many', line, '-p', '20000-20999:20000-20999')
    for (const [port, answer] of [
      [20000, 'first'],
      [20999, 'last'],
    ] as const) {
      await eventually(() => {
        const url = `http://${neighbour.daemonAddress}:${port}/`
        assert.equal(
          fetchFrom((...command) => neighbour.run(...command, '--http0.9'), url),
          answer,
        )
      })
    }
    const ports = (await daemon.ok('port', 'many')).split('\n')
    assert.equal(ports.length, 2000)
    await remove('many')
    assert.doesNotMatch(daemon.inNetwork('nft', 'list', 'ruleset'), /20999/)
  })

  test('ports of a running container: what cannot be is refused, and nothing changes', async () => {
    await run('holder', say('holder'), '-p', '8310:80')
    await run('changes', say('changes'), '-p', '8311:80')
    const update = (ports: unknown) =>
      daemon.api('POST', '/containers/changes/update', { PortBindings: ports })
    for (const [ports, status, message] of [
      [{ '80/tcp': [{ HostPort: '8310' }] }, 500, /port is already allocated/],
      [{ '80/tcp': [{ HostPort: '65536' }] }, 400, /invalid port specification/],
      [{ '80/nope': [{ HostPort: '8312' }] }, 400, /invalid proto/],
    ] as const) {
      const answer = await update(ports)
      assert.equal(answer.status, status, JSON.stringify(answer.body))
      assert.match(answer.body.message, message)
    }
    assert.match(await daemon.ok('port', 'changes'), /^80\/tcp -> 0\.0\.0\.0:8311$/m)
    const since = Math.floor(Date.now() / 1000) - 1
    assert.equal((await update({ '80/tcp': [{ HostPort: '8311' }, { HostPort: '8312' }] })).status, 200)
    const events = await daemon.ok(
      ...['events', '--since', String(since), '--until', String(since + 3), '--filter', 'event=update'],
      ...['--format', '{{.Actor.Attributes.ports}}'],
    )
    assert.match(events, /80\/tcp=0\.0\.0\.0:8311.*80\/tcp=0\.0\.0\.0:8312/)
    assert.match(await daemon.ok('inspect', '-f', '{{json .HostConfig.PortBindings}}', 'changes'), /8312/)
    await daemon.ok('stop', '-t', '0', 'changes')
    assert.equal((await update({ '80/tcp': [{ HostPort: '8313' }] })).status, 200)
    await daemon.ok('start', 'changes')
    assert.match(await daemon.ok('port', 'changes'), /^80\/tcp -> 0\.0\.0\.0:8313$/m)
    await remove('holder', 'changes')
  })

  test('a bound port is published where it is exposed, with -P as well', async () => {
    const any = [{ HostIp: '', HostPort: '' }]
    const cases: [
      exposed: string[],
      bound: Record<string, object[] | null>,
      all: boolean,
      published: string[],
    ][] = [
      [[], { '80/tcp': [{ HostPort: '8320' }] }, false, []],
      [['81/tcp'], { '80/tcp': [{ HostPort: '8320' }] }, true, ['81/tcp']],
      [['80/tcp'], { '80/tcp': [] }, false, []],
      [['80/tcp'], { '80/tcp': null }, true, ['80/tcp']],
      [['80/tcp', '81/udp'], { '80/tcp': any, '82/tcp': any }, false, ['80/tcp']],
    ]
    for (const [exposed, PortBindings, PublishAllPorts, published] of cases) {
      const created = await daemon.api('POST', '/containers/create?name=bound', {
        Image: 'busybox',
        Cmd: ['sleep', '1000'],
        ExposedPorts: Object.fromEntries(exposed.map(port => [port, {}])),
        HostConfig: { PortBindings, PublishAllPorts },
      })
      assert.equal(created.status, 201, JSON.stringify(created.body))
      await daemon.ok('start', 'bound')
      const { body } = await daemon.api('GET', '/containers/bound/json')
      const { Ports } = body.NetworkSettings
      assert.deepEqual(Object.keys(Ports), exposed)
      assert.deepEqual(
        Object.keys(Ports).filter(port => Ports[port] !== null),
        published,
      )
      await remove('bound')
    }
  })

  test('joining a namespace of a container that is not there, or does not run', async () => {
    await daemon.ok('run', '-d', '--name', 'donor', '--ipc', 'shareable', 'busybox', 'sleep', '1000')
    for (const kind of ['network', 'pid', 'ipc'])
      await daemon.ok('create', '--name', kind, `--${kind}`, 'container:donor', 'busybox', 'true')
    const start = async (name: string) => {
      const { status, body } = await daemon.api('POST', `/containers/${name}/start`)
      return `${status} ${body.message}`.replace(/[0-9a-f]{64}/g, 'ID')
    }
    await daemon.ok('stop', '-t', '0', 'donor')
    assert.deepEqual(
      [await start('network'), await start('pid'), await start('ipc')],
      [
        '409 cannot join network namespace of a non running container: container donor is exited',
        '500 failed to join PID namespace: container ID is not running',
        '409 failed to join IPC namespace: container ID is not running',
      ],
    )
    await remove('donor')
    assert.deepEqual(
      [await start('network'), await start('pid'), await start('ipc')],
      [
        '500 joining network namespace of container: No such container: ID',
        '500 failed to join PID namespace: No such container: ID',
        '400 failed to join IPC namespace: No such container: ID',
      ],
    )
    await remove('network', 'pid', 'ipc')
  })
})
