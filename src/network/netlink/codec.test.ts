import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseCidr, parseIp } from '../ip.ts'
import { addAddress, readAddress } from './address.ts'
import * as link from './link.ts'
import { Attributes, decode, encode, type Request, Writer } from './message.ts'
import { readElements } from './nft-dump.ts'
import * as x from './nft-expressions.ts'
import * as nft from './nftables.ts'
import { addRoute, readRoute } from './route.ts'

const table: nft.TableRef = { family: 'inet', table: 't' }
const hex = (text: string) => text.replace(/\s/g, '')

/** Each message beside its bytes; those of links, addresses and routes are also what iproute2 sends for the same request. */
const messages: [name: string, request: Request, bytes: string][] = [
  [
    'bring a link up',
    link.setLink(1, { up: true }),
    '20000000 1300 0500 01000000 00000000  00 00 0000 01000000 01000000 01000000',
  ],
  [
    'make a bridge',
    link.addLink({ kind: 'bridge' }, { name: 'br0' }),
    '38000000 1000 0506 01000000 00000000  00 00 0000 00000000 00000000 00000000  0800 0300 62723000  1000 1280 0b00 0100 62726964676500 00',
  ],
  [
    'make a pair of links, one of them in another namespace',
    link.addLink(
      { kind: 'veth', peer: { name: 'eth0', mac: '02:42:ac:11:00:02', netnsFd: 9 } },
      { name: 'v0', master: 7, up: true },
    ),
    `78000000 1000 0506 01000000 00000000  00 00 0000 00000000 01000000 01000000  0700 0300 76300000  0800 0a00 07000000
     4800 1280 0900 0100 7665746800 000000  3800 0280 3400 0180 00 00 0000 00000000 00000000 00000000
     0900 0300 6574683000 000000  0a00 0100 0242ac110002 0000  0800 1c00 09000000`,
  ],
  [
    'make a macvlan',
    link.addLink({ kind: 'macvlan', mode: 'bridge' }, { name: 'm0', parent: 4 }),
    '4c000000 1000 0506 01000000 00000000  00 00 0000 00000000 00000000 00000000  0700 0300 6d300000  0800 0500 04000000  1c00 1280 0c00 0100 6d6163766c616e00  0c00 0280 0800 0100 04000000',
  ],
  [
    'make an ipvlan',
    link.addLink({ kind: 'ipvlan', mode: 'l3', flag: 'private' }, { name: 'i0', parent: 4 }),
    '54000000 1000 0506 01000000 00000000  00 00 0000 00000000 00000000 00000000  0700 0300 69300000  0800 0500 04000000  2400 1280 0b00 0100 6970766c616e00 00  1400 0280 0600 0100 0100 0000  0600 0200 0100 0000',
  ],
  [
    'make a VLAN',
    link.addLink({ kind: 'vlan', id: 10 }, { name: 'e.10', parent: 4 }),
    '50000000 1000 0506 01000000 00000000  00 00 0000 00000000 00000000 00000000  0900 0300 652e313000 000000  0800 0500 04000000  1c00 1280 0900 0100 766c616e00 000000  0c00 0280 0600 0100 0a00 0000',
  ],
  [
    'set a bridge port',
    link.setBridgePort(5, { hairpin: true, isolated: true }),
    '44000000 1000 0500 01000000 00000000  00 00 0000 05000000 00000000 00000000  2400 1280 0b00 0400 62726964676500 00  1400 0580 0500 0400 01000000  0500 2100 01000000',
  ],
  [
    'delete a link',
    link.deleteLink('v0'),
    '28000000 1100 0500 01000000 00000000  00 00 0000 00000000 00000000 00000000  0700 0300 76300000',
  ],
  [
    'add an IPv4 address',
    addAddress(2, parseCidr('172.17.0.2/16')!),
    '30000000 1400 0506 01000000 00000000  02 10 00 00 02000000  0800 0200 ac110002  0800 0100 ac110002  0800 0400 ac11ffff',
  ],
  [
    'add an IPv6 address',
    addAddress(2, parseCidr('fd00::2/64')!),
    '40000000 1400 0506 01000000 00000000  0a 40 02 00 02000000  1400 0200 fd000000000000000000000000000002  1400 0100 fd000000000000000000000000000002',
  ],
  [
    'add a default route',
    addRoute({ family: 4, gateway: parseIp('172.17.0.1')! }),
    '24000000 1800 0506 01000000 00000000  02 00 00 00 fe 03 00 01 00000000  0800 0500 ac110001',
  ],
  [
    'add a table',
    nft.addTable(table),
    '24000000 000a 0504 01000000 00000000  01 00 0000  0600 0100 7400 0000  0800 0200 00000000',
  ],
  [
    'add a base chain',
    nft.addChain(table, 'c', { type: 'filter', hook: 'forward', priority: -5, policy: 'drop' }),
    '4c000000 030a 0504 01000000 00000000  01 00 0000  0600 0100 7400 0000  0600 0300 6300 0000  1400 0480 0800 0100 00000002 0800 0200 fffffffb  0800 0500 00000000  0b00 0700 66696c74657200 00',
  ],
  [
    'add an element of a map with concatenated keys',
    nft.addElements(table, 'm', [
      {
        key: nft.concatenate([Uint8Array.of(6), Uint8Array.of(0, 80)]),
        data: nft.concatenate([Uint8Array.of(10, 0, 0, 2), Uint8Array.of(31, 144)]),
      },
    ])[0]!,
    '4c000000 0c0a 0504 01000000 00000000  01 00 0000  0600 0100 7400 0000  0600 0200 6d00 0000  2800 0380 2400 0180 1000 0180 0c00 0100 06000000 00500000  1000 0280 0c00 0100 0a000002 1f900000',
  ],
  [
    'add a rule',
    nft.addRule(table, 'c', x.meta('l4proto'), x.compare('==', Uint8Array.of(6)), x.drop),
    `a8000000 060a 050c 01000000 00000000  01 00 0000  0600 0100 7400 0000  0600 0200 6300 0000  8400 0480
     2400 0180 0900 0100 6d65746100 000000 1400 0280 0800 0200 00000010 0800 0100 00000008
     2c00 0180 0800 0100 636d7000 2000 0280 0800 0100 00000008 0800 0200 00000000 0c00 0380 0500 0100 06000000
     3000 0180 0e00 0100 696d6d65646961746500 0000 1c00 0280 0800 0100 00000000 1000 0280 0c00 0280 0800 0100 00000000`,
  ],
]

