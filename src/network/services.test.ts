import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import * as dgram from 'node:dgram'
import * as fs from 'node:fs'
import * as net from 'node:net'
import { after, afterEach, before, describe, test } from 'node:test'
import * as dns from 'dns-packet'
import { openSocketInNetns } from '../linux/index.ts'
import { Networks } from './networks.ts'
import {
  ask,
  askUdp,
  connectFrom,
  container,
  inOwnNamespace,
  OUTSIDE,
  secondHost,
  serve,
  serveUdp,
  temporaryFolder,
  UNANSWERED,
} from './testing.ts'
import type { NetworkConfig, NetworkContainer } from './types.ts'

const RESOLVER = '127.0.0.11'

/** A resolver outside: answers everything with 192.0.2.7, over TCP with 100 of them. */
function outsideResolver(netnsFd: number): { close(): void } {
  const reply = (query: Buffer, count: number) => {
    const { id, questions } = dns.decode(query)
    const answers = Array.from({ length: count }, () => ({
      type: 'A' as const,
      name: questions![0]!.name,
      data: '192.0.2.7',
    }))
    return dns.encode({ type: 'response', id: id!, questions: questions!, answers })
  }
  const udp = dgram.createSocket('udp4')
  udp.on('message', (query, from) => udp.send(reply(query, 1), from.port, from.address))
  udp.bind({ fd: openSocketInNetns(netnsFd, 'udp4', '0.0.0.0', 53) })
  const tcp = net.createServer(socket => {
    socket.on('error', () => {})
    socket.once('data', (data: Buffer) => {
      const answer = reply(data.subarray(2), 100)
      const length = Buffer.alloc(2)
      length.writeUInt16BE(answer.length)
      socket.end(Buffer.concat([length, answer]))
    })
  })
  tcp.listen({ fd: openSocketInNetns(netnsFd, 'tcp4', '0.0.0.0', 53) })
  return {
    close() {
      udp.close()
      tcp.close()
    },
  }
}

const question = (name: string) =>
  dns.encode({ type: 'query', id: 99, flags: dns.RECURSION_DESIRED, questions: [{ type: 'A', name }] })
const addresses = (reply: Buffer | 'timeout') =>
  reply === 'timeout'
    ? 'timeout'
    : (dns.decode(reply).answers ?? []).map(answer => String((answer as { data: unknown }).data))

