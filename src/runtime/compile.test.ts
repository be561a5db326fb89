import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { cannotLaunch, Sandbox, unframe } from '../../test/isolation/sandbox.ts'
import { buildSpec } from './build-spec.ts'
import { openCgroup } from './cgroup/index.ts'
import { parseLayout } from './cgroup/layout.ts'
import { CgroupV1 } from './cgroup/v1.ts'
import { CgroupV2 } from './cgroup/v2.ts'
import { type CompileHost, compileExec, compilePlan } from './compile.ts'
import { execProcess } from './exec.ts'
import { encodePlan, formatPlan } from './plan.ts'
import type { ExecProcess, Rootfs, RuntimeRequest } from './request.ts'

const id = 'a'.repeat(64)
const rootfs: Rootfs = { type: 'overlay', lowerdirs: ['/l1', '/l2'], upperdir: '/u', workdir: '/w' }

/** A machine that is not this one. */
function machine(mountinfo: string, kernel: [number, number]): CompileHost {
  const cgroups = parseLayout(mountinfo)
  return {
    cgroups,
    facts: { arch: 'amd64', kernel, cgroupVersion: cgroups.version, thermalThrottlePaths: [] },
  }
}

const v1 = machine(
  '1 0 0:1 / /cg/memory rw - cgroup cgroup rw,memory\n2 0 0:2 / /cg/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n',
  [6, 1],
)
const v2 = machine('1 0 0:1 / /cg rw - cgroup2 cgroup2 rw\n', [6, 18])

function lines(request: Partial<RuntimeRequest>, host: CompileHost, more: object = {}): string[] {
  const spec = buildSpec(
    { id, hostname: 'box', process: { argv: ['sh'], env: ['PATH=/bin'] }, ...request },
    host.facts,
  )
  const { cgroupsPath } = spec.linux
  const cgroup = host === v1 ? new CgroupV1(cgroupsPath, host.cgroups) : new CgroupV2(cgroupsPath, '/cg')
  const { plan } = compilePlan(spec, { rootfs, cgroup, describeOnly: true, ...more }, host)
  encodePlan(plan)
  return formatPlan(plan).trim().split('\n')
}

const has = (all: string[], pattern: RegExp): void =>
  assert.ok(
    all.some(line => pattern.test(line)),
    `${pattern} in\n${all.join('\n')}`,
  )
const order = (all: string[], ...patterns: RegExp[]): void => {
  const at = patterns.map(pattern => all.findIndex(line => pattern.test(line)))
  assert.ok(!at.includes(-1), `${patterns[at.indexOf(-1)]} is missing`)
  assert.deepEqual(
    at,
    at.toSorted((a, b) => a - b),
  )
}

