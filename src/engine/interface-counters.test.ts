import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseInterfaces } from './interface-counters.ts'

const HEADINGS = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
`

test('each interface but the loopback has its counters', () => {
  const text = `${HEADINGS}    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
  eth0:  946      11    2    3    4     5          6         7      126       8    9   10   11    12      13          14
eth1:2:12345678901 1 0 0 0 0 0 0 98765432109 1 0 0 0 0 0 0`
  assert.deepEqual(parseInterfaces(text), {
    eth0: {
      rxBytes: 946,
      rxPackets: 11,
      rxErrors: 2,
      rxDropped: 3,
      txBytes: 126,
      txPackets: 8,
      txErrors: 9,
      txDropped: 10,
    },
    'eth1:2': {
      rxBytes: 12345678901,
      rxPackets: 1,
      rxErrors: 0,
      rxDropped: 0,
      txBytes: 98765432109,
      txPackets: 1,
      txErrors: 0,
      txDropped: 0,
    },
  })
})

test('a namespace with nothing in it has none', () => {
  assert.deepEqual(parseInterfaces(HEADINGS.trimEnd()), {})
})
