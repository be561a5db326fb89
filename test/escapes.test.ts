/**
 * Known ways out of containers, tried. Each test does what the attack did, in a real container, and must find itself still
 * inside. Those through archives and `cp` are with the image store's and the API's tests.
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { buildFolder } from '../src/linux/index.ts'
import {
  buildSpec,
  compileExec,
  detectCgroups,
  execProcess,
  type LaunchContext,
  openCgroup,
  type RuntimeRequest,
} from '../src/runtime/index.ts'
import { LaunchError } from '../src/runtime/launcher.ts'
import { cannotLaunch, Sandbox } from './isolation/sandbox.ts'

const env = ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin']

describe('a container stays in', { skip: cannotLaunch() }, () => {
  let sandbox: Sandbox
  before(() => {
    sandbox = new Sandbox()
  })
  after(() => sandbox?.remove())

  const spec = (script: string, more: Partial<RuntimeRequest> = {}) => {
    const id = randomBytes(32).toString('hex')
    return buildSpec({ id, ...more, process: { argv: ['sh', '-c', script], env, ...more.process } })
  }
  const run = (script: string, more: Partial<RuntimeRequest> = {}, context: Partial<LaunchContext> = {}) =>
    sandbox.run(spec(script, more), context)

  /** A root file system of this test's own, to be prepared as an attacker's image would be. */
  function hostileRoot(prepare: (root: string) => void): LaunchContext['rootfs'] {
    const root = fs.mkdtempSync(path.join(sandbox.folder, 'hostile-'))
    execFileSync('cp', ['-a', `${sandbox.rootfs}/.`, root])
    prepare(root)
    return { type: 'path', path: root }
  }

  test('CVE-2019-5736: an exec cannot be made to give away the shim’s binary', async () => {
    const shim = path.join(buildFolder, 'gantry-shim')
    const digest = () => createHash('sha256').update(fs.readFileSync(shim)).digest('hex')
    const before = digest()
    const rootfs = hostileRoot(root => {
      const source = path.join(import.meta.dirname, 'escapes/overwrite.c')
      execFileSync('cc', ['-O1', '-static', '-o', path.join(root, 'overwrite'), source])
      fs.writeFileSync(path.join(root, 'evil'), '#!/proc/self/exe\n', { mode: 0o755 })
    })
    // Also with the capability that lets it look at what is not dumpable.
    const container = spec('', {
      process: { argv: ['/overwrite', '3', String(fs.statSync(shim).ino)], env, capAdd: ['SYS_PTRACE'] },
    })
    const { task, finished } = await sandbox.start(container, { rootfs })
    const context = { spec: container, cgroup: openCgroup(container.linux.cgroupsPath), pid: task.pid }
    for (let round = 0; round < 20; round++) {
      const process = execProcess({ argv: ['/evil'], env }, container)
      try {
        const exec = await task.exec({ id: `round-${round}`, plan: compileExec(process, context) })
        await exec.wait()
      } catch (error) {
        // It ran, and had nothing to say to anybody.
        assert.ok(error instanceof LaunchError, String(error))
      }
    }
    const { output } = await finished
    assert.match(output, /caught/, 'the attack has to come so far, or it proves nothing')
    assert.doesNotMatch(output, /WRITABLE/)
    assert.equal(digest(), before)
  })

  test('CVE-2024-21626: no open file and no working folder leads out', async () => {
    const { output } = await run(
      'ls -l /proc/self/fd | grep -v "/proc/" | grep -c -- "->"; for n in 3 4 5 6 7 8 9 10; do ls /proc/self/fd/$n/../../../etc/hostname 2>/dev/null && echo LEAK; done; true',
    )
    assert.doesNotMatch(output, /LEAK/)
    for (const fd of [3, 4, 5, 6, 7, 8, 9, 10]) {
      const look = `ls -d ../../../..${sandbox.folder} && echo LEAK`
      const attempt = run(look, {
        process: { argv: ['sh', '-c', look], env, cwd: `/proc/self/fd/${fd}` },
      })
      const result = await attempt.catch((error: unknown) => error)
      if (result instanceof LaunchError) continue
      assert.doesNotMatch((result as { output: string }).output, /LEAK/, `fd ${fd}`)
    }
  })

  test('CVE-2024-21626: nor do they in an exec', async () => {
    const container = spec('sleep 100')
    const { task, finished } = await sandbox.start(container)
    const context = { spec: container, cgroup: openCgroup(container.linux.cgroupsPath), pid: task.pid }
    try {
      for (const fd of [3, 4, 5, 6, 7, 8]) {
        const process = execProcess(
          {
            argv: ['sh', '-c', `ls -d ../../../..${sandbox.folder}`],
            env,
            cwd: `/proc/self/fd/${fd}`,
          },
          container,
        )
        const exec = await task
          .exec({ id: `fd-${fd}`, plan: compileExec(process, context) })
          .catch((error: unknown) => error)
        if (exec instanceof LaunchError) continue
        assert.notEqual(
          (await (exec as { wait(): Promise<{ exitCode: number }> }).wait()).exitCode,
          0,
          `fd ${fd}`,
        )
      }
    } finally {
      await task.kill(9)
      await finished
    }
  })

  test('CVE-2025-31133: a mask is the host’s null, whatever the image calls /dev/null', async () => {
    // The image's /dev is covered by a tmpfs; a bind of its own brings the attacker's nodes back.
    const rootfs = hostileRoot(root => {
      fs.mkdirSync(path.join(root, 'fakedev'))
      fs.symlinkSync('/proc/sysrq-trigger', path.join(root, 'fakedev/null'))
    })
    const dev = path.join((rootfs as { path: string }).path, 'fakedev')
    const { output } = await run(
      'head -c1 /proc/keys | wc -c; grep " /proc/keys " /proc/self/mountinfo',
      {
        mounts: [{ type: 'bind', source: dev, destination: '/dev' }],
      },
      { rootfs },
    )
    assert.match(output, /^0\n/)
    assert.match(output, /\/null \/proc\/keys/)
  })

  test('CVE-2025-52565: the console is the terminal, whatever lies at /dev/console', async () => {
    const rootfs = hostileRoot(root => {
      fs.rmSync(path.join(root, 'dev'), { recursive: true })
      fs.mkdirSync(path.join(root, 'dev/pts'), { recursive: true })
      fs.symlinkSync('/proc/sysrq-trigger', path.join(root, 'dev/console'))
      fs.symlinkSync('/proc/sysrq-trigger', path.join(root, 'dev/pts/0'))
      fs.symlinkSync('/proc', path.join(root, 'dev/shm'))
    })
    const { output } = await run(
      'grep -E " (/dev/console|/proc/sysrq-trigger) " /proc/self/mountinfo',
      {
        process: {
          argv: ['sh', '-c', 'grep -E " (/dev/console|/proc/sysrq-trigger) " /proc/self/mountinfo'],
          env,
          tty: true,
        },
      },
      { rootfs },
    )
    assert.match(output, /\/0 \/dev\/console .* devpts /)
    assert.doesNotMatch(output, /\/0 \/proc/)
  })

  test('CVE-2025-52881: sysctls and scores are written to the host’s /proc, not to what an image has there', async () => {
    const rootfs = hostileRoot(root => {
      fs.mkdirSync(path.join(root, 'proc/sys/net/ipv4'), { recursive: true })
      fs.symlinkSync('/etc/trap', path.join(root, 'proc/sys/net/ipv4/ip_forward'))
      fs.writeFileSync(path.join(root, 'etc/trap'), '')
    })
    const { output } = await run(
      'cat /proc/sys/net/ipv4/ip_forward; wc -c </etc/trap',
      { sysctls: { 'net.ipv4.ip_forward': '1' } },
      { rootfs },
    )
    assert.equal(output, '1\n0\n')
  })

  test('links of an image do not lead a mount out of the root', async () => {
    const outside = fs.mkdtempSync(path.join(sandbox.folder, 'outside-'))
    const marker = path.join(outside, 'data')
    const rootfs = hostileRoot(root => {
      for (const place of ['absolute', 'relative', 'deep'])
        fs.rmSync(path.join(root, place), { recursive: true, force: true })
      fs.symlinkSync(outside, path.join(root, 'absolute'))
      fs.symlinkSync('../../../../../../../../../..' + outside, path.join(root, 'relative'))
      fs.symlinkSync('/proc/1/root', path.join(root, 'deep'))
    })
    const mounts = ['/absolute/data', '/relative/data2', '/deep/data3'].map(
      destination => ({ type: 'bind', source: '/etc/hostname', destination }) as const,
    )
    for (const mount of mounts) await run('true', { mounts: [mount] }, { rootfs }).catch(() => {})
    assert.deepEqual(fs.readdirSync(outside), [])
    assert.equal(fs.existsSync(marker), false)
    assert.equal(fs.existsSync('/data3'), false)
  })

  test('a /proc that is a link is not where masks and protections are lost', async () => {
    const rootfs = hostileRoot(root => {
      fs.rmdirSync(path.join(root, 'proc'))
      fs.mkdirSync(path.join(root, 'elsewhere'))
      fs.symlinkSync('elsewhere', path.join(root, 'proc'))
    })
    const result = await run(
      'cat /proc/sys/vm/swappiness > /proc/sys/vm/swappiness; head -c1 /proc/keys | wc -c',
      {},
      { rootfs },
    ).catch((error: unknown) => error)
    if (result instanceof LaunchError) return
    assert.match((result as { output: string }).output, /Read-only file system/)
    assert.match((result as { output: string }).output, /^0$/m)
  })

  test('core_pattern, sysrq and the host’s own knobs are out of reach', async () => {
    const before = fs.readFileSync('/proc/sys/kernel/core_pattern', 'utf8')
    const { output } = await run(`
      echo '|/bin/evil' > /proc/sys/kernel/core_pattern && echo WROTE
      echo x > /proc/sysrq-trigger && echo WROTE
      mount -o remount,rw /proc/sys && echo WROTE
      mount -t proc proc /tmp && echo WROTE
      mknod /tmp/disk b 254 0 && head -c1 /tmp/disk && echo WROTE
      echo 1 > /sys/kernel/profiling && echo WROTE
      true`)
    assert.doesNotMatch(output, /WROTE/)
    assert.equal(fs.readFileSync('/proc/sys/kernel/core_pattern', 'utf8'), before)
  })

  test('core_pattern stays read-only for one that may mount, as far as Docker holds it', async () => {
    const { output } = await run('echo "|/bin/evil" > /proc/sys/kernel/core_pattern && echo WROTE; true', {
      process: {
        argv: ['sh', '-c', 'echo "|/bin/evil" > /proc/sys/kernel/core_pattern && echo WROTE; true'],
        env,
        capAdd: ['SYS_ADMIN'],
      },
    })
    assert.doesNotMatch(output, /WROTE/)
  })

  test('release_agent of v1 is out of reach', {
    skip: detectCgroups().version === 2 && 'v1 only',
  }, async () => {
    const { output } = await run(`
      for agent in /sys/fs/cgroup/*/release_agent; do echo /evil > $agent && echo WROTE; done
      for notify in /sys/fs/cgroup/*/notify_on_release; do echo 1 > $notify && echo WROTE; done
      mkdir /tmp/cg; mount -t cgroup -o memory cgroup /tmp/cg && echo WROTE
      unshare -UrC true && echo WROTE
      true`)
    assert.doesNotMatch(output, /WROTE/)
  })

  test('no capability comes back by a setuid program under no-new-privileges', async () => {
    const { output } = await run('grep -E "^(CapEff|NoNewPrivs)" /proc/self/status', {
      process: {
        argv: ['sh', '-c', 'grep -E "^(CapEff|NoNewPrivs)" /proc/self/status'],
        env,
        noNewPrivileges: true,
        user: { uid: 1000, gid: 1000 },
      },
    })
    assert.equal(output, 'CapEff:\t0000000000000000\nNoNewPrivs:\t1\n')
  })
})
