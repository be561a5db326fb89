import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NETLINK_NETFILTER, NETLINK_ROUTE } from '../../linux/index.ts'
import { parseCidr } from '../ip.ts'
import { inOwnNamespace } from '../testing.ts'
import { addAddress, listAddresses, readAddress } from './address.ts'
import { Netlink, type Transport } from './connection.ts'
import { NetlinkError } from './error.ts'
import { addLink, deleteLink, getLink, listLinks, readLink, setBridgePort, setLink } from './link.ts'
import { decode, NLM_F_DUMP_INTR, NLM_F_MULTI, NLMSG_DONE, NLMSG_ERROR, Writer } from './message.ts'
import {
  getTable,
  listChains,
  listElements,
  listRules,
  listSets,
  listTables,
  readBaseChain,
  readElements,
  readRule,
  readSet,
  readTable,
} from './nft-dump.ts'
import { accept, lookup, meta } from './nft-expressions.ts'
import * as nft from './nftables.ts'

/** A kernel that answers what `answer` says. */
class Kernel implements Transport {
  readonly sent: Uint8Array[] = []
  readonly #queue: Uint8Array[] = []
  readonly #answer: (sequence: number, nth: number) => Uint8Array[]

  readonly fd = -1
  constructor(answer: (sequence: number, nth: number) => Uint8Array[]) {
    this.#answer = answer
  }

  send(data: Uint8Array): void {
    this.sent.push(Uint8Array.from(data))
    for (const message of decode(data)) this.#queue.push(...this.#answer(message.sequence, this.sent.length))
  }

  recv(): Uint8Array | undefined {
    return this.#queue.shift()
  }

  close(): void {}
}

/** A message as the kernel frames it. */
function reply(type: number, flags: number, sequence: number, body: Uint8Array): Uint8Array {
  const writer = new Writer()
  writer.message({ type, flags, what: '', write: w => w.bytesRaw(body) }, sequence)
  const bytes = Uint8Array.from(writer.bytes)
  new DataView(bytes.buffer).setUint16(6, flags, true)
  return bytes
}

test('a dump that changed meanwhile is asked for again', () => {
  const kernel = new Kernel((sequence, nth) => [
    reply(16, NLM_F_MULTI | (nth < 3 ? NLM_F_DUMP_INTR : 0), sequence, new Uint8Array(16)),
    reply(NLMSG_DONE, NLM_F_MULTI, sequence, new Uint8Array(4)),
  ])
  assert.equal(new Netlink(kernel).dump(listLinks).length, 1)
  assert.equal(kernel.sent.length, 3)
})

test('a dump that never rests ends with the last answer', () => {
  const kernel = new Kernel(sequence => [
    reply(NLMSG_DONE, NLM_F_MULTI | NLM_F_DUMP_INTR, sequence, new Uint8Array(4)),
  ])
  assert.deepEqual(new Netlink(kernel).dump(listLinks), [])
  assert.equal(kernel.sent.length, 10)
})

test('answers to others are passed over', () => {
  const kernel = new Kernel(sequence => [
    reply(16, 0, sequence + 77, new Uint8Array(16)),
    reply(16, 0, sequence, new Uint8Array(16)),
  ])
  assert.equal(new Netlink(kernel).get(getLink('x')).type, 16)
})

test('an error says what was asked, the errno and the extended message', () => {
  const error = new Uint8Array(
    Buffer.from('efffffff000000000000000000000000000000000f0001006e6f207761792c206d6179210000', 'hex'),
  )
  const kernel = new Kernel(sequence => [reply(NLMSG_ERROR, 0x300, sequence, error)])
  assert.throws(
    () => new Netlink(kernel).run(setLink('eth0', { up: true })),
    (thrown: NetlinkError) =>
      thrown instanceof NetlinkError &&
      thrown.code === 'EEXIST' &&
      thrown.message.startsWith('change link eth0: file exists (no way, may'),
  )
})

test('silence is an error, not an endless wait', () => {
  assert.throws(() => new Netlink(new Kernel(() => [])).run(setLink('eth0', { up: true })), {
    code: 'ETIMEDOUT',
  })
})

