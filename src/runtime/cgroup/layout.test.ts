import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseLayout } from './layout.ts'

test('v1: controllers that are mounted together share a folder', () => {
  const layout = parseLayout(`25 20 0:22 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
26 25 0:23 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
27 25 0:24 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
28 25 0:25 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
29 25 0:26 / /sys/fs/cgroup/a\\040b rw - cgroup cgroup rw,memory
30 25 0:25 / /elsewhere rw - cgroup cgroup rw,cpu,cpuacct
`)
  assert.equal(layout.version, 1)
  assert.equal(layout.unified, '/sys/fs/cgroup/unified')
  assert.deepEqual(Object.fromEntries(layout.controllers), {
    'name=systemd': '/sys/fs/cgroup/systemd',
    cpu: '/sys/fs/cgroup/cpu,cpuacct',
    cpuacct: '/sys/fs/cgroup/cpu,cpuacct',
    memory: '/sys/fs/cgroup/a b',
  })
  assert.equal(layout.hierarchies.length, 3)
})

test('v2: one tree', () => {
  const layout = parseLayout('35 24 0:30 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n')
  assert.deepEqual([layout.version, layout.unified, layout.hierarchies], [2, '/sys/fs/cgroup', []])
})