for (const [name, request, bytes] of messages) {
  test(`to ${name}`, () => {
    assert.equal(Buffer.from(encode([request], 1)).toString('hex'), hex(bytes))
  })
}

test('a map says what its fields are', () => {
  const request = nft.addSet(table, { name: 'm', key: ['protocol', 'port'], data: ['ipv4', 'port'] })
  const attrs = new Attributes([...decode(encode([request]))][0]!.body, 4)
  assert.equal(attrs.be32(4), (12 << 6) | 13)
  assert.equal(attrs.be32(5), 8)
  assert.equal(attrs.be32(6), (7 << 6) | 13)
  assert.equal(attrs.be32(7), 8)
})

test('what is written is read back', () => {
  const read = (request: Request) => [...decode(encode([request]))][0]!
  const made = link.readLink(
    read(link.addLink({ kind: 'bridge' }, { name: 'br0', mac: '02:42:00:00:00:01', mtu: 1400, up: true })),
  )
  assert.deepEqual(
    { name: made.name, kind: made.kind, mac: made.mac, mtu: made.mtu, flags: made.flags },
    { name: 'br0', kind: 'bridge', mac: '02:42:00:00:00:01', mtu: 1400, flags: 1 },
  )
  const net = parseCidr('10.1.2.3/24')!
  assert.deepEqual(readAddress(read(addAddress(5, net))), { link: 5, cidr: net, scope: 0 })
  const route = {
    family: 6 as const,
    destination: parseCidr('fd00::/64')!,
    gateway: parseIp('fe80::1')!,
    link: 3,
    metric: 7,
  }
  assert.deepEqual(readRoute(read(addRoute(route))), {
    ...route,
    source: undefined,
    table: 254,
    kind: 1,
    protocol: 3,
  })
  const key = Uint8Array.of(1, 2, 3, 4)
  assert.deepEqual(
    readElements(read(nft.addElements(table, 'm', [{ key, data: key }, { key }])[0]!)).map(one =>
      Object.keys(one),
    ),
    [['key', 'data'], ['key']],
  )
})

test('broken bytes end a walk and never throw', () => {
  const whole = encode([link.addLink({ kind: 'veth', peer: { name: 'eth0' } }, { name: 'v0' })])
  for (let round = 0; round < 2000; round++) {
    const bytes = Uint8Array.from(whole)
    for (let i = 0; i < 4; i++)
      bytes[Math.floor(Math.random() * bytes.length)] = Math.floor(Math.random() * 256)
    for (const message of decode(bytes.subarray(0, Math.floor(Math.random() * bytes.length)))) {
      if (message.body.length >= 16) link.readLink(message)
    }
  }
  assert.equal([...decode(whole.subarray(0, whole.length - 1))].length, 0)
})

test('many elements travel in several messages, each within the limit of an attribute', () => {
  const elements = Array.from({ length: 1000 }, (_, i) => ({ key: Uint8Array.of(i >> 8, i & 0xff, 0, 0) }))
  const requests = nft.addElements(table, 's', elements)
  assert.ok(requests.length > 1)
  const read = requests.flatMap(request => readElements([...decode(encode([request]))][0]!))
  assert.equal(read.length, 1000)
  const writer = new Writer()
  assert.throws(() => writer.attrBytes(1, new Uint8Array(70_000)), /over 65535/)
})
