import assert from 'node:assert/strict'
import { test } from 'node:test'
import { extraHosts, hostsFile, ownNames, parseResolvConf, resolvConf } from './files.ts'
import { linkEnvironment } from './links.ts'
import { PortTable, portRequests } from './ports.ts'

const host = (text: string) => ({
  ipv6: false,
  host: { file: '/etc/resolv.conf', conf: parseResolvConf(text) },
})
/** What follows the four lines that every generated file has. */
const body = (text: string) => text.split('\n').slice(4).join('\n')

test('the hosts file has what Docker writes, in its order', () => {
  const entries = [
    ...extraHosts(
      ['foo:1.2.3.4', 'gw:host-gateway', 'six:fe80::1', 'eq=10.0.0.1', 'b:[::2]'],
      ['172.17.0.1'],
    ),
    { address: '172.17.0.3', names: ownNames('h1', 'd.test') },
  ]
  const expected =
    '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff00::\tip6-mcastprefix\n' +
    'ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n1.2.3.4\tfoo\n172.17.0.1\tgw\nfe80::1\tsix\n10.0.0.1\teq\n::2\tb\n' +
    '172.17.0.3\th1.d.test h1\n'
  assert.equal(hostsFile(entries), expected)
  assert.deepEqual(ownNames('a.b.c', undefined), ['a.b.c', 'a'])
  assert.deepEqual(ownNames('plain', undefined), ['plain'])
  assert.throws(() => extraHosts(['gw:host-gateway'], []), /unable to derive the IP value for host-gateway/)
  assert.throws(() => extraHosts(['nothing'], []), /bad format for add-host/)
})

test('resolv.conf of the default bridge is the host’s, without what only the host reaches', () => {
  const own = resolvConf(
    'legacy',
    {},
    host('nameserver 127.0.0.53\nnameserver 10.0.0.2\nnameserver fd00::53\nsearch a b\noptions edns0'),
  )
  assert.equal(
    body(own.text),
    "nameserver 10.0.0.2\nsearch a b\noptions edns0\n\n# Based on host file: '/etc/resolv.conf' (legacy)\n# Overrides: []\n",
  )
  const none = resolvConf('legacy', {}, host('nameserver 127.0.0.1'))
  assert.match(
    none.text,
    /nameserver 8\.8\.8\.8\nnameserver 8\.8\.4\.4\n\n.*\n# Used default nameservers\.\n/,
  )
})

test('resolv.conf with overrides', () => {
  const overrides = { nameservers: ['9.9.9.9'], search: ['example.com'], options: ['timeout:3'] }
  assert.equal(
    body(resolvConf('legacy', overrides, host('nameserver 10.0.0.2\nsearch x')).text),
    "nameserver 9.9.9.9\nsearch example.com\noptions timeout:3\n\n# Based on host file: '/etc/resolv.conf' (legacy)\n# Overrides: [nameservers search options]\n",
  )
})

test('resolv.conf of a user-defined network names our resolver, and keeps the others for it', () => {
  const inner = resolvConf(
    'internal',
    { search: ['.'] },
    host('nameserver 127.0.0.53\nnameserver 10.0.0.2\nsearch x'),
  )
  assert.equal(
    body(inner.text),
    "nameserver 127.0.0.11\noptions ndots:0\n\n# Based on host file: '/etc/resolv.conf' (internal resolver)\n" +
      '# ExtServers: [host(127.0.0.53) host(10.0.0.2)]\n# Overrides: [search]\n# Option ndots from: internal\n',
  )
  assert.deepEqual(inner.upstreams[0], { address: '127.0.0.53', fromHost: true })
  const told = resolvConf('internal', { nameservers: ['9.9.9.9'], options: ['ndots:2'] }, host(''))
  assert.match(
    told.text,
    /options ndots:2\n[\s\S]*ExtServers: \[9\.9\.9\.9\]\n# Overrides: \[nameservers options\]\n# Option ndots from: override\n$/,
  )
  assert.deepEqual(told.upstreams, [{ address: '9.9.9.9', fromHost: false }])
})

