import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as dns from 'dns-packet'
import { NameTable } from './names.ts'
import { Resolver, type ResolverView } from './resolver.ts'

const app = { networkId: 'n1', networkName: 'app' }
const other = { networkId: 'n2', networkName: 'other' }

function setUp(view: Partial<ResolverView> = {}) {
  const table = new NameTable()
  const web1 = { networkId: 'n1', names: ['web-1', 'web', 'aaaa'], ipv4: '172.18.0.2', ipv6: 'fd00::2' }
  const web2 = { networkId: 'n1', names: ['web-2', 'web', 'bbbb'], ipv4: '172.18.0.3', ipv6: undefined }
  const far = { networkId: 'n2', names: ['far'], ipv4: '172.19.0.2', ipv6: undefined }
  for (const entry of [web1, web2, far]) table.add(entry)
  const resolver = new Resolver(table, {
    scopes: () => [app],
    aliases: () => new Map([['db', 'web-2']]),
    forward: undefined,
    keepsShortNames: false,
    ...view,
  })
  const query = (name: string, type: dns.RecordType = 'A', extra: Partial<dns.Packet> = {}) =>
    dns.encode({
      type: 'query',
      id: 7,
      flags: dns.RECURSION_DESIRED,
      questions: [{ name, type } as dns.Question],
      ...extra,
    })
  const ask = async (name: string, type: dns.RecordType = 'A', overTcp = false) => {
    const reply = await resolver.answer(query(name, type), overTcp)
    return dns.decode(reply!) as dns.DecodedPacket & { rcode: string }
  }
  const addresses = async (name: string, type: dns.RecordType = 'A') =>
    ((await ask(name, type)).answers ?? []).map(answer => String((answer as { data: unknown }).data)).sort()
  return { table, resolver, query, ask, addresses, web1, web2 }
}

test('names, aliases, short ids and links resolve, whatever their case', async () => {
  const { addresses } = setUp()
  assert.deepEqual(await addresses('web-1'), ['172.18.0.2'])
  assert.deepEqual(await addresses('WEB'), ['172.18.0.2', '172.18.0.3'])
  assert.deepEqual(await addresses('bbbb'), ['172.18.0.3'])
  assert.deepEqual(await addresses('web-1.app'), ['172.18.0.2'])
  assert.deepEqual(await addresses('db'), ['172.18.0.3'])
  assert.deepEqual(await addresses('web-1', 'AAAA'), ['fd00::2'])
})

test('a name without such a record is an empty answer, not an unknown name', async () => {
  const { ask } = setUp()
  for (const type of ['AAAA', 'MX', 'TXT'] as const) {
    const reply = await ask('web-2', type)
    assert.deepEqual([reply.rcode, reply.answers?.length], ['NOERROR', 0])
  }
})

test('several behind one alias take turns', async () => {
  const { ask } = setUp()
  const first = new Set<string>()
  for (let i = 0; i < 100; i++) first.add(String(((await ask('web')).answers![0] as { data: unknown }).data))
  assert.equal(first.size, 2)
})

test('other networks are not searched', async () => {
  const { ask } = setUp()
  assert.equal((await ask('far')).rcode, 'SERVFAIL')
  const both = setUp({ scopes: () => [app, other] })
  assert.deepEqual(await both.addresses('far'), ['172.19.0.2'])
  assert.deepEqual(await both.addresses('far.other'), ['172.19.0.2'])
})

test('a name that goes away stops resolving at once, others behind it stay', async () => {
  const { table, web1, web2, addresses, ask } = setUp()
  table.remove(web1)
  assert.equal((await ask('web-1')).rcode, 'SERVFAIL')
  assert.deepEqual(await addresses('web'), ['172.18.0.3'])
  table.remove(web2)
  assert.equal((await ask('web')).rcode, 'SERVFAIL')
})

test('addresses have names', async () => {
  const { addresses } = setUp()
  assert.deepEqual(await addresses('2.0.18.172.in-addr.arpa', 'PTR'), ['web-1.app'])
  const nibbles = 'fd000000000000000000000000000002'.split('').reverse().join('.')
  assert.deepEqual(await addresses(`${nibbles}.ip6.arpa`, 'PTR'), ['web-1.app'])
})

