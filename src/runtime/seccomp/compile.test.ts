import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { allCapabilities, defaultCapabilities } from '../capabilities.ts'
import type { SeccompArgument, SeccompRule, SeccompSpec } from '../spec.ts'
import { archFacts, type SeccompArch, syscallNumbers } from './architectures.ts'
import { assemble } from './assembler.ts'
import { compileSeccomp } from './compile.ts'
import { runFilter } from './interpreter.ts'
import { defaultSeccomp } from './profile.ts'

const ALLOW = 0x7fff0000
const EPERM = 0x50001
const ENOSYS = 0x50000 | 38
const KILL = 0

const host = (arch: SeccompArch) => ({ arch, kernel: [6, 18] as [number, number] })

/** Asks the default filter (or another) about a call by name. */
function asker(spec: SeccompSpec, native: SeccompArch) {
  const { program } = compileSeccomp(spec, native)
  return (name: string | number, args: (number | bigint)[] = [], arch: SeccompArch = native): number => {
    const nr = typeof name === 'number' ? name : syscallNumbers(arch).get(name)
    assert.ok(nr !== undefined, `${name} on ${arch}`)
    return runFilter(program, { nr, arch: archFacts[arch].audit, args }).result
  }
}

describe("Docker's profile", () => {
  for (const native of ['amd64', 'arm64'] as const) {
    const ask = asker(defaultSeccomp(defaultCapabilities, host(native)), native)

    test(`${native}: what programs need is allowed`, () => {
      for (const name of [
        'read',
        'openat',
        'execve',
        'futex',
        'chroot',
        'ptrace',
        'statx',
        'landlock_create_ruleset',
      ]) {
        assert.equal(ask(name), ALLOW, name)
      }
    })

    test(`${native}: what reaches the host is not`, () => {
      for (const name of [
        'mount',
        'umount2',
        'bpf',
        'init_module',
        'reboot',
        'keyctl',
        'unshare',
        'io_uring_setup',
      ]) {
        assert.equal(ask(name), EPERM, name)
      }
    })

    test(`${native}: clone makes processes and threads, not namespaces`, () => {
      assert.equal(ask('clone', [17]), ALLOW)
      assert.equal(ask('clone', [0x003d0f00]), ALLOW)
      for (const flag of [
        0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000,
      ]) {
        assert.equal(ask('clone', [flag | 17]), EPERM, flag.toString(16))
      }
      assert.equal(ask('clone', [-1]), EPERM)
      assert.equal(ask('clone3'), ENOSYS)
    })

    test(`${native}: sockets, but none to the hypervisor`, () => {
      assert.equal(ask('socket', [2, 1, 0]), ALLOW)
      assert.equal(ask('socket', [40, 1, 0]), EPERM)
      assert.equal(ask('socket', [(1n << 32n) | 40n]), ALLOW, 'the upper half counts')
    })

    test(`${native}: some execution domains`, () => {
      for (const domain of [0, 8, 0x20000, 0x20008, 0xffffffff])
        assert.equal(ask('personality', [domain]), ALLOW)
      assert.equal(ask('personality', [0x40000]), EPERM)
      assert.equal(ask('personality', [(1n << 32n) | 8n]), EPERM)
    })

    test(`${native}: calls from the future do not exist`, () => {
      assert.equal(ask(999), ENOSYS)
      assert.equal(ask(0xffffffff), ENOSYS)
    })

    test(`${native}: other architectures are killed`, () => {
      const { program } = compileSeccomp(defaultSeccomp(defaultCapabilities, host(native)), native)
      assert.equal(runFilter(program, { nr: 1, arch: 0x80000016 }).result, KILL)
    })

    test(`${native}: every answer takes few steps`, () => {
      const { program } = compileSeccomp(defaultSeccomp(defaultCapabilities, host(native)), native)
      for (const nr of syscallNumbers(native).values()) {
        const { steps } = runFilter(program, { nr, arch: archFacts[native].audit, args: [2, 0, 0] })
        assert.ok(steps <= 32, `${nr} takes ${steps}`)
      }
    })
  }

  test('the compat architectures have their own numbers', () => {
    const ask = asker(defaultSeccomp(defaultCapabilities, host('amd64')), 'amd64')
    for (const arch of ['x86', 'x32'] as const) {
      assert.equal(ask('read', [], arch), ALLOW)
      assert.equal(ask('mount', [], arch), EPERM)
      assert.equal(ask('clone', [0x10000000], arch), EPERM)
    }
    assert.equal(ask('socketcall', [], 'x86'), ALLOW)
    assert.equal(ask('personality', [0xffffffff], 'x86'), ALLOW)
    const askArm = asker(defaultSeccomp(defaultCapabilities, host('arm64')), 'arm64')
    assert.equal(askArm('set_tls', [], 'arm'), ALLOW)
    assert.equal(askArm('mount', [], 'arm'), EPERM)
  })

  test('capabilities bring their calls along', () => {
    const ask = asker(defaultSeccomp(['CAP_SYS_ADMIN', 'CAP_SYS_TIME'], host('amd64')), 'amd64')
    for (const name of ['mount', 'unshare', 'clone3', 'clock_settime', 'bpf'])
      assert.equal(ask(name), ALLOW, name)
    assert.equal(ask('clone', [0x10000000]), ALLOW)
    assert.equal(ask('chroot'), EPERM)
    const all = asker(defaultSeccomp(allCapabilities(), host('amd64')), 'amd64')
    assert.equal(all('keyctl'), EPERM, 'not even with every capability')
  })

  test('ptrace waits for a kernel that can hold it', () => {
    const old = asker(defaultSeccomp(defaultCapabilities, { arch: 'amd64', kernel: [4, 7] }), 'amd64')
    assert.equal(old('ptrace'), EPERM)
  })

  test('the same capabilities share one filter', () => {
    const one = defaultSeccomp([...defaultCapabilities], host('amd64'))
    const other = defaultSeccomp([...defaultCapabilities].reverse(), host('amd64'))
    assert.equal(compileSeccomp(one, 'amd64'), compileSeccomp(other, 'amd64'))
  })
})

