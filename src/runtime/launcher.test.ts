import assert from 'node:assert/strict'
import { fork, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { buffer, text } from 'node:stream/consumers'
import { after, before, describe, test } from 'node:test'
import { testPrefix } from '../../test/support/host-state.ts'
import * as linux from '../linux/index.ts'
import { createLauncher, type ExitRecord, LaunchError, type LaunchRequest, type Task } from './launcher.ts'
import type { LaunchPlan, Op } from './plan.ts'

const skip = process.getuid?.() === 0 ? false : 'needs root: it makes namespaces and mounts'

const namespaces =
  linux.CLONE_NEWNS | linux.CLONE_NEWPID | linux.CLONE_NEWUTS | linux.CLONE_NEWIPC | linux.CLONE_NEWNET
const PATH = 'PATH=/usr/local/bin:/usr/bin:/bin'

let folder = ''
let launcher: ReturnType<typeof createLauncher>
let counter = 0

/** A root of the host's own programs: a tmpfs with /usr bound in read-only. */
const root: Op[] = [
  { op: 'propagation', path: '/', flags: linux.MS_SLAVE | linux.MS_REC },
  { op: 'rootFs', type: 'tmpfs', options: ['mode=755'] },
  { op: 'mountBind', source: '/usr', target: '/usr', create: 1, set: linux.MOUNT_ATTR_RDONLY },
  ...['bin', 'lib', 'lib64', 'sbin'].map(
    (name): Op => ({ op: 'symlink', target: `usr/${name}`, path: `/${name}` }),
  ),
  { op: 'mountFs', type: 'proc', target: '/proc', create: 1, attributes: 0xe },
  { op: 'mountFs', type: 'tmpfs', target: '/dev', options: ['mode=755'], create: 1 },
  {
    op: 'mountFs',
    type: 'devpts',
    target: '/dev/pts',
    options: ['newinstance', 'ptmxmode=0666', 'mode=0620'],
    create: 1,
  },
  { op: 'mknod', path: '/dev/null', mode: linux.S_IFCHR | 0o666, major: 1, minor: 3 },
  { op: 'makeFolder', path: '/tmp', mode: 0o1777 },
]

interface Settings {
  stdin?: boolean
  tty?: boolean
  host?: Op[]
  /** Before the pivot, and after it. */
  mounts?: Op[]
  late?: Op[]
  rest?: Partial<LaunchPlan>
  log?: Partial<Extract<Op, { op: 'log' }>>
}

function planOf(argv: string[], settings: Settings = {}): LaunchPlan {
  const { stdin = false, tty = false, host = [], mounts = [], late = [], rest = {}, log = {} } = settings
  return {
    host: [
      { op: 'stdio', stdin, tty },
      { op: 'log', format: 1, path: path.join(folder, 'log'), ...log },
      { op: 'clone', flags: namespaces },
      ...host,
    ],
    init: [
      ...root,
      ...mounts,
      ...(tty ? [{ op: 'console', rows: 30, columns: 90 } satisfies Op] : []),
      { op: 'await' },
      { op: 'pivot' },
      { op: 'hostname', name: 'box' },
      ...late,
      { op: 'workingFolder', path: '/' },
      { op: 'program', argv, env: [PATH] },
      { op: 'parentDeath', signal: 9 },
      { op: 'ready' },
      { op: 'exec' },
    ],
    parent: [],
    ...rest,
  }
}

function request(argv: string[], settings?: Settings): LaunchRequest {
  fs.rmSync(path.join(folder, 'log'), { force: true })
  return { id: `t${process.pid}-${counter++}`, plan: planOf(argv, settings) }
}

interface Outcome {
  record: ExitRecord
  stdout: string
  stderr: string
  log: string
}

/** Run to the end, attached, and take all of it away. */
async function run(argv: string[], settings?: Settings, input?: string): Promise<Outcome> {
  const task = await launcher.launch(request(argv, settings))
  try {
    const stream = await task.attach({
      stdin: input !== undefined,
      stdout: true,
      stderr: true,
      closeStdin: true,
    })
    const output = buffer(stream)
    await task.start()
    if (input !== undefined) stream.end(input)
    const record = await task.wait()
    const frames = settings?.tty ? [(await output).toString(), ''] : demultiplex(await output)
    return { record, stdout: frames[0]!, stderr: frames[1]!, log: readLog() }
  } finally {
    await task.delete()
  }
}

function demultiplex(bytes: Buffer): [stdout: string, stderr: string] {
  const parts: [Buffer[], Buffer[]] = [[], []]
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at + 4)
    parts[bytes[at]! - 1]!.push(bytes.subarray(at + 8, at + 8 + length))
    at += 8 + length
  }
  return [Buffer.concat(parts[0]).toString(), Buffer.concat(parts[1]).toString()]
}

