import assert from 'node:assert/strict'
import { cpus } from 'node:os'
import { describe, test } from 'node:test'
import { cgroupSupport } from '../runtime/cgroup/index.ts'
import { checkResources } from './resources.ts'
import type { HostSpec } from './types.ts'

const MiB = 1 << 20
const count = cpus().length
const support = cgroupSupport()

describe('limits that make no sense are refused', () => {
  for (const [resources, message] of [
    [{ memory: 6 * MiB - 1 }, 'Minimum memory limit allowed is 6MB'],
    [{ memory: -1 }, 'Minimum memory limit allowed is 6MB'],
    [
      { memorySwap: 64 * MiB },
      'You should always set the Memory limit when using Memoryswap limit, see usage',
    ],
    [{ memorySwappiness: 101 }, 'Invalid value: 101, valid memory swappiness range is 0-100'],
    [{ memorySwappiness: -2 }, 'Invalid value: -2, valid memory swappiness range is 0-100'],
    [{ memoryReservation: 1 }, 'Minimum memory reservation allowed is 6MB'],
    [
      { nanoCpus: 1e9, cpuPeriod: 50_000 },
      'Conflicting options: Nano CPUs and CPU Period cannot both be set',
    ],
    [{ nanoCpus: 1e9, cpuQuota: 50_000 }, 'Conflicting options: Nano CPUs and CPU Quota cannot both be set'],
    [
      { nanoCpus: -1 },
      `range of CPUs is from 0.01 to ${count.toFixed(2)}, as there are only ${count} CPUs available`,
    ],
    [
      { nanoCpus: (count + 1) * 1e9 },
      `range of CPUs is from 0.01 to ${count.toFixed(2)}, as there are only ${count} CPUs available`,
    ],
    [
      { cpuPeriod: 999 },
      'CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)',
    ],
    [
      { cpuPeriod: 1_000_001 },
      'CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)',
    ],
    [{ cpuQuota: 999 }, 'CPU cfs quota can not be less than 1ms (i.e. 1000)'],
    [{ cpuShares: -1 }, 'invalid CPU shares (-1): value must be a positive integer'],
    [{ cpusetCpus: 'a' }, 'Invalid value a for cpuset cpus: invalid format: a'],
    [{ cpusetCpus: '1-0' }, 'Invalid value 1-0 for cpuset cpus: invalid format: 1-0'],
    [{ cpusetMems: '0,' }, 'Invalid value 0, for cpuset mems: invalid format: 0,'],
    [{ cpusetMems: '9' }, 'Requested memory nodes are not available - requested 9, available: 0'],
  ] as [HostSpec, string][]) {
    test(JSON.stringify(resources), () => assert.throws(() => checkResources({ ...resources }), { message }))
  }

  test('memory and swap together', { skip: !support.swapLimit && 'needs accounting of swap' }, () => {
    assert.throws(() => checkResources({ memory: 64 * MiB, memorySwap: 32 * MiB }), {
      message: 'Minimum memoryswap limit should be larger than memory limit, see usage',
    })
  })

  test('memory below its reservation', {
    skip: !support.memoryLimit && 'needs the memory controller',
  }, () => {
    assert.throws(() => checkResources({ memory: 16 * MiB, memoryReservation: 32 * MiB }), {
      message: 'Minimum memory limit can not be less than memory reservation limit, see usage',
    })
  })
})

describe('limits that do are left as they are', () => {
  for (const resources of [
    {},
    { memory: 64 * MiB, memorySwap: -1 },
    { cpuPeriod: 100_000, cpuQuota: -1 },
    { cpusetCpus: '0', cpusetMems: '0' },
    { pidsLimit: -1 },
    { nanoCpus: 1e7 },
  ] as HostSpec[]) {
    test(JSON.stringify(resources), { skip: !support.cpuCfs && 'needs the cpu controller' }, () => {
      const given = { ...resources }
      assert.deepEqual(checkResources(given), [])
      assert.deepEqual(given, resources)
    })
  }
})

test('an update may change swap alone, where memory is limited already', () => {
  assert.doesNotThrow(() => checkResources({ memorySwap: 64 * MiB }, { memory: 32 * MiB }))
})

test('what this kernel cannot do is dropped with a warning', {
  skip: support.blkioWeight && 'it can',
}, () => {
  const resources: HostSpec = { blkioWeight: 300 }
  assert.deepEqual(checkResources(resources), [
    'Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.',
  ])
  assert.equal(resources.blkioWeight, undefined)
})

test('without the oom killer a limit of memory is missed', { skip: !support.oomKillDisable }, () => {
  assert.match(checkResources({ oomKillDisable: true }).join(), /but no memory limit is set/)
  assert.deepEqual(checkResources({ oomKillDisable: true, memory: 64 * MiB, memorySwap: -1 }), [])
})
