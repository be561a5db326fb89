import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatCidr, formatIp, parseCidr, parseIp } from './ip.ts'
import { AddressSpace, Subnet } from './ipam.ts'

const net = (text: string) => parseCidr(text)!
const space = (pools?: { base: string; size: number }[]) =>
  new AddressSpace(pools, net('fd12:3456:789a::/48'))

test('the default pools are handed out in order, around what the host routes', () => {
  const addresses = space()
  const busy = [net('172.18.5.0/24'), net('172.20.0.0/14')]
  const taken = Array.from({ length: 3 }, () => formatCidr(addresses.takeAny(4, busy)))
  assert.deepEqual(taken, ['172.17.0.0/16', '172.19.0.0/16', '172.24.0.0/16'])
  assert.equal(formatCidr(addresses.takeAny(6, [])), 'fd12:3456:789a::/64')
  assert.equal(formatCidr(addresses.takeAny(6, [])), 'fd12:3456:789a:1::/64')
})

test('an exhausted pool is an error, and a released subnet is handed out again', () => {
  const addresses = space([{ base: '10.0.0.0/23', size: 24 }])
  const first = addresses.takeAny(4, [])
  addresses.takeAny(4, [])
  assert.throws(() => addresses.takeAny(4, []), /all predefined address pools have been fully subnetted/)
  addresses.release(first)
  assert.equal(formatCidr(addresses.takeAny(4, [])), '10.0.0.0/24')
})

test('networks never overlap', () => {
  const addresses = space()
  addresses.take(net('10.1.0.0/16'))
  assert.throws(() => addresses.take(net('10.1.2.0/24')), /Pool overlaps/)
  assert.throws(() => addresses.take(net('10.0.0.0/8')), /Pool overlaps/)
  addresses.take(net('10.2.0.0/16'))
})

test('the lowest free address comes first; gateway, network, broadcast and auxiliary ones never', () => {
  const subnet = new Subnet(
    net('10.0.0.0/29'),
    { auxiliaryAddresses: { router: '10.0.0.3' } },
    { gateway: true },
  )
  assert.equal(formatIp(subnet.gateway!), '10.0.0.1')
  const all = Array.from({ length: 4 }, () => formatIp(subnet.allocate()!))
  assert.deepEqual(all, ['10.0.0.2', '10.0.0.4', '10.0.0.5', '10.0.0.6'])
  assert.equal(subnet.allocate(), undefined)
  subnet.release(parseIp('10.0.0.4')!)
  subnet.release(parseIp('10.0.0.1')!)
  assert.equal(formatIp(subnet.allocate()!), '10.0.0.4')
  assert.equal(subnet.allocate(), undefined, 'the gateway cannot be given back')
})

test('a range limits what is handed out, not what may be asked for', () => {
  const subnet = new Subnet(
    net('10.0.0.0/24'),
    { ipRange: '10.0.0.128/30', gateway: '10.0.0.1' },
    { gateway: true },
  )
  assert.equal(formatIp(subnet.allocate()!), '10.0.0.128')
  subnet.claim(parseIp('10.0.0.9')!)
  assert.throws(() => subnet.claim(parseIp('10.0.0.9')!), /Address already in use/)
  assert.throws(() => subnet.claim(parseIp('10.0.1.9')!), /out of range/)
  subnet.release(parseIp('10.0.0.9')!)
  assert.equal(formatIp(subnet.allocate()!), '10.0.0.129', 'an address outside the range is not handed out')
})
