import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as ip from './ip.ts'

test('addresses are read and written in their usual form', () => {
  const same = ['0.0.0.0', '172.17.0.2', '255.255.255.255', '::', '::1', 'fe80::1', '2001:db8::1:0:0:1']
  for (const text of same) assert.equal(ip.formatIp(ip.parseIp(text)!), text)
  assert.equal(ip.formatIp(ip.parseIp('2001:DB8:0:0:1:0:0:1')!), '2001:db8::1:0:0:1')
  assert.equal(ip.formatIp(ip.parseIp('1:0:3:4:5:6:7:8')!), '1:0:3:4:5:6:7:8', 'one zero group stays')
  assert.deepEqual(ip.parseIp('::ffff:10.0.0.1'), ip.parseIp('10.0.0.1'))
})

test('what is no address is refused', () => {
  for (const text of ['', '1.2.3', '1.2.3.256', '01.2.3.4', 'fe80::1%eth0', ':::', 'g::', '1.2.3.4/8']) {
    assert.equal(ip.parseIp(text), undefined, text)
  }
  for (const text of [
    '10.0.0.0',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/08',
    '::/129',
    'x/8',
    '10.0.0.0/8/8',
  ]) {
    assert.equal(ip.parseCidr(text), undefined, text)
  }
})

test('a subnet keeps the address as written and knows its ends', () => {
  const net = ip.parseCidr('10.1.2.3/24')!
  assert.equal(ip.formatCidr(net), '10.1.2.0/24')
  assert.equal(ip.formatIp({ family: 4, value: net.address }), '10.1.2.3')
  assert.equal(ip.formatIp({ family: 4, value: ip.last(net) }), '10.1.2.255')
  assert.equal(ip.size(ip.parseCidr('fd00::/64')!), 1n << 64n)
})

test('overlap and containment', () => {
  const net = (text: string) => ip.parseCidr(text)!
  assert.ok(ip.overlaps(net('10.0.0.0/8'), net('10.255.0.0/16')))
  assert.ok(!ip.overlaps(net('10.0.0.0/9'), net('10.128.0.0/9')))
  assert.ok(!ip.overlaps(net('0.0.0.0/0'), net('::/0')))
  assert.ok(ip.within(net('10.0.0.0/8'), net('10.3.0.0/16')))
  assert.ok(!ip.within(net('10.3.0.0/16'), net('10.0.0.0/8')))
  assert.ok(ip.contains(net('10.0.0.0/8'), ip.parseIp('10.9.9.9')!))
})