describe('conditions', () => {
  const ask = (args: SeccompArgument[], value: number | bigint): boolean => {
    const rule: SeccompRule = { names: ['getpid'], action: 'SCMP_ACT_ERRNO', args }
    const spec: SeccompSpec = { defaultAction: 'SCMP_ACT_ALLOW', architectures: [], syscalls: [rule] }
    const { program } = compileSeccomp(spec, 'amd64')
    return runFilter(program, { nr: 39, arch: archFacts.amd64.audit, args: [value, 7] }).result !== ALLOW
  }
  const wide = 0x1_0000_0005

  const holds: [SeccompArgument['op'], number, (value: bigint) => boolean][] = [
    ['SCMP_CMP_EQ', wide, value => value === BigInt(wide)],
    ['SCMP_CMP_NE', wide, value => value !== BigInt(wide)],
    ['SCMP_CMP_LT', wide, value => value < BigInt(wide)],
    ['SCMP_CMP_LE', wide, value => value <= BigInt(wide)],
    ['SCMP_CMP_GT', wide, value => value > BigInt(wide)],
    ['SCMP_CMP_GE', wide, value => value >= BigInt(wide)],
  ]
  const values = [
    0n,
    4n,
    5n,
    6n,
    0x1_0000_0000n,
    0x1_0000_0004n,
    0x1_0000_0005n,
    0x1_0000_0006n,
    0x2_0000_0000n,
    2n ** 64n - 1n,
  ]
  for (const [op, value, expected] of holds) {
    test(`${op} compares all 64 bits, unsigned`, () => {
      for (const argument of values) {
        assert.equal(ask([{ index: 0, op, value }], argument), expected(argument), `${argument}`)
      }
    })
  }

  test('a mask selects bits of both halves', () => {
    const masked = (value: number, valueTwo: number): SeccompArgument[] => [
      { index: 0, op: 'SCMP_CMP_MASKED_EQ', value, valueTwo },
    ]
    assert.equal(ask(masked(0x1_0000_00f0, 0x1_0000_0010), 0x3_0000_0f1fn), true)
    assert.equal(ask(masked(0x1_0000_00f0, 0x1_0000_0010), 0x2_0000_0f1fn), false)
    assert.equal(ask(masked(0xf0, 0x10), 0x9_0000_0010n), true)
  })

  test('different arguments hold together, the same argument is either', () => {
    const equals = (index: number, value: number): SeccompArgument => ({ index, op: 'SCMP_CMP_EQ', value })
    assert.equal(ask([equals(0, 1), equals(1, 7)], 1), true)
    assert.equal(ask([equals(0, 1), equals(1, 8)], 1), false)
    assert.equal(ask([equals(0, 1), equals(0, 2)], 2), true)
    assert.equal(ask([equals(0, 1), equals(0, 2)], 3), false)
  })
})

