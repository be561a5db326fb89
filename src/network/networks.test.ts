import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import * as dgram from 'node:dgram'
import * as fs from 'node:fs'
import { after, afterEach, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { openSocketInNetns } from '../linux/index.ts'
import { Networks } from './networks.ts'
import {
  ask,
  askUdp,
  connectFrom,
  container,
  idleProcess,
  inOwnNamespace,
  OUTSIDE,
  secondHost,
  serve,
  serveUdp,
  temporaryFolder,
  UNANSWERED,
} from './testing.ts'
import type { NetworkContainer, NetworksOptions, RunningContainer, Sandbox } from './types.ts'

inOwnNamespace(import.meta.filename, () => {
  const folder = temporaryFolder()
  const hostFd = fs.openSync('/proc/self/ns/net', 'r')
  const events: string[] = []
  const options: NetworksOptions = {
    dataRoot: `${folder.path}/data`,
    execRoot: `${folder.path}/run`,
    onEvent: (action, _id, attributes) => events.push(`${action} ${attributes['name']}`),
  }
  const outside = secondHost()
  /** What a test opened, closed after it: a socket keeps its namespace alive. */
  const services: { close(): void }[] = []
  const started = new Set<string>()
  const common: { close(): void }[] = []
  let networks: Networks

  afterEach(async () => {
    for (const service of services.splice(0)) service.close()
    for (const id of started) await networks.release(id)
    started.clear()
    await networks.prune()
  })

  const up = async (
    it: NetworkContainer,
    port?: number,
  ): Promise<Sandbox & { fd: number; ip: string; it: NetworkContainer }> => {
    const sandbox = await networks.attach(it)
    started.add(it.id)
    const fd = sandbox.netnsFd!
    if (port) services.push(serve(fd, port, it.name), serve(fd, port, it.name, '::'))
    const first = Object.values(sandbox.endpoints)[0]
    return { ...sandbox, fd, ip: first?.ipAddress ?? '', it }
  }
  const down = (...those: { it: NetworkContainer }[]) =>
    Promise.all(those.map(({ it }) => networks.release(it.id)))

  before(async () => {
    networks = await Networks.open(options)
    common.push(serve(outside.fd, 7, 'outside'), serve(outside.fd, 7, 'outside', '::'))
  })
  after(async () => {
    for (const service of common) service.close()
    await networks.close()
    outside.close()
    folder[Symbol.dispose]()
    setTimeout(() => process.exit(), 100).unref()
  })

  describe('the default bridge', () => {
    test('containers reach each other, the host and, as the host, the outside', async () => {
      const a = await up(container('a'), 80)
      const b = await up(container('b'), 80)
      assert.equal(a.ip, '172.17.0.2')
      assert.equal(await ask(b.fd, a.ip, 80), `a ${b.ip}`)
      services.push(serve(hostFd, 9, 'host'))
      assert.equal(await ask(a.fd, '172.17.0.1', 9), `host ${a.ip}`)
      assert.equal(await ask(a.fd, OUTSIDE.peer4, 7), `outside ${OUTSIDE.host4}`)
      await down(a, b)
    })

    test('an address that is given back goes to the next container, which is reached at once', async () => {
      const a = await up(container('a'), 80)
      assert.equal(await ask(hostFd, a.ip, 80), 'a 172.17.0.1')
      for (const service of services.splice(0)) service.close()
      await down(a)
      const b = await up(container('b'), 80)
      assert.equal(b.ip, a.ip)
      assert.equal(await ask(hostFd, b.ip, 80), 'b 172.17.0.1')
      await down(b)
    })

    test('a neighbour that routes straight to a container is refused, published or not', async () => {
      const a = await up(
        container('a', { portBindings: { '80/tcp': [{ hostIp: '', hostPort: '8080' }] } }),
        80,
      )
      assert.equal(await ask(outside.fd, a.ip, 80, UNANSWERED), 'timeout')
      assert.equal(await ask(outside.fd, OUTSIDE.host4, 8080), `a ${OUTSIDE.peer4}`)
      await down(a)
    })
  })

  describe('published ports', () => {
    test('are reached from everywhere, and see who asks', async () => {
      const a = await up(
        container('a', { portBindings: { '80/tcp': [{ hostIp: '', hostPort: '8080' }] } }),
        80,
      )
      const b = await up(container('b'))
      await networks.create({ name: 'other' })
      const c = await up(container('c', { networkMode: 'other' }))
      assert.deepEqual(a.ports, {
        '80/tcp': [
          { hostIp: '0.0.0.0', hostPort: '8080' },
          { hostIp: '::', hostPort: '8080' },
        ],
      })
      assert.equal(await ask(hostFd, '127.0.0.1', 8080), 'a 172.17.0.1', 'loopback')
      assert.equal(await ask(hostFd, '127.9.9.9', 8080), 'a 172.17.0.1', 'any loopback address')
      assert.match(await ask(hostFd, '::1', 8080), /^a /, 'IPv6 loopback')
      assert.equal(await ask(hostFd, OUTSIDE.host4, 8080), `a ${OUTSIDE.host4}`, "the host's own address")
      assert.match(await ask(hostFd, OUTSIDE.host6, 8080), /^a /, "the host's own IPv6 address")
      assert.equal(await ask(outside.fd, OUTSIDE.host4, 8080), `a ${OUTSIDE.peer4}`, 'another host')
      assert.match(await ask(outside.fd, OUTSIDE.host6, 8080), /^a /, 'another host by IPv6')
      // As the host, or as itself where bridged packets pass the packet rules (br_netfilter).
      assert.match(await ask(b.fd, OUTSIDE.host4, 8080), /^a 172\.17\.0\./, 'a neighbour by the host')
      assert.match(await ask(a.fd, OUTSIDE.host4, 8080), /^a 172\.17\.0\./, 'itself by the host')
      assert.match(await ask(c.fd, OUTSIDE.host4, 8080), /^a /, 'another network by the host')
      await down(a, b, c)
      assert.equal(await ask(hostFd, '127.0.0.1', 8080), 'ECONNREFUSED')
      assert.equal(await ask(outside.fd, OUTSIDE.host4, 8080), 'ECONNREFUSED')
      await networks.remove('other')
    })

    test('on loopback are for the host alone', async () => {
      const a = await up(
        container('a', { portBindings: { '80/tcp': [{ hostIp: '127.0.0.1', hostPort: '8081' }] } }),
        80,
      )
      assert.equal(await ask(hostFd, '127.0.0.1', 8081), 'a 172.17.0.1')
      assert.equal(await ask(hostFd, OUTSIDE.host4, 8081), 'ECONNREFUSED')
      assert.equal(await ask(outside.fd, OUTSIDE.host4, 8081), 'ECONNREFUSED')
      assert.equal(await ask(outside.fd, a.ip, 80, UNANSWERED), 'timeout')
      await down(a)
    })

    test('for UDP', async () => {
      const a = await up(container('a', { portBindings: { '53/udp': [{ hostIp: '', hostPort: '5300' }] } }))
      services.push(serveUdp(a.fd, 53, 'a'))
      assert.equal(String(await askUdp(hostFd, '127.0.0.1', 5300)), 'a 172.17.0.1')
      assert.equal(String(await askUdp(outside.fd, OUTSIDE.host4, 5300)), `a ${OUTSIDE.peer4}`)
      assert.match(String(await askUdp(outside.fd, OUTSIDE.host6, 5300)), /^a /)
      await down(a)
    })

    test('for UDP lead a conversation that goes on to the next container', async () => {
      const binding = { portBindings: { '53/udp': [{ hostIp: '', hostPort: '5300' }] } }
      const client = dgram.createSocket('udp4')
      client.bind({ fd: openSocketInNetns(outside.fd, 'udp4', '0.0.0.0', 0) })
      services.push({ close: () => client.close() })
      const say = (patience = 20_000) =>
        new Promise<string>(resolve => {
          client.once('message', data => resolve(String(data)))
          client.send('hello', 5300, OUTSIDE.host4)
          setTimeout(() => resolve('timeout'), patience)
        })
      const a = await up(container('a', binding))
      const first = serveUdp(a.fd, 53, 'a')
      assert.match(await say(), /^a /)
      first.close()
      await down(a)
      const other = await up(container('other')) // takes the address
      assert.equal(await say(UNANSWERED), 'timeout')
      const b = await up(container('b', binding))
      services.push(serveUdp(b.fd, 53, 'b'))
      assert.notEqual(b.ip, a.ip)
      assert.match(await say(), /^b /)
      await down(b, other)
    })

    test('that are taken are an error that names them, and nothing stays half made', async () => {
      const binding = { portBindings: { '80/tcp': [{ hostIp: '', hostPort: '8080' }] } }
      const a = await up(container('a', binding))
      const refused = container('b', binding)
      await assert.rejects(
        networks.attach(refused),
        /^GantryError: failed to set up container networking: driver failed programming external connectivity on endpoint b \([0-9a-f]{64}\): Bind for 0\.0\.0\.0:8080 failed: port is already allocated$/,
      )
      assert.deepEqual(Object.keys(networks.inspect('bridge').containers), [a.it.id])
      await down(a)
      const foreign = serve(hostFd, 8080, 'foreign')
      await assert.rejects(
        networks.attach(refused),
        /failed to bind host port for 0\.0\.0\.0:8080:172\.17\.0\.2:80\/tcp: address already in use$/,
      )
      foreign.close()
      await sleep(20)
      const b = await up(refused)
      assert.throws(() => serve(hostFd, 8080, 'foreign'), /EADDRINUSE/, 'held against other programs')
      await down(b)
    })

    test('of a range take the first free one, and any free one where none is named', async () => {
      const range = { portBindings: { '80/tcp': [{ hostIp: '', hostPort: '8090-8091' }] } }
      const a = await up(container('a', range))
      const b = await up(container('b', range))
      assert.deepEqual(
        [a, b].map(({ ports }) => ports['80/tcp']?.[0]?.hostPort),
        ['8090', '8091'],
      )
      await assert.rejects(networks.attach(container('c', range)), /all ports are allocated$/)
      const d = await up(
        container('d', { publishAllPorts: true, exposedPorts: ['80/tcp', '81/tcp', '53/udp'] }),
      )
      assert.deepEqual(Object.keys(d.ports).sort(), ['53/udp', '80/tcp', '81/tcp'])
      await down(a, b, d)
    })

    test('change while the container runs, without a break for those that stay', async () => {
      const a = await up(
        container('a', { portBindings: { '80/tcp': [{ hostIp: '', hostPort: '8080' }] } }),
        80,
      )
      const socket = connectFrom(outside.fd, OUTSIDE.host4, 8080)
      await new Promise(resolve => socket.once('data', resolve))
      const ports = await networks.publish(a.it.id, {
        portBindings: {
          '80/tcp': [
            { hostIp: '', hostPort: '8080' },
            { hostIp: '', hostPort: '8082' },
          ],
        },
      })
      assert.equal(ports['80/tcp']?.length, 4)
      assert.equal(await ask(outside.fd, OUTSIDE.host4, 8082), `a ${OUTSIDE.peer4}`)
      await networks.publish(a.it.id, { portBindings: { '80/tcp': [{ hostIp: '', hostPort: '8082' }] } })
      assert.equal(await ask(outside.fd, OUTSIDE.host4, 8080), 'ECONNREFUSED')
      socket.write('still here')
      assert.equal(String(await new Promise(resolve => socket.once('data', resolve))), 'still here')
      socket.destroy()
      await networks.publish(a.it.id, {})
      assert.equal(await ask(outside.fd, OUTSIDE.host4, 8082), 'ECONNREFUSED')
      await down(a)
    })
  })

  describe('user-defined networks', () => {
    test('do not reach each other', async () => {
      await networks.create({ name: 'one' })
      await networks.create({ name: 'two' })
      const a = await up(container('a', { networkMode: 'one' }), 80)
      const b = await up(container('b', { networkMode: 'two' }))
      assert.equal(await ask(b.fd, a.ip, 80, UNANSWERED), 'timeout')
      await networks.connect('one', b.it, {}, true)
      assert.match(await ask(b.fd, a.ip, 80), /^a /)
      await networks.disconnect('one', b.it, { running: true })
      assert.notEqual(await ask(b.fd, a.ip, 80), `a ${b.ip}`)
      await down(a, b)
      await networks.remove('one')
      await networks.remove('two')
    })

    test('that are internal have no way out and no way in', async () => {
      await networks.create({ name: 'inner', internal: true })
      const binding = { portBindings: { '80/tcp': [{ hostIp: '', hostPort: '8080' }] } }
      const a = await up(container('a', { networkMode: 'inner', ...binding }), 80)
      const b = await up(container('b', { networkMode: 'inner' }))
      assert.equal(await ask(b.fd, a.ip, 80), `a ${b.ip}`)
      assert.equal(await ask(b.fd, OUTSIDE.peer4, 7), 'ENETUNREACH')
      assert.equal(await ask(outside.fd, a.ip, 80, UNANSWERED), 'timeout')
      assert.deepEqual(a.ports, {})
      await down(a, b)
      await networks.remove('inner')
    })

    test('with IPv6 have both', async () => {
      await networks.create({ name: 'six', enableIpv6: true })
      const binding = { portBindings: { '80/tcp': [{ hostIp: '', hostPort: '8080' }] } }
      const a = await up(container('a', { networkMode: 'six', ...binding }), 80)
      const b = await up(container('b', { networkMode: 'six' }))
      const six = a.endpoints['six']!.globalIpv6Address
      assert.match(six, /^fd[0-9a-f]{2}:/)
      assert.match(await ask(b.fd, six, 80), /^a fd/)
      assert.equal(await ask(a.fd, OUTSIDE.peer6, 7), `outside ${OUTSIDE.host6}`)
      assert.equal(await ask(outside.fd, OUTSIDE.host6, 8080), `a ${OUTSIDE.peer6}`, 'source kept')
      assert.match(await ask(hostFd, '::1', 8080), /^a /)
      assert.equal(await ask(outside.fd, six, 80, UNANSWERED), 'timeout', 'routed straight to the container')
      await down(a, b)
      await networks.remove('six')
    })

    test('without icc let nobody through', async () => {
      await networks.create({ name: 'quiet', options: { 'com.docker.network.bridge.enable_icc': 'false' } })
      const a = await up(container('a', { networkMode: 'quiet' }), 80)
      const b = await up(container('b', { networkMode: 'quiet' }))
      assert.equal(await ask(b.fd, a.ip, 80, UNANSWERED), 'timeout')
      assert.equal(await ask(b.fd, OUTSIDE.peer4, 7), `outside ${OUTSIDE.host4}`)
      const tables = () => execFileSync('nft', ['list', 'tables'], { encoding: 'utf8' })
      assert.match(tables(), /table bridge gantry/)
      await down(a, b)
      await networks.remove('quiet')
      assert.doesNotMatch(
        tables(),
        /table bridge/,
        'what costs every packet on a bridge goes with its reason',
      )
    })

    test('the default route follows the priority', async () => {
      await networks.create({ name: 'alpha' })
      await networks.create({ name: 'beta' })
      const endpoints = { alpha: {}, beta: { gatewayPriority: 1 } }
      const a = await up(container('a', { networkMode: 'alpha', endpoints }))
      assert.equal(a.endpoints['alpha']!.ipAddress, a.ip)
      const via = () =>
        execFileSync('nsenter', [`--net=/proc/${process.pid}/fd/${a.fd}`, 'ip', 'route', 'show', 'default'], {
          encoding: 'utf8',
        })
      assert.match(via(), new RegExp(`^default via ${a.endpoints['beta']!.gateway} dev eth1`))
      await networks.disconnect('beta', { ...a.it, endpoints }, { running: true })
      assert.match(via(), new RegExp(`^default via ${a.endpoints['alpha']!.gateway} dev eth0`))
      await down(a)
      await networks.prune()
    })
  })

  test('while a network is removed its name is taken, and nobody gets onto it', async () => {
    await networks.create({ name: 'going' })
    const a = container('a', { networkMode: 'going' })
    const removed = networks.remove('going')
    assert.throws(() => networks.inspect('going'), /^GantryError: network going not found$/)
    await assert.rejects(networks.attach(a), /network going not found/)
    await assert.rejects(networks.remove('going'), /network going not found/)
    await assert.rejects(networks.create({ name: 'going' }), /network with name going already exists/)
    await removed
    await networks.create({ name: 'going' })
    await networks.remove('going')
  })

  test('a container that ends while it is disconnected leaves nothing', async () => {
    const links = () => execFileSync('ip', ['-o', 'link'], { encoding: 'utf8' }).split('\n').length
    await networks.create({ name: 'brief' })
    const before = links()
    const a = await up(container('a', { networkMode: 'brief' }))
    await networks.connect('bridge', a.it, {}, true)
    const disconnected = networks.disconnect('brief', a.it, { running: true })
    await networks.release(a.it.id)
    await disconnected
    const b = await up(container('b', { networkMode: 'brief' }))
    assert.equal(b.ip, a.ip, 'its address is free')
    await down(b)
    for (let tries = 0; links() > before && tries < 250; tries++) await sleep(20)
    assert.equal(links(), before)
  })

  describe('what is refused', () => {
    const refuses = (name: string, expected: RegExp, work: () => Promise<unknown>) =>
      test(name, () => assert.rejects(work, expected))
    const subnet = (config: object, name = 'x') => networks.create({ name, ipam: { config: [config] } })

    refuses(
      'a taken subnet',
      /^GantryError: invalid pool request: Pool overlaps with other one on this address space$/,
      () => subnet({ subnet: '172.17.0.0/24' }),
    )
    refuses(
      'a gateway outside',
      /invalid network config:\ninvalid gateway 10\.99\.0\.1: parent subnet 10\.88\.0\.0\/24 doesn't contain this address$/,
      () => subnet({ subnet: '10.88.0.0/24', gateway: '10.99.0.1' }),
    )
    refuses(
      'several mistakes at once',
      /\n\* invalid ip-range .*\n\* invalid gateway .*: invalid address\n\* invalid auxiliary address a: /,
      () =>
        subnet({
          subnet: '10.88.0.0/24',
          gateway: '10.88.0.0/24',
          ipRange: '10.89.0.0/24',
          auxiliaryAddresses: { a: '1.1.1.1' },
        }),
    )
    refuses('host bits in a subnet', /invalid subnet 10\.88\.0\.5\/24: it should be 10\.88\.0\.0\/24$/, () =>
      subnet({ subnet: '10.88.0.5/24' }),
    )
    refuses('a reserved name', /operation is not permitted on predefined host network $/, () =>
      networks.create({ name: 'host' }),
    )
    refuses('an unknown driver', /plugin "nosuch" not found$/, () =>
      networks.create({ name: 'x', driver: 'nosuch' }),
    )
    refuses('a second host network', /only one instance of "host" network is allowed$/, () =>
      networks.create({ name: 'x', driver: 'host' }),
    )
    refuses(
      'the removal of the default network',
      /bridge is a pre-defined network and cannot be removed$/,
      () => networks.remove('bridge'),
    )
    refuses('a network that is not there', /network nosuch not found$/, () => networks.remove('nosuch'))
    refuses(
      'a start on a network that is not there',
      /failed to set up container networking: network nosuch not found$/,
      () => networks.attach(container('a', { networkMode: 'nosuch' })),
    )

    test('addresses that are in use or exhausted', async () => {
      await networks.create({ name: 'small', ipam: { config: [{ subnet: '10.88.0.0/30' }] } })
      const at = (ip: string, name = 'b') =>
        container(name, { networkMode: 'small', endpoints: { small: { ipv4Address: ip } } })
      const a = await up(at('10.88.0.2', 'a'))
      await assert.rejects(
        networks.attach(at('10.88.0.2')),
        /failed to set up container networking: Address already in use$/,
      )
      await assert.rejects(
        networks.attach(container('b', { networkMode: 'small' })),
        /no available IPv4 addresses on this network's address pools: small \([0-9a-f]{64}\)$/,
      )
      assert.throws(
        () => networks.validate(at('10.99.0.2')),
        /invalid config for network small: invalid endpoint settings:\nno configured subnet or ip-range contain the IP address 10\.99\.0\.2$/,
      )
      await assert.rejects(
        networks.remove('small'),
        /network small has active endpoints \(name:"a" id:"[0-9a-f]{12}"\)$/,
      )
      await down(a)
      await networks.remove('small')
    })

    test('endpoints that a network cannot give', async () => {
      const it = container('a', { endpoints: { bridge: { ipv4Address: '172.17.0.9' } } })
      assert.throws(
        () => networks.validate(it),
        /invalid config for network bridge: invalid endpoint settings:\n\* user specified IP address is supported on user defined networks only\n\* user specified/,
      )
      const sysctls = (text: string) =>
        container('a', {
          endpoints: { bridge: { driverOpts: { 'com.docker.network.endpoint.sysctls': text } } },
        })
      assert.throws(
        () => networks.validate(sysctls('net.ipv4.conf.eth0.log_martians=1')),
        /invalid endpoint settings:\nunrecognised network interface sysctl 'net\.ipv4\.conf\.eth0\.log_martians=1'; represent/,
      )
      const settings = sysctls('net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.neigh.IFNAME.app_solicit=2')
      networks.validate(settings)
      assert.deepEqual((await up(settings)).sysctls, {
        'net.ipv4.conf.eth0.log_martians': '1',
        'net.ipv6.neigh.eth0.app_solicit': '2',
      })
      await down({ it: settings })
      assert.throws(
        () => networks.validate(container('a', { dns: ['x'] })),
        /^GantryError: bad nameserver address x: /,
      )
      assert.throws(
        () => networks.validate(container('a', { extraHosts: ['a:1.1.1'] })),
        /^GantryError: invalid IP address in add-host: "1\.1\.1"$/,
      )
      const bad = container('a', { endpoints: { bridge: { macAddress: 'zz' } } })
      assert.throws(
        () => networks.validate(bad),
        /invalid config for network bridge: invalid MAC address zz$/,
      )
      const port = container('a', { portBindings: { '80/tcp': [{ hostIp: '', hostPort: '65536' }] } })
      assert.throws(() => networks.validate(port), /invalid port specification: "65536"$/)
      await assert.rejects(
        networks.connect('host', container('a')),
        /cannot connect container to host network/,
      )
      await assert.rejects(networks.connect('none', container('a')), /private \(none\) mode$/)
      await assert.rejects(
        networks.connect('bridge', container('a')),
        /endpoint with name a already exists in network bridge$/,
      )
    })
  })

  describe('the daemon comes and goes', () => {
    test('connections live on, ports, names and addresses are taken back', async () => {
      await networks.create({ name: 'app' })
      const binding = { portBindings: { '80/tcp': [{ hostIp: '', hostPort: '' }] } }
      const a = await up(container('a', { networkMode: 'app', ...binding }), 80)
      const b = await up(container('b', { networkMode: 'app' }))
      const stray = await up(container('stray'))
      const port = Number(a.ports['80/tcp']![0]!.hostPort)
      const socket = connectFrom(outside.fd, OUTSIDE.host4, port)
      await new Promise(resolve => socket.once('data', resolve))
      const processes = [idleProcess(a.fd), idleProcess(b.fd), idleProcess(stray.fd)]
      const running: RunningContainer[] = [
        { container: a.it, pid: processes[0]!.pid },
        { container: b.it, pid: processes[1]!.pid },
      ]
      await sleep(200) // until nsenter is in
      const [aFd, bFd] = running.map(({ pid }) => fs.openSync(`/proc/${pid}/ns/net`, 'r'))
      const before = networks.state(a.it)
      await networks.close()
      networks = await Networks.open(options, running)
      assert.deepEqual(networks.state(a.it).endpoints, before.endpoints)
      assert.deepEqual(networks.state(a.it).ports, before.ports)
      socket.write('still here')
      assert.equal(String(await new Promise(resolve => socket.once('data', resolve))), 'still here')
      assert.match(await ask(outside.fd, OUTSIDE.host4, port), /^a /)
      assert.match(await ask(bFd!, a.ip, 80), /^a /)
      assert.equal(Object.keys(networks.inspect('bridge').containers).length, 0)
      const c = await up(container('c', { networkMode: 'app' }))
      assert.notEqual(c.ip, a.ip)
      const links = execFileSync(
        'ip',
        [
          '-o',
          'link',
          'show',
          'master',
          networks.inspect('bridge').options['com.docker.network.bridge.name']!,
        ],
        { encoding: 'utf8' },
      )
      assert.equal(links, '', 'what belongs to no container is gone')
      socket.destroy()
      await down(a, b, c)
      for (const process of processes) await process.end()
      for (const fd of [aFd!, bFd!]) fs.closeSync(fd)
      await networks.remove('app')
    })

    test('rules that someone flushed come back', async () => {
      const a = await up(
        container('a', { portBindings: { '80/tcp': [{ hostIp: '', hostPort: '8080' }] } }),
        80,
      )
      execFileSync('nft', ['flush', 'ruleset'])
      for (let attempts = 0; attempts < 40; attempts++) {
        if ((await ask(outside.fd, OUTSIDE.host4, 8080)) === `a ${OUTSIDE.peer4}`) break
        assert.notEqual(attempts, 39, 'still not back')
        await sleep(100)
      }
      await down(a)
    })

    test('two daemons with different roots leave each other alone', async () => {
      const other = await Networks.open({ dataRoot: `${folder.path}/data2`, execRoot: `${folder.path}/run2` })
      const binding = { portBindings: { '80/tcp': [{ hostIp: '', hostPort: '8080' }] } }
      const a = await up(container('a', binding), 80)
      const theirs = container('b')
      const b = await other.attach(theirs)
      assert.notEqual(b.endpoints['bridge']!.ipAddress.split('.')[1], a.ip.split('.')[1])
      assert.equal(await ask(b.netnsFd!, OUTSIDE.peer4, 7), `outside ${OUTSIDE.host4}`)
      assert.equal(await ask(b.netnsFd!, a.ip, 80, UNANSWERED), 'timeout')
      assert.match(await ask(b.netnsFd!, OUTSIDE.host4, 8080), /^a /)
      await assert.rejects(other.attach(container('c', binding)), /8080.*address already in use$/)
      await other.release(theirs.id)
      await other.close()
      assert.equal(await ask(outside.fd, OUTSIDE.host4, 8080), `a ${OUTSIDE.peer4}`)
      await down(a)
    })

    test('many containers leave nothing behind', async () => {
      const count = () => ({
        links: execFileSync('ip', ['-o', 'link'], { encoding: 'utf8' })
          .split('\n')
          .filter(line => line.includes('veth')).length,
        elements:
          execFileSync('nft', ['list', 'ruleset'], { encoding: 'utf8' }).match(/172\.17\.\d+\.\d+ \. 80/g)
            ?.length ?? 0,
        files: fs.readdirSync(`${options.execRoot}/network`).length,
        fds: fs.readdirSync('/proc/self/fd').length,
      })
      await sleep(200)
      const start = count()
      for (let round = 0; round < 10; round++) {
        const those = await Promise.all(
          Array.from({ length: 10 }, (_, i) =>
            up(container(`n${round}-${i}`, { portBindings: { '80/tcp': [{ hostIp: '', hostPort: '' }] } })),
          ),
        )
        await down(...those)
      }
      for (let attempts = 0; ; attempts++) {
        await sleep(200) // the kernel removes namespaces in its own time
        const now = count()
        if (now.links === start.links && now.fds <= start.fds + 3) break
        if (attempts === 50) assert.deepEqual(now, start)
      }
      assert.equal(count().elements, start.elements)
      assert.equal(count().files, start.files)
      assert.equal((await up(container('last'))).ip, '172.17.0.2')
    })
  })
})
