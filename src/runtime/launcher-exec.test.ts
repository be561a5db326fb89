import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { buffer, text } from 'node:stream/consumers'
import { after, before, describe, test } from 'node:test'
import * as linux from '../linux/index.ts'
import type { LaunchError, Task } from './launcher.ts'
import {
  demultiplex,
  execPlan,
  folder,
  launcher,
  namespaces,
  planOf,
  running,
  shell,
  shimOf,
  skip,
  until,
  withLauncher,
} from './launcher-testing.ts'
import type { LaunchPlan, Op } from './plan.ts'

describe('what a container sees, and what joins it', { skip }, () => {
  withLauncher()

  describe('exec', () => {
    let task: Task
    before(async () => {
      task = await running('sleep 1000')
    })
    after(() => task.delete())

    test('joins the container', async () => {
      const exec = await task.exec({
        id: 'a',
        plan: execPlan(task, [
          'sh',
          '-c',
          'hostname; cat /proc/1/cmdline | tr "\\0" " "; echo err >&2; exit 9',
        ]),
        attach: { stdout: true, stderr: true },
      })
      assert.deepEqual(demultiplex(await buffer(exec.stream!)), ['box\nsh -c sleep 1000 ', 'err\n'])
      assert.equal((await exec.wait()).exitCode, 9)
    })

    test('has stdin, or a terminal, of its own', async () => {
      const cat = await task.exec({
        id: 'b',
        plan: execPlan(task, ['cat'], { stdin: true }),
        attach: { stdin: true, stdout: true, closeStdin: true },
      })
      cat.stream!.end('through')
      assert.deepEqual(demultiplex(await buffer(cat.stream!)), ['through', ''])
      const terminal = await task.exec({
        id: 'c',
        plan: execPlan(task, ['sh', '-c', 'read x; tty; stty size'], { tty: true, stdin: true }),
        attach: { stdin: true, stdout: true },
      })
      await terminal.resize(11, 22)
      terminal.stream!.write('\n')
      assert.equal(await text(terminal.stream!), '\r\n/dev/pts/0\r\n11 22\r\n')
    })

    test('is signalled by itself, and can be detached', async () => {
      const exec = await task.exec({ id: 'd', plan: execPlan(task, ['sleep', '1000']) })
      assert.equal(exec.stream, undefined)
      assert.deepEqual([...task.execs.keys()], ['d'])
      await exec.kill(15)
      assert.deepEqual([(await exec.wait()).exitCode, task.execs.size], [143, 0])
    })

    test('fails by name', async () => {
      await assert.rejects(
        task.exec({ id: 'e', plan: execPlan(task, ['nosuch']), attach: { stdout: true } }),
        (error: LaunchError) => error.op === 'program' && error.code === 'ENOENT',
      )
      assert.equal(task.execs.size, 0)
    })
  })

  test('execs, those that fail too, leave nothing behind', async () => {
    const task = await running('sleep 1000')
    const shim = shimOf(task.id)
    const fds = () => fs.readdirSync(`/proc/${shim}/fd`).length
    const before = fds()
    for (let i = 0; i < 30; i++) {
      const exec = await task.exec({ id: `good${i}`, plan: execPlan(task, ['true']) })
      await exec.wait()
      const nowhere: LaunchPlan = execPlan(task, ['true'])
      nowhere.host.push({ op: 'writeFile', path: '/nosuch', data: '' })
      for (const plan of [nowhere, execPlan(task, ['nosuch']), execPlan(task, ['true'], { tty: true })]) {
        await task.exec({ id: `bad${i}`, plan, attach: { stdout: true } }).then(
          exec => exec.stream!.resume(),
          () => {},
        )
      }
    }
    await until(() => fds() <= before)
    await task.delete()
  })

  describe('isolation', () => {
    test('a link in the image leads nowhere but into the image', async () => {
      const outside = path.join(folder, 'outside')
      fs.mkdirSync(outside, { recursive: true })
      const mounts: Op[] = [
        { op: 'symlink', target: `../../../../..${outside}`, path: '/trap' },
        { op: 'mountFs', type: 'tmpfs', target: '/trap/inner', create: 1, mayFail: true },
        { op: 'makeFolder', path: '/trap/made', mode: 0o755, mayFail: true },
        { op: 'mknod', path: '/trap/node', mode: linux.S_IFCHR | 0o600, major: 1, minor: 3, mayFail: true },
      ]
      await shell('true', { mounts })
      assert.deepEqual(fs.readdirSync(outside), [])
    })

    test('nothing is left open, and the program stands where it should', async () => {
      const { stdout } = await shell('ls /proc/self/fd | tr "\\n" " "; pwd; umask; readlink /proc/$$/exe')
      assert.equal(stdout, '0 1 2 3 /\n0022\n/usr/bin/dash\n')
    })

    test('masked and read-only paths', async () => {
      const late: Op[] = [
        { op: 'mask', path: '/proc/version' },
        { op: 'mask', path: '/proc/bus' },
        { op: 'mask', path: '/no/such' },
        { op: 'readonly', path: '/proc/sys' },
        { op: 'remount', target: '/', set: linux.MOUNT_ATTR_RDONLY },
      ]
      const { stdout } = await shell(
        'wc -c < /proc/version; ls /proc/bus | wc -l; echo 1 > /proc/sys/vm/swappiness; touch /x; echo > /tmp/x; true',
        { mounts: late },
      )
      assert.equal(stdout, '0\n0\n')
      const { stderr } = await shell('echo 1 > /proc/sys/vm/swappiness', { mounts: late })
      assert.match(stderr, /Read-only file system/)
    })

    test('user, groups, capabilities, limits, no new privileges, seccomp', async () => {
      const refuseMkdir = Buffer.alloc(32)
      // ld [0]; jeq #mkdir,0,1; ret ERRNO(1); ret ALLOW
      const mkdir = process.arch === 'x64' ? 83 : 34
      ;[
        [0x20, 0, 0, 0],
        [0x15, 0, 1, mkdir],
        [0x06, 0, 0, 0x50001],
        [0x06, 0, 0, 0x7fff0000],
      ].forEach(([code, jt, jf, k], i) => {
        refuseMkdir.writeUInt16LE(code!, i * 8)
        refuseMkdir.writeUInt8(jt!, i * 8 + 2)
        refuseMkdir.writeUInt8(jf!, i * 8 + 3)
        refuseMkdir.writeUInt32LE(k!, i * 8 + 4)
      })
      const late: Op[] = [
        { op: 'rlimit', resource: 7, soft: 100, hard: 200 },
        { op: 'bounding', capabilities: 0x401 },
        { op: 'user', uid: 1234, gid: 4321, groups: [5, 6] },
        { op: 'noNewPrivileges' },
        { op: 'seccomp', filter: refuseMkdir },
        { op: 'capabilities', effective: 0x400, permitted: 0x400, inheritable: 0x400, ambient: 0x400 },
        { op: 'umask', mask: 0o077 },
      ]
      const { stdout, stderr } = await shell(
        'id -u; id -g; id -G; grep -E "^(Cap|NoNew|Seccomp:)" /proc/self/status; ulimit -n; ulimit -Hn; umask; mkdir /tmp/x; echo again > /proc/self/fd/1',
        { late },
      )
      assert.equal(
        stdout.replaceAll('\t', ' '),
        '1234\n4321\n4321 5 6\nCapInh: 0000000000000400\nCapPrm: 0000000000000400\nCapEff: 0000000000000400\nCapBnd: 0000000000000401\nCapAmb: 0000000000000400\nNoNewPrivs: 1\nSeccomp: 2\n100\n200\n0077\nagain\n',
      )
      assert.match(stderr, /mkdir.*Operation not permitted/)
    })

    test('a user namespace with maps', async () => {
      const rest: Partial<LaunchPlan> = {
        parent: [
          { op: 'processFile', name: 'uid_map', data: '0 100000 65536\n' },
          { op: 'processFile', name: 'gid_map', data: '0 100000 65536\n' },
        ],
      }
      const plan = planOf(['sh', '-c', 'id -u; cat /proc/self/uid_map'], { rest })
      plan.host = plan.host.map(op =>
        op.op === 'clone' ? { ...op, flags: namespaces | linux.CLONE_NEWUSER } : op,
      )
      plan.init = [
        { op: 'await' },
        { op: 'user', uid: 0, gid: 0 },
        ...plan.init.filter(op => op.op !== 'await' && op.op !== 'mknod'),
      ]
      const task = await launcher.launch({ id: 'userns', plan })
      const stream = await task.attach({ stdout: true })
      const output = buffer(stream)
      await task.start()
      await task.wait()
      await task.delete()
      assert.match(demultiplex(await output)[0], /^0\n\s+0\s+100000\s+65536\n$/)
    })
  })
})