test('a link tells of the other container’s ports, runs of them, and its variables', () => {
  const target = {
    id: 'x',
    name: 'p1',
    alias: 'my-db',
    hostname: 'h',
    env: ['PATH=/bin', 'HOME=/root', 'PASS=secret', 'BARE'],
    exposedPorts: ['81/tcp', '80/tcp', '53/udp'],
  }
  assert.deepEqual(linkEnvironment('me', target, '172.17.0.2'), [
    'MY_DB_NAME=/me/my-db',
    'MY_DB_PORT=udp://172.17.0.2:53',
    'MY_DB_PORT_80_TCP_START=tcp://172.17.0.2:80',
    'MY_DB_PORT_80_TCP_PORT_START=80',
    'MY_DB_PORT_80_TCP_END=tcp://172.17.0.2:81',
    'MY_DB_PORT_80_TCP_PORT_END=81',
    'MY_DB_PORT_53_UDP=udp://172.17.0.2:53',
    'MY_DB_PORT_53_UDP_ADDR=172.17.0.2',
    'MY_DB_PORT_53_UDP_PORT=53',
    'MY_DB_PORT_53_UDP_PROTO=udp',
    'MY_DB_PORT_80_TCP=tcp://172.17.0.2:80',
    'MY_DB_PORT_80_TCP_ADDR=172.17.0.2',
    'MY_DB_PORT_80_TCP_PORT=80',
    'MY_DB_PORT_80_TCP_PROTO=tcp',
    'MY_DB_PORT_81_TCP=tcp://172.17.0.2:81',
    'MY_DB_PORT_81_TCP_ADDR=172.17.0.2',
    'MY_DB_PORT_81_TCP_PORT=81',
    'MY_DB_PORT_81_TCP_PROTO=tcp',
    'MY_DB_ENV_PASS=secret',
  ])
})

test('what is published is read, fixed ports first', () => {
  const requests = portRequests({
    exposedPorts: ['80/tcp', '9/udp'],
    portBindings: {
      '80/tcp': [{ hostIp: '', hostPort: '' }],
      '70/sctp': [{ hostIp: '::1', hostPort: '7000-7009' }],
    },
    publishAllPorts: true,
  })
  assert.deepEqual(requests, [
    { containerPort: 70, protocol: 'sctp', hostIp: '::1', range: [7000, 7009] },
    { containerPort: 9, protocol: 'udp', hostIp: '', range: [0, 0] },
    { containerPort: 80, protocol: 'tcp', hostIp: '', range: [0, 0] },
  ])
  const refused =
    (key: string, hostPort: string, hostIp = '') =>
    () =>
      portRequests({ portBindings: { [key]: [{ hostIp, hostPort }] } })
  assert.throws(refused('80/tcp', 'foo'), /invalid port specification: "foo"/)
  assert.throws(refused('80/tcp', '65536'), /invalid port specification: "65536"/)
  assert.throws(refused('80/tcp', '9-8'), /invalid port specification: "9-8"/)
  assert.throws(refused('80/foo', '80'), /invalid proto: foo/)
  assert.throws(refused('99999/tcp', '80'), /invalid port specification/)
  assert.throws(refused('80/tcp', '80', 'x'), /invalid IP address: x/)
})

test('an address conflicts with itself and with all addresses', () => {
  const table = new PortTable()
  table.take('tcp', '10.0.0.1', 80)
  assert.ok(!table.isFree('tcp', '10.0.0.1', 80))
  assert.ok(!table.isFree('tcp', '0.0.0.0', 80))
  assert.ok(table.isFree('tcp', '10.0.0.2', 80))
  assert.ok(table.isFree('tcp', '::', 80))
  assert.ok(table.isFree('udp', '0.0.0.0', 80))
  table.release('tcp', '10.0.0.1', 80)
  table.take('tcp', '0.0.0.0', 80)
  assert.ok(!table.isFree('tcp', '10.0.0.2', 80))
})
