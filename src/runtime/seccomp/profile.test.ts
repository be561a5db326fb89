import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SeccompProfile } from '../request.ts'
import { parseProfile, resolveProfile } from './profile.ts'

const host = { arch: 'amd64', kernel: [6, 1] } as const
const resolve = (profile: Partial<SeccompProfile>, capabilities: string[] = []) =>
  resolveProfile({ defaultAction: 'SCMP_ACT_ERRNO', syscalls: [], ...profile }, capabilities, {
    arch: host.arch,
    kernel: [...host.kernel],
  })

test('architectures come from the map’s entry for this machine', () => {
  const archMap = [
    { architecture: 'SCMP_ARCH_AARCH64', subArchitectures: ['SCMP_ARCH_ARM'] },
    { architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86'] },
  ]
  assert.deepEqual(resolve({ archMap })?.architectures, ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86'])
  assert.deepEqual(resolve({ architectures: ['SCMP_ARCH_X86'] })?.architectures, ['SCMP_ARCH_X86'])
})

test('a rule applies where every condition holds', () => {
  const names = (conditions: object, capabilities: string[] = []): number =>
    resolve({ syscalls: [{ names: ['x'], action: 'SCMP_ACT_ALLOW', ...conditions }] }, capabilities)!
      .syscalls!.length
  assert.equal(names({}), 1)
  assert.equal(names({ includes: { caps: ['CAP_A', 'CAP_B'] } }, ['CAP_A']), 0)
  assert.equal(names({ includes: { caps: ['CAP_A', 'CAP_B'] } }, ['CAP_A', 'CAP_B']), 1)
  assert.equal(names({ excludes: { caps: ['CAP_A', 'CAP_B'] } }, ['CAP_A']), 0)
  assert.equal(names({ includes: { arches: ['arm64', 'amd64'] } }), 1)
  assert.equal(names({ includes: { arches: ['arm64'] } }), 0)
  assert.equal(names({ excludes: { arches: ['amd64'] } }), 0)
  assert.equal(names({ includes: { minKernel: '6.1' } }), 1)
  assert.equal(names({ includes: { minKernel: '6.2' } }), 0)
  assert.equal(names({ excludes: { minKernel: '4.8' } }), 0)
})

test('both spellings of a rule’s names', () => {
  assert.deepEqual(
    resolve({
      syscalls: [{ name: 'mkdir', action: 'SCMP_ACT_ALLOW', errnoRet: 3, args: [], comment: 'why' }],
    })?.syscalls,
    [{ names: ['mkdir'], action: 'SCMP_ACT_ALLOW', errnoRet: 3 }],
  )
})

test('what contradicts itself is refused in Docker’s words', () => {
  assert.throws(
    () => resolve({ syscalls: [{ name: 'mkdir', names: ['chmod'], action: 'SCMP_ACT_ERRNO' }] }),
    { message: "both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'" },
  )
  assert.throws(
    () =>
      resolve({
        architectures: ['SCMP_ARCH_X86'],
        archMap: [{ architecture: 'SCMP_ARCH_X86_64', subArchitectures: [] }],
      }),
    {
      message:
        "both 'architectures' and 'archMap' are specified in the seccomp profile, use either 'architectures' or 'archMap'",
    },
  )
  assert.throws(() => parseProfile('{'), /^GantryError: Decoding seccomp profile failed: /)
  assert.throws(() => parseProfile('3'), /Decoding seccomp profile failed/)
})

test('an empty profile confines nothing', () => {
  assert.equal(resolveProfile(parseProfile('{}'), [], { arch: 'amd64', kernel: [6, 1] }), undefined)
})
