import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { describe, test } from 'node:test'
import { testPrefix } from '../../test/support/host-state.ts'
import * as linux from '../linux/index.ts'
import { LaunchError } from './launcher.ts'
import {
  execPlan,
  folder,
  launcher,
  PATH,
  planOf,
  readLog,
  request,
  root,
  run,
  running,
  type Settings,
  shell,
  shimOf,
  skip,
  until,
  withLauncher,
} from './launcher-testing.ts'
import type { LaunchPlan, Op } from './plan.ts'

describe('launcher', { skip }, () => {
  withLauncher()

  test('runs a program to its end and tells everything about it', async () => {
    const { record, stdout, stderr, log } = await shell('echo out; hostname; echo $$; echo err >&2; exit 3')
    assert.equal(record.exitCode, 3)
    assert.equal(record.signal, undefined)
    assert.match(record.exitedAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/)
    assert.equal(stdout, 'out\nbox\n1\n')
    assert.equal(stderr, 'err\n')
    const lines = log
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line))
    assert.deepEqual(
      lines.filter(line => line.stream === 'stdout').map(line => line.log),
      ['out\n', 'box\n', '1\n'],
    )
    assert.deepEqual(
      lines.filter(line => line.stream === 'stderr').map(line => line.log),
      ['err\n'],
    )
  })

  test('an overlay is the root, and lives only in the container', async () => {
    const at = fs.mkdtempSync(path.join(folder, 'overlay-'))
    for (const name of ['lower', 'upper', 'work']) fs.mkdirSync(path.join(at, name))
    fs.cpSync(path.join(linux.buildFolder, 'hello'), path.join(at, 'lower/hello'))
    const plan = planOf(['/hello'])
    const layers = [`lowerdir=${at}/lower`, `upperdir=${at}/upper`, `workdir=${at}/work`]
    const overlay: Op = { op: 'rootFs', type: 'overlay', options: layers }
    plan.init = [root[0]!, overlay, ...plan.init.slice(root.length)]
    const task = await launcher.launch({ id: 'overlay', plan })
    assert.ok(!fs.readFileSync('/proc/self/mountinfo', 'utf8').includes(at))
    await task.start()
    assert.equal((await task.wait()).exitCode, 0)
    await task.delete()
  })

  test('says which operation failed, on what, and why', async () => {
    const failing = async (argv: string[], settings?: Settings) => {
      const error = await launcher.launch(request(argv, settings)).then(
        () => assert.fail('it launched'),
        error => error,
      )
      assert.ok(error instanceof LaunchError, String(error))
      return { section: error.section, op: error.op, code: error.code, detail: error.detail }
    }
    const program = { section: 'init', op: 'program' }
    assert.deepEqual(await failing(['nosuch']), { ...program, code: 'ENOENT', detail: 'nosuch' })
    assert.deepEqual(await failing(['/nosuch']), { ...program, code: 'ENOENT', detail: '/nosuch' })
    assert.deepEqual(await failing(['/usr']), { ...program, code: 'EISDIR', detail: '/usr' })
    assert.deepEqual(await failing(['/usr/lib/os-release']), {
      ...program,
      code: 'EACCES',
      detail: '/usr/lib/os-release',
    })
    const mounts: Op[] = [{ op: 'mountBind', source: '/nosuch', target: '/x', create: 1 }]
    assert.deepEqual(await failing(['true'], { mounts }), {
      section: 'init',
      op: 'mountBind',
      code: 'ENOENT',
      detail: '/nosuch',
    })
    const host: Op[] = [{ op: 'writeFile', path: '/nosuch/limit', data: '1' }]
    assert.deepEqual(await failing(['true'], { host }), {
      section: 'host',
      op: 'writeFile',
      code: 'ENOENT',
      detail: '/nosuch/limit',
    })
    assert.deepEqual(launcher.list(), [])
  })

  test('an operation that may fail does not end the launch', async () => {
    const host: Op[] = [{ op: 'writeFile', path: '/nosuch/limit', data: '1', mayFail: true }]
    assert.equal((await shell('exit 4', { host })).record.exitCode, 4)
  })

  test('what cannot be executed fails at start', async () => {
    const script = path.join(folder, 'nonsense')
    fs.writeFileSync(script, 'neither ELF nor a script', { mode: 0o755 })
    const mounts: Op[] = [{ op: 'mountBind', source: script, target: '/nonsense', create: 3 }]
    const task = await launcher.launch(request(['/nonsense'], { mounts }))
    await assert.rejects(
      task.start(),
      (error: LaunchError) => error.op === 'exec' && error.code === 'ENOEXEC',
    )
    await task.delete()
  })

  test('stdin reaches the program, and its end ends it', async () => {
    const input = 'x'.repeat(300_000) + '\n'
    const { stdout, record } = await run(['cat'], { stdin: true }, input)
    assert.equal(record.exitCode, 0)
    assert.ok(stdout === input)
  })

  test('a container without stdin reads its end at once', async () => {
    assert.equal((await shell('cat; echo end')).stdout, 'end\n')
  })

  test('stdin that nobody reads stops nobody', async () => {
    const task = await running('echo ready; sleep 1000', { stdin: true })
    const stream = await task.attach({ stdin: true })
    for (let i = 0; i < 40; i++) stream.write(Buffer.alloc(65536))
    const exec = await task.exec({ id: 'e', plan: execPlan(task, ['true']) })
    assert.equal((await exec.wait()).exitCode, 0)
    stream.destroy()
    await task.kill(9)
    assert.deepEqual([(await task.wait()).exitCode, (await task.wait()).signal], [137, 9])
    await task.delete()
  })

  test('a terminal: size, resizing, control characters', async () => {
    const script =
      'test -t 0 && test -t 1 && stty size; trap "stty size; exit 7" WINCH; echo ready; read line; echo got $line; while :; do sleep 0.01; done'
    const task = await launcher.launch(request(['sh', '-c', script], { tty: true, stdin: true }))
    const stream = await task.attach({ stdin: true, stdout: true, stderr: true })
    let seen = ''
    stream.on('data', bytes => (seen += bytes))
    const ended = once(stream, 'end')
    await task.start()
    await until(() => seen.includes('ready\r\n'))
    assert.match(seen, /^30 90\r\n/)
    stream.write('hello\n')
    await until(() => seen.includes('got hello\r\n'))
    await task.resize(40, 120)
    assert.equal((await task.wait()).exitCode, 7)
    await ended
    assert.match(seen, /40 120\r\n$/)
    await task.delete()
    const looping = 'trap "exit 130" INT; echo ready; while :; do sleep 0.01; done'
    const interrupted = await launcher.launch(request(['sh', '-c', looping], { tty: true, stdin: true }))
    const keyboard = await interrupted.attach({ stdin: true, stdout: true })
    keyboard.once('data', () => keyboard.write('\x03'))
    await interrupted.start()
    assert.equal((await interrupted.wait()).exitCode, 130)
    await interrupted.delete()
  })

  test('killed before it was started, it ends as killed', async () => {
    const task = await launcher.launch(request(['sleep', '1000']))
    await task.kill(9)
    assert.equal((await task.wait()).exitCode, 137)
    await assert.rejects(task.start())
    await task.delete()
  })

  test('deleting a running container kills it', async () => {
    const task = await running('sleep 1000')
    await task.delete()
    assert.equal(linux.processExists(task.pid), false)
  })

  test('a reader that does not read holds the container back, and no longer than it stays', async () => {
    const task = await launcher.launch(
      request(['sh', '-c', 'head -c 20000000 /usr/lib/os-release /dev/zero; echo end >&2'], {
        mounts: [{ op: 'mknod', path: '/dev/zero', mode: linux.S_IFCHR | 0o666, major: 1, minor: 5 }],
        log: { format: 0 },
      }),
    )
    const idle = await task.attach({ stdout: true })
    const other = await task.attach({ stderr: true })
    await task.start()
    let said = ''
    other.on('data', bytes => (said += bytes))
    await new Promise(resolve => setTimeout(resolve, 100))
    assert.equal(said, '')
    idle.destroy()
    assert.equal((await task.wait()).exitCode, 0)
    await until(() => said.endsWith('end\n'))
    await task.delete()
  })

  test('attaching and hanging up leaves nothing behind', async () => {
    const task = await running('while :; do echo tick; sleep 0.01; done', { log: { format: 0 } })
    const shim = shimOf(task.id)
    const fds = () => fs.readdirSync(`/proc/${shim}/fd`).length
    const before = fds()
    for (let i = 0; i < 200; i++) (await task.attach({ stdin: true, stdout: true, stderr: true })).destroy()
    await until(() => fds() <= before)
    await task.delete()
  })

  test('an outside program can bring the process up', async () => {
    const script = 'sh -c \'echo "$0 runs"; sleep 0.05; exit 8\' "$1" & echo $! > "$2"'
    const { id } = request([])
    const run: Op = {
      op: 'run',
      argv: ['/bin/sh', '-c', script, 'sh', 'it', 'pidfile'],
      env: [PATH],
      stdio: true,
    }
    const plan: LaunchPlan = {
      host: [
        { op: 'stdio' },
        { op: 'log', format: 1, path: path.join(folder, 'log') },
        run,
        { op: 'adopt', pidFile: 'pidfile' },
      ],
      init: [],
      parent: [],
      exit: [{ op: 'run', argv: ['/bin/touch', 'deleted'] }],
    }
    const task = await launcher.launch({ id, plan })
    await task.start()
    assert.equal((await task.wait()).exitCode, 8)
    assert.ok(fs.existsSync(path.join(folder, 'run', id, 'deleted')))
    assert.equal(JSON.parse(readLog()).log, 'it runs\n')
    await task.delete()
  })

  test('a program that fails to bring it up fails the launch', async () => {
    const { id } = request([])
    const plan: LaunchPlan = {
      host: [{ op: 'stdio' }, { op: 'run', argv: ['/bin/false'] }],
      init: [],
      parent: [],
    }
    await assert.rejects(
      launcher.launch({ id, plan }),
      (error: LaunchError) => error.op === 'run' && error.detail.includes('exit code 1'),
    )
  })

  test('cgroups: in before it runs, gone after it ended', {
    skip: fs.existsSync('/sys/fs/cgroup/pids/cgroup.procs') ? false : 'needs cgroup v1',
  }, async () => {
    const name = `${testPrefix}${process.pid}`
    const cgroup = `/sys/fs/cgroup/pids/${name}`
    const { stdout } = await shell('cat /proc/self/cgroup', {
      host: [
        { op: 'mkdir', path: cgroup, mode: 0o755 },
        { op: 'writeFile', path: `${cgroup}/pids.max`, data: '20' },
      ],
      rest: {
        parent: [{ op: 'join', path: `${cgroup}/cgroup.procs` }],
        exit: [{ op: 'record', name: 'pids', path: `${cgroup}/pids.max` }],
        teardown: [
          { op: 'killAll', path: `${cgroup}/cgroup.procs` },
          { op: 'rmdir', path: cgroup },
        ],
      },
    })
    assert.match(stdout, new RegExp(`pids:/${name}\n`))
    assert.equal(fs.existsSync(cgroup), false)
  })
})

test('the shim has no helper of its own on the path', { skip }, () => {
  assert.equal(
    spawnSync('file', ['-L', path.join(linux.buildFolder, 'gantry-shim')])
      .stdout?.toString()
      .includes('dynamically linked') ?? false,
    false,
  )
})