const readLog = (name = 'log') => fs.readFileSync(path.join(folder, name), 'utf8')

const shell = (script: string, settings?: Settings, input?: string) =>
  run(['sh', '-c', script], settings, input)

function execPlan(argv: string[], { tty = false, stdin = false } = {}): LaunchPlan {
  return {
    host: [
      { op: 'stdio', tty, stdin },
      { op: 'pidNamespace', path: `/proc/${execTarget}/ns/pid` },
    ],
    init: [
      { op: 'setns', flags: namespaces },
      ...(tty ? [{ op: 'console' } satisfies Op] : []),
      { op: 'await' },
      { op: 'workingFolder', path: '/' },
      { op: 'program', argv, env: [PATH] },
      { op: 'ready' },
      { op: 'exec' },
    ],
    parent: [],
  }
}
let execTarget = 0

/** A container that runs until it is told otherwise. */
async function running(script: string, settings?: Settings): Promise<Task> {
  const task = await launcher.launch(request(['sh', '-c', script], settings))
  await task.start()
  execTarget = task.pid
  return task
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise(resolve => setTimeout(resolve, 2))
}

function shimOf(id: string): number {
  return Number(fs.readFileSync(path.join(folder, 'run', id, 'pid'), 'utf8').split(' ')[2])
}

