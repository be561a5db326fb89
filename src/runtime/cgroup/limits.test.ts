import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { LinuxResources } from '../spec.ts'
import { v1Limits } from './v1-limits.ts'
import { cpuWeight, ioWeight, swapLimit, v2Limits } from './v2-limits.ts'

const resources: LinuxResources = {
  memory: { limit: 1000, swap: 3000, reservation: 500, swappiness: 0, disableOOMKiller: true },
  cpu: { shares: 512, quota: 50_000, period: 100_000, cpus: '0-1', mems: '0' },
  pids: { limit: 50 },
  blockIO: { weight: 500, throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 1024 }] },
}

const v1 = (given: LinuxResources): string[] => v1Limits(given).map(({ file, value }) => `${file}=${value}`)
const v2 = (given: LinuxResources): string[] => v2Limits(given).map(({ file, value }) => `${file}=${value}`)

describe('on v1', () => {
  test('each limit has its file', () => {
    assert.deepEqual(v1(resources), [
      'memory.limit_in_bytes=1000',
      'memory.memsw.limit_in_bytes=3000',
      'memory.soft_limit_in_bytes=500',
      'memory.oom_control=1',
      'memory.swappiness=0',
      'cpu.shares=512',
      'cpu.cfs_period_us=100000',
      'cpu.cfs_quota_us=50000',
      'cpuset.cpus=0-1',
      'cpuset.mems=0',
      'pids.max=50',
      'blkio.weight=500',
      'blkio.throttle.read_bps_device=8:0 1024',
    ])
  })

  test('nothing asked, nothing written', () => {
    assert.deepEqual(v1({ memory: { disableOOMKiller: false }, blockIO: {}, cpu: { shares: 0 } }), [])
  })

  test('no limit has a word of its own', () => {
    assert.deepEqual(v1({ memory: { limit: 5, swap: -1 }, pids: { limit: -1 } }), [
      'memory.limit_in_bytes=5',
      'memory.memsw.limit_in_bytes=-1',
      'pids.max=max',
    ])
  })

  test('devices: everything is taken, then given back', () => {
    const lines = v1({ devices: [{ allow: false, access: 'rwm' }] })
    assert.equal(lines[0], 'devices.deny=a')
    assert.ok(lines.includes('devices.allow=c 1:3 rwm'))
    assert.deepEqual(v1({ devices: [{ allow: true, access: 'rwm' }] }), [])
  })
})

describe('on v2', () => {
  test('each limit has its file', () => {
    assert.deepEqual(v2(resources), [
      'memory.swap.max=2000',
      'memory.max=1000',
      'memory.low=500',
      'cpu.weight=59',
      'cpu.max=50000 100000',
      'cpuset.cpus=0-1',
      'cpuset.mems=0',
      'pids.max=50',
      'io.weight=default 4950',
      'io.max=8:0 rbps=1024',
    ])
  })

  test('v1’s shares and weights keep their order and their ends', () => {
    assert.deepEqual([0, 2, 1024, 2000, 262144, 9e9].map(cpuWeight), [1, 1, 100, 170, 10000, 10000])
    assert.deepEqual([10, 500, 1000].map(ioWeight), [1, 4950, 10000])
  })

  test('swap is counted alone', () => {
    assert.equal(swapLimit(1000, 1000), '0')
    assert.equal(swapLimit(1000, -1), 'max')
    assert.equal(swapLimit(1000, undefined), undefined)
    assert.equal(swapLimit(undefined, 1000), undefined)
  })

  test('half a CPU limit is completed', () => {
    assert.deepEqual(v2({ cpu: { quota: -1 } }), ['cpu.max=max'])
    assert.deepEqual(v2({ cpu: { period: 50_000 } }), ['cpu.max=max 50000'])
    assert.deepEqual(v2({ cpu: { quota: 20_000 } }), ['cpu.max=20000'])
  })
})