inOwnNamespace(import.meta.filename, () => {
  const folder = temporaryFolder()
  const outside = secondHost()
  const hostFd = fs.openSync('/proc/self/ns/net', 'r')
  const services: { close(): void }[] = []
  let networks: Networks
  let roots = 0

  const reopen = async (config: NetworkConfig = {}) => {
    await networks?.close()
    roots++
    networks = await Networks.open({
      dataRoot: `${folder.path}/d${roots}`,
      execRoot: `${folder.path}/r${roots}`,
      config,
    })
  }
  const up = async (it: NetworkContainer) => {
    const sandbox = await networks.attach(it)
    return { ...sandbox, fd: sandbox.netnsFd!, it, ip: Object.values(sandbox.endpoints)[0]?.ipAddress ?? '' }
  }
  const lookUp = async (fd: number, name: string) =>
    addresses(await askUdp(fd, RESOLVER, 53, question(name), 3000))
  const lookUpTcp = async (fd: number, name: string) => {
    const socket = connectFrom(fd, RESOLVER, 53)
    const query = question(name)
    socket.once('connect', () => socket.write(Buffer.concat([Buffer.from([0, query.length]), query])))
    let received = Buffer.alloc(0)
    for await (const data of socket) {
      received = Buffer.concat([received, data as Buffer])
      if (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) break
    }
    socket.destroy()
    return addresses(received.subarray(2))
  }

  before(() => reopen())
  afterEach(() => {
    for (const service of services.splice(0)) service.close()
  })
  after(async () => {
    await networks.close()
    outside.close()
    folder[Symbol.dispose]()
    setTimeout(() => process.exit(), 100).unref()
  })

  describe('the name server in a container', () => {
    test('answers for the names of its networks, over UDP and TCP, and leaves port 53 to the container', async () => {
      await networks.create({ name: 'app' })
      const a = await up(container('a', { networkMode: 'app', endpoints: { app: { aliases: ['web'] } } }))
      const b = await up(
        container('b', { networkMode: 'app', endpoints: { app: { aliases: ['web'], links: ['a:db'] } } }),
      )
      services.push(serveUdp(b.fd, 53, 'own'))
      assert.deepEqual(await lookUp(b.fd, 'a'), [a.ip])
      assert.deepEqual(await lookUp(b.fd, 'db'), [a.ip])
      assert.deepEqual((await lookUp(a.fd, 'web')).toString().split(',').sort(), [a.ip, b.ip].sort())
      assert.deepEqual(await lookUpTcp(a.fd, 'b'), [b.ip])
      assert.deepEqual(await lookUp(a.fd, 'db'), [], 'a link is only for who has it')
      assert.equal(String(await askUdp(b.fd, '127.0.0.1', 53)), 'own 127.0.0.1')
      networks.rename(b.it.id, 'renamed')
      assert.deepEqual([await lookUp(a.fd, 'b'), await lookUp(a.fd, 'renamed')], [[], [b.ip]])
      await networks.release(b.it.id)
      assert.deepEqual(await lookUp(a.fd, 'renamed'), [])
      await networks.release(a.it.id)
    })

    test('asks outside from the container, and takes large answers over TCP', async () => {
      services.push(outsideResolver(outside.fd))
      const a = await up(container('a', { networkMode: 'app', dns: [OUTSIDE.peer4] }))
      assert.deepEqual(await lookUp(a.fd, 'example.com'), ['192.0.2.7'])
      assert.equal((await lookUpTcp(a.fd, 'example.com')).length, 100)
      await networks.create({ name: 'inner', internal: true })
      const b = await up(container('b', { networkMode: 'inner', dns: [OUTSIDE.peer4] }))
      assert.deepEqual(await lookUp(b.fd, 'example.com'), [], 'not where there is no way out')
      await networks.release(a.it.id)
      await networks.release(b.it.id)
    })

    test('comes with the first network that has names', async () => {
      const edits: string[] = []
      await networks.close()
      networks = await Networks.open({
        dataRoot: `${folder.path}/d1`,
        execRoot: `${folder.path}/r1`,
        onFilesChanged: (_id, edit) =>
          edits.push(edit.hosts('127.0.0.1\tlocalhost\n'), edit.resolvConf(resolvConf)),
      })
      const a = await up(container('a'))
      const { resolvConf } = a
      assert.doesNotMatch(resolvConf, /127\.0\.0\.11/)
      const b = await up(container('b', { networkMode: 'app' }))
      await networks.connect('app', a.it, { aliases: ['late'] }, true)
      assert.deepEqual(await lookUp(a.fd, 'b'), [b.ip])
      assert.deepEqual(await lookUp(b.fd, 'late'), [networks.state(a.it).endpoints['app']!.ipAddress])
      assert.match(edits[0]!, /localhost\n172\.17\.\d+\.\d+\t\w{12}\n172\.18\.\d+\.\d+\t\w{12}\n$/)
      assert.match(edits[1]!, /nameserver 127\.0\.0\.11\n/)
      await networks.release(a.it.id)
      await networks.release(b.it.id)
    })
  })

  test('without icc only links let through, and only to exposed ports', async () => {
    await reopen({ icc: false })
    const server = await up(container('server', { exposedPorts: ['80/tcp'] }))
    services.push(serve(server.fd, 80, 'server'), serve(server.fd, 81, 'server'))
    const target = { ...server.it, alias: 'db', env: ['PASS=x'], exposedPorts: ['80/tcp'] }
    const linked = await up(container('linked', { links: [target] }))
    const stranger = await up(container('stranger'))
    assert.equal(await ask(linked.fd, server.ip, 80), `server ${linked.ip}`)
    assert.equal(await ask(linked.fd, server.ip, 81, UNANSWERED), 'timeout')
    assert.equal(await ask(stranger.fd, server.ip, 80, UNANSWERED), 'timeout')
    assert.match(linked.hosts, new RegExp(`^${server.ip}\tdb ${server.it.hostname} server$`, 'm'))
    assert.ok(linked.linkEnv.includes(`DB_PORT_80_TCP=tcp://${server.ip}:80`))
    assert.ok(linked.linkEnv.includes('DB_ENV_PASS=x'))
    await networks.release(linked.it.id)
    const again = await up(container('again'))
    assert.equal(again.ip, linked.ip)
    assert.equal(
      await ask(again.fd, server.ip, 80, UNANSWERED),
      'timeout',
      'the next one at that address is not linked',
    )
    for (const { it } of [server, stranger, again]) await networks.release(it.id)
  })

  test('a macvlan puts containers on the network outside', async t => {
    await reopen()
    const ipam = {
      config: [{ subnet: '198.51.100.0/24', ipRange: '198.51.100.64/26', gateway: OUTSIDE.peer4 }],
    }
    try {
      await networks.create({ name: 'lan', driver: 'macvlan', options: { parent: 'outside' }, ipam })
    } catch (error) {
      t.skip(String(error))
      return
    }
    services.push(serve(outside.fd, 7, 'outside'))
    const a = await up(container('a', { networkMode: 'lan' }))
    assert.equal(a.ip, '198.51.100.64')
    assert.equal(await ask(a.fd, OUTSIDE.peer4, 7), `outside ${a.ip}`)
    await networks.release(a.it.id)
    const b = await up(container('b', { networkMode: 'lan' }))
    assert.equal(b.ip, a.ip)
    assert.equal(await ask(b.fd, OUTSIDE.peer4, 7), `outside ${b.ip}`)
    await networks.release(b.it.id)
    await networks.remove('lan')
    assert.ok(
      fs.existsSync('/sys/class/net/outside') || execFileSync('ip', ['link', 'show', 'outside']).length > 0,
      'the parent stays',
    )
  })

  test('daemon.json: bip, fixed-cidr, mtu, ip, host-gateway-ips', async () => {
    await reopen({
      bip: '10.77.0.1/24',
      fixedCidr: '10.77.0.128/25',
      mtu: 1300,
      ip: '127.0.0.1',
      hostGatewayIps: ['10.1.1.1'],
    })
    const a = await up(
      container('a', {
        portBindings: { '80/tcp': [{ hostIp: '', hostPort: '8099' }] },
        extraHosts: ['gw:host-gateway'],
      }),
    )
    services.push(serve(a.fd, 80, 'a'))
    assert.equal(a.ip, '10.77.0.128')
    assert.deepEqual(a.ports, { '80/tcp': [{ hostIp: '127.0.0.1', hostPort: '8099' }] })
    assert.match(a.hosts, /^10\.1\.1\.1\tgw$/m)
    assert.equal(await ask(hostFd, '127.0.0.1', 8099), 'a 10.77.0.1')
    const shown = execFileSync(
      'nsenter',
      [`--net=/proc/${process.pid}/fd/${a.fd}`, 'ip', 'link', 'show', 'eth0'],
      { encoding: 'utf8' },
    )
    assert.match(shown, /mtu 1300/)
    await networks.release(a.it.id)
  })

  test('daemon.json: default-address-pools', async () => {
    await reopen({ defaultAddressPools: [{ base: '10.99.0.0/23', size: 24 }] })
    const subnetOf = (name: string) => networks.inspect(name).ipam.config?.[0]?.subnet
    assert.equal(subnetOf('bridge'), '10.99.0.0/24')
    await networks.create({ name: 'second' })
    assert.equal(subnetOf('second'), '10.99.1.0/24')
    await assert.rejects(
      networks.create({ name: 'third' }),
      /^GantryError: all predefined address pools have been fully subnetted$/,
    )
    assert.deepEqual(
      networks.list({ driver: ['bridge'] }).map(({ name }) => name),
      ['bridge', 'second'],
      'nothing half made',
    )
    await networks.remove('second')
    await networks.create({ name: 'third' })
    assert.equal(subnetOf('third'), '10.99.1.0/24')
    await networks.remove('third')
  })

  test('daemon.json: ip-masq, ip-forward', async () => {
    const forward = '/proc/sys/net/ipv4/ip_forward'
    services.push(serve(outside.fd, 7, 'outside'))
    await reopen()
    const a = await up(container('a'))
    assert.equal(await ask(a.fd, OUTSIDE.peer4, 7), `outside ${OUTSIDE.host4}`)
    await networks.release(a.it.id)
    await reopen({ ipMasq: false })
    const b = await up(container('b'))
    assert.equal(await ask(b.fd, OUTSIDE.peer4, 7), `outside ${b.ip}`, 'as it is')
    await networks.release(b.it.id)
    fs.writeFileSync(forward, '0')
    await reopen({ ipForward: false })
    assert.equal(fs.readFileSync(forward, 'utf8'), '0\n')
    await reopen()
    assert.equal(fs.readFileSync(forward, 'utf8'), '1\n')
  })

  test('daemon.json: ipv6, fixed-cidr-v6, userland-proxy', async () => {
    const binding = { portBindings: { '80/tcp': [{ hostIp: '', hostPort: '8098' }] } }
    await reopen({ userlandProxy: false })
    const a = await up(container('a', binding))
    services.push(serve(a.fd, 80, 'a'))
    assert.deepEqual(a.ports, { '80/tcp': [{ hostIp: '0.0.0.0', hostPort: '8098' }] })
    assert.match(await ask(hostFd, '127.0.0.1', 8098), /^a /)
    assert.equal(await ask(hostFd, '::1', 8098), 'ECONNREFUSED')
    await networks.release(a.it.id)
    await reopen({ ipv6: true, fixedCidrV6: 'fd00:88::/64' })
    const b = await up(container('b', binding))
    services.push(serve(b.fd, 80, 'b', '::'))
    assert.equal(b.endpoints['bridge']!.globalIpv6Address, 'fd00:88::2')
    assert.match(await ask(hostFd, 'fd00:88::2', 80), /^b fd00:88::1/)
    assert.match(await ask(outside.fd, OUTSIDE.host6, 8098), /^b /)
    await networks.release(b.it.id)
  })

  test('a thousand published ports lead to their containers, the last as the first', async () => {
    await reopen()
    const binding = Object.fromEntries(
      Array.from({ length: 1000 }, (_, i) => [
        `${1000 + i}/tcp`,
        [{ hostIp: '', hostPort: String(20000 + i) }],
      ]),
    )
    const a = await up(container('a', { portBindings: binding }))
    services.push(serve(a.fd, 1000, 'first'), serve(a.fd, 1999, 'last'))
    assert.equal(await ask(outside.fd, OUTSIDE.host4, 20000), `first ${OUTSIDE.peer4}`)
    assert.equal(await ask(outside.fd, OUTSIDE.host4, 20999), `last ${OUTSIDE.peer4}`)
    await networks.release(a.it.id)
    assert.equal(await ask(outside.fd, OUTSIDE.host4, 20999), 'ECONNREFUSED')
  })
})
