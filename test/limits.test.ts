/** Each limit is shown to bite: a process that goes over it is stopped, throttled or killed, and that is counted. */
import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import { describe, test } from 'node:test'
import { cannotRunDaemon } from './support/daemon.ts'
import { eventually } from './support/eventually.ts'
import { suiteDaemon } from './support/suite.ts'

const unified = fs.existsSync('/sys/fs/cgroup/cgroup.controllers')

/** Whether the kernel offers this file in a group of the memory controller. */
const hasSwapAccounting = unified || fs.existsSync('/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes')

describe('limits', { skip: cannotRunDaemon() }, () => {
  const daemon = suiteDaemon()

  /** Run a shell line in a container made with `flags`; the container is inspected and removed. */
  async function run(flags: string[], line: string) {
    const outcome = await daemon.docker(
      'run',
      '--name',
      'limited',
      '--network',
      'none',
      ...flags,
      'busybox',
      'sh',
      '-c',
      line,
    )
    const [state] = JSON.parse(await daemon.ok('inspect', 'limited'))
    await daemon.ok('rm', '-f', 'limited')
    return { ...outcome, state: state.State }
  }

  /** The content of a file of the container's own group, as it sees it. */
  async function group(flags: string[], v1: string, v2: string): Promise<string> {
    const { stdout, stderr } = await run(flags, `cat /sys/fs/cgroup/${unified ? v2 : v1}`)
    return stdout.trim() || stderr
  }

  test('memory: who takes more is killed, and inspect and events say so', async () => {
    const since = String(Math.floor(Date.now() / 1000) - 1)
    const { code, state } = await run(
      ['-m', '16m', '--memory-swap', '16m'],
      'head -c 100m /dev/zero | tail -c 90m > /dev/null; exit $?',
    )
    assert.equal(code, 137)
    assert.equal(state.OOMKilled, true)
    const until = `${Math.floor(Date.now() / 1000) + 1}`
    const filters = ['--filter', 'event=oom', '--filter', 'event=die', '--format', '{{.Action}}']
    const events = await daemon.ok('events', '--since', since, '--until', until, ...filters)
    assert.match(events, /^(oom\n)+die$/)
  })

  test('memory: that a process was killed is told while the others live on', async () => {
    const greedy = 'head -c 100m /dev/zero | tail -c 90m > /dev/null'
    const limits = ['-m', '16m', '--memory-swap', '16m', '--network', 'none']
    await daemon.ok('run', '-d', '--name', 'survivor', ...limits, 'busybox', 'sleep', '1000')
    const told = async () => {
      const until = String(Math.floor(Date.now() / 1000) + 1)
      const about = ['--filter', 'container=survivor', '--filter', 'event=oom', '--format', '{{.Action}}']
      return (await daemon.ok('events', '--since', '1', '--until', until, ...about)).split('\n')
    }
    const state = () => daemon.ok('inspect', '-f', '{{.State.Status}} {{.State.OOMKilled}}', 'survivor')
    assert.equal(await state(), 'running false')
    for (const times of [1, 2]) {
      await daemon.docker('exec', 'survivor', 'sh', '-c', greedy)
      await eventually(async () => assert.ok((await told()).length >= times))
      assert.equal(await state(), 'running true')
    }
    await daemon.ok('rm', '-f', 'survivor')
  })

  test('memory: soft limit, swap and swappiness reach the kernel', { skip: !hasSwapAccounting }, async () => {
    assert.equal(await group(['-m', '64m'], 'memory/memory.limit_in_bytes', 'memory.max'), String(64 << 20))
    const soft = ['-m', '64m', '--memory-reservation', '32m']
    assert.equal(await group(soft, 'memory/memory.soft_limit_in_bytes', 'memory.low'), String(32 << 20))
    const swap = ['-m', '64m', '--memory-swap', '96m']
    const expected = unified ? 32 << 20 : 96 << 20
    assert.equal(await group(swap, 'memory/memory.memsw.limit_in_bytes', 'memory.swap.max'), String(expected))
  })

  test('pids: a fork bomb is held', async () => {
    const { stderr } = await run(['--pids-limit', '12'], 'for i in $(seq 50); do sleep 5 & done; wait')
    assert.match(stderr, /can't fork/)
  })

  test('cpu: a quota throttles, shares and sets reach the kernel', async () => {
    const file = unified ? 'cpu.stat' : 'cpu/cpu.stat'
    const { stdout } = await run(
      ['--cpus', '0.1'],
      `timeout 1 sh -c 'while :; do :; done'; grep nr_throttled /sys/fs/cgroup/${file}`,
    )
    assert.ok(Number(/nr_throttled (\d+)/.exec(stdout)![1]) > 2, stdout)
    assert.equal(
      await group(['--cpu-quota', '20000', '--cpu-period', '50000'], 'cpu/cpu.cfs_quota_us', 'cpu.max'),
      unified ? '20000 50000' : '20000',
    )
    assert.equal(
      await group(['--cpu-shares', '512'], 'cpu/cpu.shares', 'cpu.weight'),
      unified ? /\d+/.exec(await group(['--cpu-shares', '512'], '', 'cpu.weight'))![0] : '512',
    )
    const { stdout: cpus } = await run(['--cpuset-cpus', '0'], 'grep Cpus_allowed_list /proc/self/status')
    assert.match(cpus, /:\s*0$/m)
  })

  test('ulimits, shm size, sysctls and oom_score_adj', async () => {
    assert.equal((await run(['--ulimit', 'nofile=77:99'], 'ulimit -n; ulimit -Hn')).stdout, '77\n99\n')
    assert.match((await run(['--shm-size', '3m'], 'df -k /dev/shm')).stdout, /\s3072\s/)
    assert.equal(
      (await run(['--sysctl', 'kernel.msgmax=4711'], 'cat /proc/sys/kernel/msgmax')).stdout,
      '4711\n',
    )
    assert.equal((await run(['--oom-score-adj', '321'], 'cat /proc/self/oom_score_adj')).stdout, '321\n')
  })

  test('devices: only those that were given', async () => {
    const denied = await run([], 'mknod /tmp/kmsg c 1 11 && cat /tmp/kmsg')
    assert.notEqual(denied.code, 0)
    const given = await run(
      ['--device', '/dev/loop-control:/dev/mine:r'],
      'ls -l /dev/mine; : < /dev/mine && echo readable',
    )
    assert.match(given.stdout, /10, 237/)
    const rule = await run(
      ['--device-cgroup-rule', 'c 1:11 r', '--cap-add', 'SYSLOG'],
      'mknod /tmp/kmsg c 1 11; : < /tmp/kmsg && echo open',
    )
    assert.match(rule.stdout, /open/)
  })

  test('update changes limits of a running container', async () => {
    await daemon.ok(
      'run',
      '-d',
      '--name',
      'live',
      '--network',
      'none',
      '-m',
      '64m',
      '--memory-swap',
      '64m',
      'busybox',
      'sleep',
      '1000',
    )
    await daemon.ok(
      'update',
      '-m',
      '128m',
      '--memory-swap',
      '128m',
      '--cpus',
      '0.5',
      '--pids-limit',
      '33',
      'live',
    )
    const read = (v1: string, v2: string) =>
      daemon.ok('exec', 'live', 'cat', `/sys/fs/cgroup/${unified ? v2 : v1}`)
    assert.equal(await read('memory/memory.limit_in_bytes', 'memory.max'), String(128 << 20))
    assert.equal(await read('pids/pids.max', 'pids.max'), '33')
    assert.equal(await read('cpu/cpu.cfs_quota_us', 'cpu.max'), unified ? '50000 100000' : '50000')
    await daemon.ok('restart', '-t', '0', 'live')
    assert.equal(await read('memory/memory.limit_in_bytes', 'memory.max'), String(128 << 20))
    await daemon.ok('rm', '-f', 'live')
  })

  test('pause stops every process, unpause lets them go on', async () => {
    await daemon.ok(
      'run',
      '-d',
      '--name',
      'paused',
      '--network',
      'none',
      'busybox',
      'sh',
      '-c',
      'while :; do echo x; done > /dev/null',
    )
    await daemon.ok('pause', 'paused')
    assert.equal(
      await daemon.ok('inspect', '-f', '{{.State.Status}} {{.State.Paused}}', 'paused'),
      'paused true',
    )
    const pid = await daemon.ok('inspect', '-f', '{{.State.Pid}}', 'paused')
    const time = () => fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(' ').slice(13, 15).join()
    const before = time()
    await new Promise(resolve => setTimeout(resolve, 300))
    assert.equal(time(), before)
    const refused = await daemon.docker('exec', 'paused', 'true')
    assert.match(refused.stderr, /is paused, unpause the container before exec/)
    await daemon.ok('unpause', 'paused')
    await daemon.ok('rm', '-f', 'paused')
  })

  test('stats show what a container uses', async () => {
    await daemon.ok(
      'run',
      '-d',
      '--name',
      'busy',
      '--network',
      'none',
      '-m',
      '64m',
      'busybox',
      'sh',
      '-c',
      'while :; do :; done',
    )
    await new Promise(resolve => setTimeout(resolve, 300))
    const { body } = await daemon.api('GET', '/containers/busy/stats?stream=false')
    assert.ok(body.cpu_stats.cpu_usage.total_usage > body.precpu_stats.cpu_usage.total_usage)
    assert.equal(body.memory_stats.limit, 64 << 20)
    assert.ok(body.pids_stats.current >= 1)
    assert.ok(body.cpu_stats.system_cpu_usage > 0)
    await daemon.ok('rm', '-f', 'busy')
  })
})