describe('rules', () => {
  const result = (spec: Partial<SeccompSpec>, name = 'getpid'): number => {
    const full: SeccompSpec = { defaultAction: 'SCMP_ACT_ALLOW', ...spec }
    return asker(full, 'amd64')(name)
  }

  test('each action is the kernel’s', () => {
    const answer = (action: SeccompRule['action'], errnoRet?: number): number =>
      result({ syscalls: [{ names: ['getpid'], action, ...(errnoRet !== undefined && { errnoRet }) }] })
    assert.equal(answer('SCMP_ACT_KILL'), 0)
    assert.equal(answer('SCMP_ACT_KILL_PROCESS'), 0x80000000)
    assert.equal(answer('SCMP_ACT_TRAP'), 0x30000)
    assert.equal(answer('SCMP_ACT_ERRNO'), EPERM)
    assert.equal(answer('SCMP_ACT_ERRNO', 5), 0x50005)
    assert.equal(answer('SCMP_ACT_TRACE', 5), 0x7ff00005)
    assert.equal(answer('SCMP_ACT_LOG'), 0x7ffc0000)
  })

  test('names of other kernels and architectures are ignored', () => {
    assert.equal(result({ syscalls: [{ names: ['nosuchcall', 'getpid'], action: 'SCMP_ACT_ERRNO' }] }), EPERM)
  })

  test('a rule without conditions beats one with', () => {
    const args: SeccompArgument[] = [{ index: 0, op: 'SCMP_CMP_EQ', value: 99 }]
    const always: SeccompRule = { names: ['getpid'], action: 'SCMP_ACT_ALLOW' }
    const sometimes: SeccompRule = { names: ['getpid'], action: 'SCMP_ACT_ALLOW', args }
    for (const syscalls of [
      [always, sometimes],
      [sometimes, always],
    ]) {
      assert.equal(result({ defaultAction: 'SCMP_ACT_ERRNO', syscalls }), ALLOW)
    }
  })

  test('a lenient profile knows no unknown calls', () => {
    const ask = asker(
      { defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: ['mkdir'], action: 'SCMP_ACT_ERRNO' }] },
      'amd64',
    )
    assert.equal(ask(999), ALLOW)
  })

  test('without x32 in the profile its calls are foreign', () => {
    const strict: SeccompSpec = {
      defaultAction: 'SCMP_ACT_ERRNO',
      syscalls: [{ names: ['getpid'], action: 'SCMP_ACT_ALLOW' }],
    }
    const { program } = compileSeccomp(strict, 'amd64')
    assert.equal(runFilter(program, { nr: 0x40000027, arch: archFacts.amd64.audit }).result, KILL)
  })

  test('what is not an action, an operator or an argument is refused', () => {
    const compile = (rule: object) => () =>
      compileSeccomp(
        {
          defaultAction: 'SCMP_ACT_ALLOW',
          syscalls: [{ names: ['mkdir'], action: 'SCMP_ACT_ERRNO', ...rule }],
        },
        'amd64',
      )
    assert.throws(
      compile({ action: 'SCMP_ACT_FOO' }),
      /^GantryError: string SCMP_ACT_FOO is not a valid action for seccomp$/,
    )
    assert.throws(
      compile({ args: [{ index: 1, op: 'SCMP_CMP_FOO', value: 1 }] }),
      /string SCMP_CMP_FOO is not a valid operator for seccomp/,
    )
    assert.throws(
      compile({ args: [{ index: 9, op: 'SCMP_CMP_EQ', value: 1 }] }),
      /syscalls only have up to 6 arguments \(9 given\)/,
    )
    assert.throws(compile({ action: 'SCMP_ACT_NOTIFY' }), /SCMP_ACT_NOTIFY/)
  })
})

test('a jump out of reach goes the long way round', () => {
  const far = Array.from({ length: 400 }, (_, index) => ({ load: (index % 16) * 4 }))
  const program = assemble([
    { load: 0 },
    { if: 'eq', value: 1, yes: 'one', no: 'other' },
    ...far,
    { label: 'one' },
    { return: 1 },
    ...far,
    { label: 'other' },
    { return: 2 },
  ])
  assert.equal(runFilter(program, { nr: 1, arch: 0 }).result, 1)
  assert.equal(runFilter(program, { nr: 5, arch: 0 }).result, 2)
})