test('everything else is asked outside, with the very bytes of the question', async () => {
  const asked: Buffer[] = []
  const forward = async (query: Buffer) => {
    asked.push(query)
    return dns.encode({
      type: 'response',
      id: 7,
      questions: [],
      answers: [{ type: 'A', name: 'example.com', data: '192.0.2.7' }],
    })
  }
  const { addresses, query } = setUp({ forward })
  assert.deepEqual(await addresses('example.com'), ['192.0.2.7'])
  assert.deepEqual(asked[0], query('example.com'))
  assert.equal((await setUp({ forward: async () => undefined }).ask('example.com')).rcode, 'SERVFAIL')
  assert.equal(
    (await setUp({ forward: () => Promise.reject(new Error('x')) }).ask('example.com')).rcode,
    'SERVFAIL',
  )
  asked.length = 0
  assert.equal((await setUp({ forward, keepsShortNames: true }).ask('short')).rcode, 'SERVFAIL')
  assert.equal(asked.length, 0)
})

test('what does not fit into a datagram is cut, and said so; over TCP and with EDNS it is whole', async () => {
  const { table, resolver, query } = setUp()
  for (let i = 0; i < 60; i++)
    table.add({ networkId: 'n1', names: ['many'], ipv4: `172.18.1.${i}`, ipv6: undefined })
  const plain = (await resolver.answer(query('many'), false))!
  assert.ok(plain.length <= 512)
  const cut = dns.decode(plain) as dns.DecodedPacket
  assert.ok(cut.flag_tc)
  assert.ok(cut.answers!.length > 10)
  assert.equal(dns.decode((await resolver.answer(query('many'), true))!).answers?.length, 60)
  const opt = {
    type: 'OPT',
    name: '.',
    udpPayloadSize: 4096,
    extendedRcode: 0,
    ednsVersion: 0,
    flags: 0,
    flag_do: false,
    options: [],
  } as unknown as dns.Answer
  const large = await resolver.answer(query('many', 'A', { additionals: [opt] }), false)
  assert.equal(dns.decode(large!).answers?.length, 60)
})

test('answers are no questions', () => {
  const { resolver } = setUp()
  assert.equal(resolver.answer(dns.encode({ type: 'response', id: 1 }), false), undefined)
  assert.equal(resolver.answer(Buffer.alloc(5), false), undefined)
})

test('100,000 mutated packets: an answer or silence, never an exception', async () => {
  let forwarded = 0
  const { resolver, query } = setUp({
    forward: async () => {
      forwarded++
      return undefined
    },
  })
  const seeds = [
    query('web'),
    query('a.very.long.name.that.nobody.has.example.com', 'TXT'),
    query('2.0.18.172.in-addr.arpa', 'PTR'),
    // Names that point at themselves and at each other.
    Buffer.from('000701000001000000000000c00c00010001', 'hex'),
    Buffer.from('000701000001000000000000c00ec00c00010001', 'hex'),
  ]
  let seed = 12345
  const random = (below: number) => {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff
    return seed % below
  }
  let replies = 0
  for (let round = 0; round < 100_000; round++) {
    let packet = Buffer.from(seeds[random(seeds.length)]!)
    for (let i = random(6); i >= 0; i--) packet[random(packet.length)] = random(256)
    if (random(4) === 0) packet = packet.subarray(0, random(packet.length + 1))
    if (random(8) === 0) packet = Buffer.concat([packet, Buffer.alloc(random(64), random(256))])
    const reply = await resolver.answer(packet, random(2) === 0)
    if (!reply) continue
    replies++
    assert.ok(reply.length >= 12)
    assert.equal(reply.readUInt16BE(0), packet.readUInt16BE(0))
    assert.ok((reply[2]! & 0x80) !== 0)
  }
  assert.ok(replies > 10_000)
  assert.ok(forwarded > 1000)
})