describe('a plan, without a machine to run it on', () => {
  test('on v1 the process moves itself, before it can see its cgroups', () => {
    const all = lines({ namespaces: { cgroup: 'private' } }, v1)
    has(all, /^host +mkdir path=\/cg\/memory\/gantry\/a+ mode=0755/)
    order(
      all,
      /^init +writeFile path=\/cg\/memory\/gantry\/a+\/tasks data=0/,
      /^init +unshare flags=0x2000000/,
      /rootFd/,
    )
    has(
      all,
      /mountFs type=cgroup target=\/sys\/fs\/cgroup\/cpu,cpuacct options=\[source=cgroup cpu cpuacct\]/,
    )
    has(all, /symlink target=cpu,cpuacct path=\/sys\/fs\/cgroup\/cpuacct/)
    has(all, /^teardown rmdir path=\/cg\/cpu,cpuacct\/gantry\/a+/)
  })

  test('on v2 limits are files of one folder', () => {
    const all = lines({ resources: { pids: { limit: 7 }, cpu: { shares: 1024 } } }, v2)
    has(all, /^host +writeFile path=\/cg\/gantry\/a+\/pids.max data=7/)
    has(all, /^host +writeFile path=\/cg\/gantry\/a+\/cpu.weight data=100/)
    has(all, /mountFs type=cgroup2 target=\/sys\/fs\/cgroup/)
    has(all, /^exit +record name=memory.events/)
  })

  test('older kernels get their overlay as a mount that is made already', () => {
    has(lines({}, v1), /rootFd/)
    has(
      lines({}, v2),
      /rootFs type=overlay options=\[source=overlay lowerdir\+=\/l1 lowerdir\+=\/l2 upperdir=/,
    )
  })

  test('privileges go in an order that lets each step succeed', () => {
    const all = lines({ process: { argv: ['sh'], env: [], noNewPrivileges: true } }, v2)
    order(
      all,
      / mask /,
      / pivot/,
      / bounding /,
      / user /,
      / program /,
      / noNewPrivileges/,
      / seccomp /,
      / capabilities /,
      / ready/,
      / exec/,
    )
  })

  test('what others share comes as an fd', () => {
    const namespaces = { network: { fd: 33 }, ipc: { path: '/proc/5/ns/ipc' } }
    const all = lines({ namespaces }, v2, {
      namespaceFds: { network: 33 },
      mountFds: new Map([['/dev/shm', 44]]),
    })
    has(all, /setns flags=0x40000000 fd=0/)
    has(all, /setns flags=0x8000000 path=\/proc\/5\/ns\/ipc/)
    has(all, /mountFd fd=1 target=\/dev\/shm/)
    has(all, /clone flags=0x24020000/)
  })

  test('without PIDs of its own, what is left is killed', () => {
    has(lines({ namespaces: { pid: 'host' } }, v2), /^exit +killAll path=\/cg\/gantry\/a+\/cgroup.procs/)
    assert.ok(!lines({}, v2).some(line => line.includes('killAll')))
  })
})

describe('an exec', { skip: cannotLaunch() }, () => {
  let sandbox: Sandbox
  before(() => {
    sandbox = new Sandbox()
  })
  after(() => sandbox?.remove())

  async function exec(
    request: Partial<RuntimeRequest>,
    ...commands: Partial<ExecProcess>[]
  ): Promise<string[]> {
    const spec = buildSpec({
      id: randomBytes(32).toString('hex'),
      ...request,
      process: { argv: ['sleep', '100'], env: ['PATH=/bin'], ...request.process },
    })
    const { task, finished } = await sandbox.start(spec)
    try {
      const outputs: string[] = []
      for (const [index, command] of commands.entries()) {
        const process = execProcess({ argv: ['sh'], env: ['PATH=/bin'], ...command }, spec)
        const plan = compileExec(process, { spec, cgroup: openCgroup(spec.linux.cgroupsPath), pid: task.pid })
        const running = await task.exec({ id: String(index), plan, attach: { stdout: true } })
        let text = Buffer.alloc(0)
        for await (const chunk of running.stream!) text = Buffer.concat([text, chunk])
        outputs.push(process.terminal ? text.toString() : unframe(text))
        await running.wait()
      }
      return outputs
    } finally {
      await task.kill(9)
      await finished
    }
  }

  const sh = (script: string): { argv: string[] } => ({ argv: ['sh', '-c', script] })

  test('sees the container and is held as it is', async () => {
    const status = 'grep -E "^(CapEff|Seccomp)" /proc/self/status'
    const [names, held, cgroup, all] = await exec(
      { hostname: 'inside' },
      sh('hostname; cat /proc/1/cmdline | tr "\\0" " "'),
      sh(status),
      sh('diff /proc/1/cgroup /proc/self/cgroup && echo same'),
      { ...sh(status), privileged: true },
    )
    assert.equal(names, 'inside\nsleep 100 ')
    assert.equal(held, 'CapEff:\t00000000a80425fb\nSeccomp:\t2\nSeccomp_filters:\t1\n')
    assert.equal(cgroup, 'same\n')
    assert.match(all!, /CapEff:\t000001ff/)
  })

  test('may be somebody else, somewhere else', async () => {
    const [who, where] = await exec(
      {},
      { ...sh('id'), user: { uid: 33, gid: 50, additionalGids: [50, 7] } },
      { ...sh('pwd; echo $X'), cwd: '/tmp', env: ['PATH=/bin', 'X=1'] },
    )
    assert.match(who!, /uid=33.* gid=50 groups=7,50/)
    assert.equal(where, '/tmp\n1\n')
  })

  test('has a terminal of the container', async () => {
    const [output] = await exec(
      {},
      { argv: ['sh', '-c', 'tty; stty size'], tty: true, consoleSize: [24, 99] },
    )
    assert.equal(output, '/dev/pts/0\r\n24 99\r\n')
  })
})
