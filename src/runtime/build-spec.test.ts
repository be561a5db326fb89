import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import { describe, test } from 'node:test'
import { cases } from '../../test/isolation/cases.ts'
import { buildSpec } from './build-spec.ts'
import { allCapabilities } from './capabilities.ts'
import { effectiveDevices } from './cgroup/device-rules.ts'
import type { HostFacts } from './host.ts'
import type { RuntimeRequest } from './request.ts'
import type { MountEntry, RuntimeSpec, SeccompSpec } from './spec.ts'

/** The machine that the recordings were made on. */
const host: HostFacts = { arch: 'amd64', kernel: [6, 18], cgroupVersion: 1, thermalThrottlePaths: [] }
const id = '<id>'

function recordedSpec(name: string): RuntimeSpec {
  const file = new URL(`../../test/recordings/isolation/${name}.json`, import.meta.url)
  return JSON.parse(fs.readFileSync(file, 'utf8')).spec
}

function request(given: (typeof cases)[number]['request']): RuntimeRequest {
  return {
    id,
    hostname: '<short-id>',
    cgroupPath: `/<parent>/${id}`,
    resources: { memory: { disableOOMKiller: false }, blockIO: {} },
    ...given,
    process: { argv: ['true'], env: [], ...given.process },
  }
}

/** A form in which two specs that mean the same are equal. */
function comparable(spec: RuntimeSpec): unknown {
  const { devices, seccomp, resources, maskedPaths, readonlyPaths, sysctl, ...linux } = spec.linux
  // Docker takes what --tmpfs says in any order.
  const isUsers = (mount: MountEntry): boolean =>
    mount.type === 'tmpfs' && !mount.destination.startsWith('/dev')
  const users = spec.mounts.filter(isUsers).sort((a, b) => a.destination.localeCompare(b.destination))
  return {
    ...spec,
    mounts: [...spec.mounts.filter(mount => !isUsers(mount)), ...users],
    linux: {
      ...linux,
      // A privileged container has whatever the machine has.
      devices: devices?.filter(
        device => !devices.some(other => other.path === '/dev/null') || device.path === '/dev/null',
      ),
      sysctl: sysctl ?? {},
      maskedPaths: maskedPaths ?? [],
      readonlyPaths: readonlyPaths ?? [],
      resources: { ...resources, devices: effectiveDevices(resources?.devices ?? []) },
      seccomp: seccomp && comparableSeccomp(seccomp),
      namespaces: linux.namespaces.map(entry => entry.type).sort(),
    },
  }
}

/** Names by what happens to them: their order, and how often one stands there, mean nothing. */
function comparableSeccomp({ syscalls, ...rest }: SeccompSpec): unknown {
  const byVerdict = new Map<string, Set<string>>()
  for (const { names, ...verdict } of syscalls ?? []) {
    const key = JSON.stringify(verdict, Object.keys({ ...verdict, index: 0, value: 0, op: '' }).sort())
    byVerdict.set(key, new Set([...(byVerdict.get(key) ?? []), ...names]))
  }
  return { ...rest, syscalls: [...byVerdict].map(([key, names]) => [key, [...names].sort()]).sort() }
}

describe('a spec is what Docker writes for', () => {
  for (const { name, request: given } of cases) {
    test(name, context => {
      const expected = recordedSpec(name)
      const recordedAll = recordedSpec('privileged').process.capabilities!.bounding!
      const own = allCapabilities()
      if (expected.process.capabilities!.bounding!.length > 30 && own.length !== recordedAll.length) {
        return context.skip('this process has other capabilities than the recorded one')
      }
      const actual = buildSpec(request(given), host)
      assert.deepEqual(
        JSON.parse(JSON.stringify(comparable(actual))),
        JSON.parse(JSON.stringify(comparable(expected))),
      )
    })
  }
})

test('a user mount on /dev takes the place of all that Docker mounts there', () => {
  const spec = buildSpec(request({ mounts: [{ type: 'bind', source: '/dev', destination: '/dev' }] }), host)
  const below = spec.mounts.filter(mount => mount.destination.startsWith('/dev'))
  assert.deepEqual(below, [
    { destination: '/dev', type: 'bind', source: '/dev', options: ['rbind', 'rprivate'] },
  ])
})

test('read-only binds are recursive unless told', () => {
  const options = (more: object) =>
    buildSpec(
      request({ mounts: [{ type: 'bind', source: '/s', destination: '/d', ...more }] }),
      host,
    ).mounts.at(-1)!.options
  assert.deepEqual(options({}), ['rbind', 'rprivate'])
  assert.deepEqual(options({ readonly: true }), ['rbind', 'rro', 'rprivate'])
  assert.deepEqual(options({ readonly: true, readonlyRecursive: 'no' }), ['rbind', 'ro', 'rprivate'])
  assert.deepEqual(options({ recursive: false, propagation: 'rslave' }), ['bind', 'rslave'])
})

test('sharing mounts with the host makes the root share', () => {
  const root = (propagation: 'rshared' | 'slave' | 'private') =>
    buildSpec(request({ mounts: [{ type: 'bind', source: '/s', destination: '/d', propagation }] }), host)
      .linux.rootfsPropagation
  assert.equal(root('rshared'), 'shared')
  assert.equal(root('slave'), 'rslave')
  assert.equal(root('private'), undefined)
})

test('cgroup v2 gets a private cgroup namespace', () => {
  const types = buildSpec(request({}), { ...host, cgroupVersion: 2 }).linux.namespaces.map(
    entry => entry.type,
  )
  assert.ok(types.includes('cgroup'))
})

test('a joined namespace is named by its path, also when it is an open fd', () => {
  const { namespaces } = buildSpec(
    request({ namespaces: { network: { fd: 7 }, pid: { path: '/proc/9/ns/pid' } } }),
    host,
  ).linux
  assert.equal(namespaces.find(entry => entry.type === 'network')?.path, `/proc/${process.pid}/fd/7`)
  assert.equal(namespaces.find(entry => entry.type === 'pid')?.path, '/proc/9/ns/pid')
})