describe('launcher', { skip }, () => {
  before(() => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'launcher-'))
    launcher = createLauncher({
      root: path.join(folder, 'run'),
      ...(process.env['GANTRY_SHIM'] ? { shim: process.env['GANTRY_SHIM'] } : {}),
    })
  })
  after(() => {
    assert.deepEqual(launcher.list(), [])
    launcher.close()
    fs.rmSync(folder, { recursive: true })
  })

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
    const exec = await task.exec({ id: 'e', plan: execPlan(['true']) })
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

  describe('exec', () => {
    let task: Task
    before(async () => {
      task = await running('sleep 1000')
    })
    after(() => task.delete())

    test('joins the container', async () => {
      execTarget = task.pid
      const exec = await task.exec({
        id: 'a',
        plan: execPlan(['sh', '-c', 'hostname; cat /proc/1/cmdline | tr "\\0" " "; echo err >&2; exit 9']),
        attach: { stdout: true, stderr: true },
      })
      assert.deepEqual(demultiplex(await buffer(exec.stream!)), ['box\nsh -c sleep 1000 ', 'err\n'])
      assert.equal((await exec.wait()).exitCode, 9)
    })

    test('has stdin, or a terminal, of its own', async () => {
      execTarget = task.pid
      const cat = await task.exec({
        id: 'b',
        plan: execPlan(['cat'], { stdin: true }),
        attach: { stdin: true, stdout: true, closeStdin: true },
      })
      cat.stream!.end('through')
      assert.deepEqual(demultiplex(await buffer(cat.stream!)), ['through', ''])
      const terminal = await task.exec({
        id: 'c',
        plan: execPlan(['sh', '-c', 'read x; tty; stty size'], { tty: true, stdin: true }),
        attach: { stdin: true, stdout: true },
      })
      await terminal.resize(11, 22)
      terminal.stream!.write('\n')
      assert.equal(await text(terminal.stream!), '\r\n/dev/pts/0\r\n11 22\r\n')
    })

    test('is signalled by itself, and can be detached', async () => {
      execTarget = task.pid
      const exec = await task.exec({ id: 'd', plan: execPlan(['sleep', '1000']) })
      assert.equal(exec.stream, undefined)
      assert.deepEqual([...task.execs.keys()], ['d'])
      await exec.kill(15)
      assert.deepEqual([(await exec.wait()).exitCode, task.execs.size], [143, 0])
    })

    test('fails by name', async () => {
      execTarget = task.pid
      await assert.rejects(
        task.exec({ id: 'e', plan: execPlan(['nosuch']), attach: { stdout: true } }),
        (error: LaunchError) => error.op === 'program' && error.code === 'ENOENT',
      )
      assert.equal(task.execs.size, 0)
    })
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

  test('shims wait for containers, and are passed over where somebody killed them', async () => {
    const shim = path.join(folder, 'own-shim')
    fs.copyFileSync(process.env['GANTRY_SHIM'] ?? path.join(linux.buildFolder, 'gantry-shim'), shim)
    fs.chmodSync(shim, 0o755)
    const { ino } = fs.statSync(shim)
    const own = createLauncher({ root: path.join(folder, 'own-run'), shim })
    const shims = () =>
      fs.readdirSync('/proc').filter(pid => {
        try {
          return /^\d+$/.test(pid) && fs.statSync(`/proc/${pid}/exe`).ino === ino
        } catch {
          return false
        }
      })
    const argument = (pid: string) => {
      try {
        return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')[1]
      } catch {
        return ''
      }
    }
    const waiting = '-'.repeat(64)
    for (const round of ['new', 'killed', 'waiting']) {
      const started = request(['sh', '-c', 'exit 3'])
      const task = await own.launch(started)
      assert.ok(
        shims().some(pid => argument(pid) === started.id),
        `${round}: ps shows whose shim it is`,
      )
      await task.start()
      assert.equal((await task.wait()).exitCode, 3)
      await task.delete()
      await until(() => shims().map(argument).join(' ') === `${waiting} ${waiting}`)
      if (round !== 'new') continue
      for (const pid of shims()) process.kill(Number(pid), 'SIGKILL')
      await until(() => shims().length === 0)
    }
    own.close()
    await until(() => shims().length === 0)
  })

  describe('crashes', () => {
    test('the container outlives the process that launched it, and is found again', async () => {
      const { id, plan } = request(['sh', '-c', 'echo before; read line; echo $line; exit 5'], {
        stdin: true,
      })
      const child = fork(new URL('./testdata/launch-and-stay.ts', import.meta.url), [
        path.join(folder, 'run'),
        id,
        JSON.stringify(plan),
      ])
      await once(child, 'message')
      child.kill('SIGKILL')
      await once(child, 'exit')
      const task = (await launcher.reconnect(id)) as Task
      assert.equal(task.started, true)
      const stream = await task.attach({ stdin: true, stdout: true })
      stream.write('after\n')
      assert.equal((await task.wait()).exitCode, 5)
      assert.deepEqual(
        readLog()
          .trimEnd()
          .split('\n')
          .map(line => JSON.parse(line).log),
        ['before\n', 'after\n'],
      )
      stream.destroy()
      await task.delete()
      assert.equal(await launcher.reconnect(id), undefined)
    })

    test('an exit that nobody saw is on record', async () => {
      const { id, plan } = request(['sh', '-c', 'sleep 0.2; exit 6'])
      plan.exit = [{ op: 'record', name: 'status', path: '/proc/sys/kernel/ostype' }]
      const child = fork(new URL('./testdata/launch-and-stay.ts', import.meta.url), [
        path.join(folder, 'run'),
        id,
        JSON.stringify(plan),
      ])
      await once(child, 'message')
      child.kill('SIGKILL')
      await until(() => fs.existsSync(path.join(folder, 'run', id, 'exit')))
      const record = (await launcher.reconnect(id)) as ExitRecord
      assert.equal(record.exitCode, 6)
      assert.deepEqual(record.files, { status: 'Linux\n' })
      launcher.discard(id)
    })

    test('a killed shim takes its container along, and that is told', async () => {
      const task = await running('trap "" TERM; sleep 1000')
      linux.kill(shimOf(task.id), 9)
      const record = await task.wait()
      assert.deepEqual([record.exitCode, record.lost], [137, true])
      await until(() => !linux.processExists(task.pid)) // killed, and reaped by init
      assert.equal(((await launcher.reconnect(task.id)) as ExitRecord).lost, true)
      await task.delete()
    })

    test('also where the container had no parent-death signal', async () => {
      const { id, plan } = request(['sleep', '1000'])
      plan.init = plan.init.filter(op => op.op !== 'parentDeath')
      const task = await launcher.launch({ id, plan })
      await task.start()
      linux.kill(shimOf(id), 9)
      assert.equal((await task.wait()).lost, true)
      await until(() => !linux.processExists(task.pid))
      await task.delete()
    })
  })

  describe('log', () => {
    test('is escaped as docker escapes it', async () => {
      const bytes =
        'q"b\\\\\\\\\\ttab cr\\r nul\\000 bel\\007 esc\\033 del\\177 <>&\\n é 漢 \\342\\200\\250\\342\\200\\251 😀\\nbad \\377\\376 \\300\\257 \\355\\240\\200 \\364\\220\\200\\200 \\342\\202 x\\ntrunc \\342\\202\\nno newline'
      const { log } = await shell(`printf '${bytes}'`, { log: { attrs: Buffer.from('{"a":"b"}') } })
      assert.deepEqual(
        log
          .replace(/"time":"[^"]*"/g, 'T')
          .trimEnd()
          .split('\n'),
        [
          String.raw`{"log":"q\"b\\\\\u0009tab cr\r nul\u0000 bel\u0007 esc\u001b del${'\x7f'} \u003c\u003e\u0026\n","stream":"stdout","attrs":{"a":"b"},T}`,
          String.raw`{"log":" é 漢 \u2028\u2029 😀\n","stream":"stdout","attrs":{"a":"b"},T}`,
          String.raw`{"log":"bad \ufffd\ufffd \ufffd\ufffd \ufffd\ufffd\ufffd \ufffd\ufffd\ufffd\ufffd \ufffd\ufffd x\n","stream":"stdout","attrs":{"a":"b"},T}`,
          String.raw`{"log":"trunc \ufffd\ufffd\n","stream":"stdout","attrs":{"a":"b"},T}`,
          '{"log":"no newline","stream":"stdout","attrs":{"a":"b"},T}',
        ],
      )
    })

    test('cuts long lines after 16 KiB', async () => {
      const repeat = (count: number, letter: string) =>
        `head -c ${count} /dev/zero | tr "\\0" ${letter}; echo;`
      const { log } = await shell(repeat(16384, 'a') + repeat(16383, 'b') + repeat(40000, 'c'), {
        mounts: [{ op: 'mknod', path: '/dev/zero', mode: linux.S_IFCHR | 0o666, major: 1, minor: 5 }],
      })
      const lines = log
        .trimEnd()
        .split('\n')
        .map(line => JSON.parse(line))
      assert.deepEqual(
        lines.map(line => line.log.length),
        [16384, 1, 16384, 16384, 16384, 40000 - 2 * 16384 + 1],
      )
      assert.equal(lines[3].time, lines[5].time)
    })

    test('rotates, and a reader that follows the names loses nothing', async () => {
      const { record } = await shell('i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done', {
        log: { maxSize: 40_000, maxFiles: 50 },
      })
      const names = fs
        .readdirSync(folder)
        .filter(name => name.startsWith('log'))
        .sort((a, b) => Number(b.split('.')[1] ?? 0) - Number(a.split('.')[1] ?? 0))
      assert.ok(names.length > 3)
      const lines = names.flatMap(name => readLog(name).trimEnd().split('\n')).filter(line => line)
      assert.deepEqual(
        lines.map(line => JSON.parse(line).log),
        Array.from({ length: 3000 }, (_, i) => `line ${i}\n`),
      )
      for (const name of names) {
        assert.ok(fs.statSync(path.join(folder, name)).size < 41_000)
        fs.rmSync(path.join(folder, name))
      }
      assert.equal(record.droppedLines, 0)
    })

    test('keeps no more files than asked', async () => {
      await shell('i=0; while [ $i -lt 1000 ]; do echo line $i; i=$((i+1)); done', {
        log: { maxSize: 10_000, maxFiles: 2 },
      })
      assert.deepEqual(
        fs
          .readdirSync(folder)
          .filter(name => name.startsWith('log'))
          .sort(),
        ['log', 'log.1'],
      )
      fs.rmSync(path.join(folder, 'log.1'))
    })

    test('a full disk stops nobody and leaves only whole lines', async () => {
      const full = path.join(folder, 'full')
      fs.mkdirSync(full)
      linux.mount('tmpfs', full, 'tmpfs', 0, 'size=64k')
      try {
        const { record, stdout } = await shell(
          'i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done',
          { log: { path: path.join(full, 'log') } },
        ).catch(error => {
          // the helper reads the log from its usual place
          assert.match(String(error), /ENOENT/)
          return { record: undefined, stdout: '' }
        })
        assert.equal(stdout || record, record)
        const log = fs.readFileSync(path.join(full, 'log'), 'utf8')
        assert.ok(log.length > 60_000)
        for (const line of log.trimEnd().split('\n')) JSON.parse(line)
        assert.ok(log.endsWith('\n'))
      } finally {
        linux.umount(full, linux.MNT_DETACH)
        fs.rmdirSync(full)
      }
    })

    test('a ring hands over every line while the disk keeps up', async () => {
      for (const format of [1, 2]) {
        const settings = { log: { format, ring: 1 << 20, maxSize: 40_000, maxFiles: 50 } }
        const { record } = await shell(
          'i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done',
          settings,
        )
        const names = fs.readdirSync(folder).filter(name => name.startsWith('log'))
        const number = (name: string) => Number(name.split('.')[1] ?? 0)
        const all = names
          .sort((a, b) => number(b) - number(a))
          .map(name => readLog(name))
          .join('')
        assert.deepEqual(
          all.match(/line \d+/g),
          Array.from({ length: 3000 }, (_, i) => `line ${i}`),
        )
        assert.ok(names.length > 1)
        assert.equal(record.droppedLines, 0)
        for (const name of names) fs.rmSync(path.join(folder, name))
      }
    })

    test('binary records', async () => {
      await shell('echo one; echo two >&2', { log: { format: 2 } })
      const bytes = fs.readFileSync(path.join(folder, 'log'))
      const records: [number, string][] = []
      for (let at = 0; at < bytes.length; at += bytes.readUInt32LE(at)) {
        const length = bytes.readUInt32LE(at)
        assert.equal(bytes.readUInt32LE(at + length - 4), length)
        records.push([bytes[at + 12]!, bytes.toString('utf8', at + 14, at + length - 4)])
      }
      assert.deepEqual(records.sort(), [
        [1, 'one'],
        [2, 'two'],
      ])
    })
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

  test('execs, those that fail too, leave nothing behind', async () => {
    const task = await running('sleep 1000')
    const shim = shimOf(task.id)
    const fds = () => fs.readdirSync(`/proc/${shim}/fd`).length
    const before = fds()
    for (let i = 0; i < 30; i++) {
      const exec = await task.exec({ id: `good${i}`, plan: execPlan(['true']) })
      await exec.wait()
      const nowhere: LaunchPlan = execPlan(['true'])
      nowhere.host.push({ op: 'writeFile', path: '/nosuch', data: '' })
      for (const plan of [nowhere, execPlan(['nosuch']), execPlan(['true'], { tty: true })]) {
        await task.exec({ id: `bad${i}`, plan, attach: { stdout: true } }).then(
          exec => exec.stream!.resume(),
          () => {},
        )
      }
    }
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
