/** Limits under stress-ng, from Debian's packages: what it wants is more than what it gets, and that is counted. */
import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import { describe, test } from 'node:test'
import { cannotRunDaemon } from './support/daemon.ts'
import { cannotMakeDebian } from './support/debian-rootfs.ts'
import { debianDaemon } from './support/suite.ts'

const unified = fs.existsSync('/sys/fs/cgroup/cgroup.controllers')
const MiB = 1 << 20

describe('stress-ng', { skip: cannotRunDaemon() || cannotMakeDebian() }, () => {
  const daemon = debianDaemon()

  /** Stress a container with these limits for a while; its statistics afterwards, and what `file` of its group says. */
  async function stress(flags: string[], options: string[], v1 = '', v2 = '') {
    await daemon.ok(
      'run',
      '-d',
      '--name',
      'box',
      '--network',
      'none',
      ...flags,
      'debian:servers',
      'sleep',
      '1000',
    )
    const began = performance.now()
    const { stderr } = await daemon.docker(
      'exec',
      'box',
      'stress-ng',
      '--quiet',
      '--timeout',
      '3s',
      ...options,
    )
    const seconds = (performance.now() - began) / 1000
    const { body: stats } = await daemon.api('GET', '/containers/box/stats?stream=0&one-shot=1')
    const file = unified ? v2 : v1
    const text = file && (await daemon.ok('exec', 'box', 'cat', `/sys/fs/cgroup/${file}`))
    const state = await daemon.ok('inspect', '-f', '{{.State.Status}} {{.State.OOMKilled}}', 'box')
    await daemon.ok('rm', '-f', 'box')
    return { stats, seconds, text, state, stderr }
  }

  test('gets no more memory than its limit', async () => {
    const { stats, state, text } = await stress(
      ['-m', '64m', '--memory-swap', '64m'],
      ['--vm', '2', '--vm-bytes', '256m', '--vm-keep'],
      'memory/memory.max_usage_in_bytes',
      'memory.peak',
    )
    assert.ok(Number(text) > 48 * MiB && Number(text) <= 64 * MiB, text)
    assert.equal(stats.memory_stats.limit, 64 * MiB)
    assert.equal(state, 'running true')
  })

  test('gets no more CPU than its quota', async () => {
    const { stats, seconds } = await stress(['--cpus', '0.25'], ['--cpu', '4'])
    assert.ok(stats.cpu_stats.throttling_data.throttled_periods > 0)
    const used = stats.cpu_stats.cpu_usage.total_usage / 1e9
    assert.ok(used > 0 && used < seconds / 2, `${used} of ${seconds} seconds`)
  })

  test('gets no more processes than its limit', async () => {
    const { stats, text } = await stress(
      ['--pids-limit', '30'],
      ['--fork', '8', '--fork-max', '16'],
      'pids/pids.events',
      'pids.events',
    )
    assert.equal(stats.pids_stats.limit, 30)
    assert.match(text, /^max [1-9]/)
  })

  test('runs only where its set of CPUs is', async () => {
    const working = '$(grep -l stress /proc/[0-9]*/comm 2>/dev/null | wc -l) -ge 5'
    const line = `stress-ng --quiet --cpu 4 --timeout 30s & until [ ${working} ]; do sleep 0.1; done; cat /proc/[0-9]*/status || true`
    const status = await daemon.ok(
      ...['run', '--rm', '--network', 'none', '--cpuset-cpus', '0', 'debian:servers', 'sh', '-c', line],
    )
    const allowed = [...status.matchAll(/^Cpus_allowed_list:\t(.*)$/gm)].map(([, list]) => list)
    assert.ok(allowed.length >= 6)
    assert.deepEqual([...new Set(allowed)], ['0'])
  })
})