inOwnNamespace(import.meta.filename, () => {
  test('the kernel takes links, addresses and bridge ports, and shows them again', () => {
    const route = Netlink.open(NETLINK_ROUTE)
    route.run(
      addLink(
        { kind: 'bridge', stp: false, multicastSnooping: false },
        { name: 'br0', mac: '02:42:00:00:00:01', up: true },
      ),
      addLink({ kind: 'veth', peer: { name: 'b' } }, { name: 'a', mtu: 1400 }),
    )
    const bridge = readLink(route.get(getLink('br0')))
    const net = parseCidr('10.7.0.1/24')!
    route.run(
      setLink('a', { master: bridge.index, alias: 'ours', up: true }),
      setBridgePort('a', { hairpin: true, isolated: true }),
      addAddress(bridge.index, net),
    )
    const links = route.dump(listLinks).map(readLink)
    const port = links.find(one => one.name === 'a')
    assert.deepEqual([port?.master, port?.alias, port?.mtu, port?.kind], [bridge.index, 'ours', 1400, 'veth'])
    const addresses = route.dump(listAddresses).flatMap(message => readAddress(message) ?? [])
    assert.deepEqual(addresses.find(address => address.link === bridge.index)?.cidr, net)
    route.close()
  })

  test("the kernel's own words come along, and what stands after a refused request is done", () => {
    const route = Netlink.open(NETLINK_ROUTE)
    route.run(addLink({ kind: 'bridge' }, { name: 'br1' }))
    const { index } = readLink(route.get(getLink('br1')))
    const net = parseCidr('10.8.0.1/24')!
    const outcomes = route.attempt([
      addAddress(index, net),
      addAddress(index, net),
      setLink(index, { up: true }),
    ])
    assert.deepEqual(
      outcomes.map(({ error }) => error?.code),
      [undefined, 'EEXIST', undefined],
    )
    assert.match(
      outcomes[1]!.error!.message,
      /^add address 10\.8\.0\.1\/24 to link \d+: file exists \(ipv4: Address already assigned\)$/,
    )
    route.close()
  })

  test('a request can wait in a thread aside', async () => {
    const route = Netlink.open(NETLINK_ROUTE)
    route.run(addLink({ kind: 'bridge' }, { name: 'brief' }))
    const { index } = readLink(route.get(getLink('brief')))
    const aside = Netlink.open(NETLINK_ROUTE)
    await aside.runAside(deleteLink(index))
    assert.throws(() => route.get(getLink('brief')), { code: 'ENODEV' })
    await assert.rejects(aside.runAside(deleteLink(index)), { code: 'ENODEV', what: `delete link ${index}` })
    aside.close()
    route.close()
  })

  test('a transaction happens whole or not at all, and its error names the request', () => {
    const filter = Netlink.open(NETLINK_NETFILTER)
    const table: nft.TableRef = { family: 'inet', table: 'test' }
    const run = (...requests: Parameters<Netlink['run']>) => filter.transaction(nft.begin, requests, nft.end)
    const bad = nft.addRule(table, 'forward', meta('iifname'), lookup('nosuch'), accept)
    assert.throws(
      () => run(nft.addTable(table), nft.addChain(table, 'forward'), bad),
      (error: NetlinkError) => error.code === 'ENOENT' && error.what === 'add rule to inet test forward',
    )
    assert.throws(() => filter.get(getTable(table)), { code: 'ENOENT' })
    const elementsOf = () => filter.dump(listElements(table, 'ports')).flatMap(readElements)
    const elements = Array.from({ length: 1000 }, (_, i) => ({
      key: nft.concatenate([Uint8Array.of(6), Uint8Array.of(i >> 8, i & 0xff)]),
      data: nft.concatenate([Uint8Array.of(10, 0, 0, 2), Uint8Array.of(0, 80)]),
    }))
    run(
      nft.addTable(table),
      nft.addSet(table, { name: 'ports', key: ['protocol', 'port'], data: ['ipv4', 'port'] }),
      ...nft.addElements(table, 'ports', elements),
    )
    assert.equal(elementsOf().length, 1000)
    run(...nft.deleteElements(table, 'ports', elements.slice(1)))
    assert.deepEqual(
      elementsOf().map(({ key }) => Buffer.from(key).toString('hex')),
      ['0600000000000000'],
    )
    filter.close()
  })

  test('what there is, is listed, and taken out piece by piece', () => {
    const filter = Netlink.open(NETLINK_NETFILTER)
    const table: nft.TableRef = { family: 'ip6', table: 'shown' }
    const run = (...requests: Parameters<Netlink['run']>) => filter.transaction(nft.begin, requests, nft.end)
    run(
      nft.addTable(table),
      nft.addChain(table, 'into', { type: 'filter', hook: 'forward', priority: 5, policy: 'drop' }),
      nft.addSet(table, { name: 'links', key: ['interface'] }),
      nft.addRule(table, 'into', meta('iifname'), lookup('links'), accept),
    )
    const ours = <T extends { table: string }>(read: (T | undefined)[]) =>
      read.filter(one => one?.table === 'shown')
    const rules = () => ours(filter.dump(listRules).map(readRule))
    assert.deepEqual(ours(filter.dump(listTables).map(readTable))[0]?.family, 'ip6')
    assert.deepEqual(ours(filter.dump(listChains).map(readBaseChain)), [
      { table: 'shown', chain: 'into', hook: nft.HOOKS.forward, drops: true },
    ])
    assert.deepEqual(ours(filter.dump(listSets).map(readSet)), [
      { ...table, set: 'links', isMap: false, keyLength: 16 },
    ])
    const [rule] = rules()
    assert.deepEqual(rule?.expressions, ['meta', 'lookup', 'immediate'])
    assert.throws(() => run(nft.deleteSet(table, 'links')), {
      code: 'EBUSY',
      what: 'delete set ip6 shown links',
    })
    run(nft.deleteRule(table, 'into', rule!.handle), nft.deleteSet(table, 'links'))
    assert.deepEqual(rules(), [])
    run(nft.deleteTable(table))
    filter.close()
  })
})
