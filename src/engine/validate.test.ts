import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ContainerConfig, HostSpec, RestartPolicy } from './types.ts'
import { checkPolicy, checkPorts, validateSpec } from './validate.ts'

const check = (host: HostSpec, config: Partial<ContainerConfig> = {}) =>
  validateSpec({ config: { image: 'i', ...config }, host }, ['runc'])

describe('hosts’ settings that are refused', () => {
  for (const [host, message] of [
    [{ networkMode: 'container:' }, 'invalid network mode: invalid container format container:<name|id>'],
    [{ ipcMode: 'odd' }, 'invalid IPC mode: odd'],
    [{ pidMode: 'odd' }, 'invalid PID mode: odd'],
    [{ utsMode: 'odd' }, 'invalid UTS mode: odd'],
    [{ cgroupnsMode: 'odd' }, 'invalid cgroup namespace mode: odd'],
    [{ isolation: 'odd' }, "invalid isolation (odd): linux only supports 'default'"],
    [{ shmSize: -1 }, 'SHM size can not be less than 0'],
    [{ oomScoreAdj: 1001 }, 'Invalid value 1001, range for oom score adj is [-1000, 1000]'],
    [{ oomScoreAdj: -1001 }, 'Invalid value -1001, range for oom score adj is [-1000, 1000]'],
    [{ runtime: 'odd' }, 'unknown or invalid runtime name: odd'],
    [{ storageOpt: { odd: '1' } }, 'Unknown option odd'],
    [
      { storageOpt: { size: '1G' } },
      "--storage-opt is supported only for overlay over xfs with 'pquota' mount option",
    ],
    [{ extraHosts: ['odd'] }, 'bad format for add-host: "odd"'],
    [
      { deviceRequests: [{ driver: '', count: -1, capabilities: [['gpu']], deviceIds: [], options: {} }] },
      'could not select device driver "" with capabilities: [[gpu]]',
    ],
    [
      { autoRemove: true, restartPolicy: { name: 'always', maximumRetryCount: 0 } },
      "can't create 'AutoRemove' container with restart policy",
    ],
    [
      { networkMode: 'container:x', extraHosts: ['a:1.2.3.4'] },
      'conflicting options: custom host-to-IP mapping and the network mode',
    ],
    [{ networkMode: 'container:x', dns: ['1.1.1.1'] }, 'conflicting options: dns and the network mode'],
    [
      { networkMode: 'container:x', publishAllPorts: true },
      'conflicting options: port publishing and the container type network mode',
    ],
    [
      { networkMode: 'host', links: ['a:b'] },
      "conflicting options: host type networking can't be used with links. This would result in undefined behavior",
    ],
  ] as [HostSpec, string][]) {
    test(JSON.stringify(host), () => assert.throws(() => check(host), { message }))
  }
})

describe('containers’ settings that are refused', () => {
  for (const [config, host, message] of [
    [{ workingDir: 'a/b' }, {}, "the working directory 'a/b' is invalid, it needs to be an absolute path"],
    [{ env: ['=a'] }, {}, 'invalid environment variable: =a'],
    [{ env: [''] }, {}, 'invalid environment variable: '],
    [{ hostname: 'h' }, { utsMode: 'host' }, 'conflicting options: hostname and the UTS mode'],
    [{ hostname: 'h' }, { networkMode: 'container:x' }, 'conflicting options: hostname and the network mode'],
    [
      { exposedPorts: ['80/tcp'] },
      { networkMode: 'container:x' },
      'conflicting options: port exposing and the container type network mode',
    ],
    [{ healthcheck: { interval: 1 } }, {}, 'Interval in Healthcheck cannot be less than 1ms'],
    [{ healthcheck: { timeout: -1 } }, {}, 'Timeout in Healthcheck cannot be less than 1ms'],
    [{ healthcheck: { startPeriod: 5 } }, {}, 'StartPeriod in Healthcheck cannot be less than 1ms'],
    [{ healthcheck: { retries: -1 } }, {}, 'Retries in Healthcheck cannot be negative'],
  ] as [Partial<ContainerConfig>, HostSpec, string][]) {
    test(JSON.stringify({ ...config, ...host }), () => assert.throws(() => check(host, config), { message }))
  }
})

describe('restart policies', () => {
  for (const [name, maximumRetryCount, message] of [
    ['on-failure', 3, undefined],
    ['always', 0, undefined],
    ['', 0, undefined],
    ['odd', 0, "unknown policy 'odd'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"],
    ['always', 3, "maximum retry count can only be used with 'on-failure'"],
    ['no', -1, "maximum retry count can only be used with 'on-failure' and cannot be negative"],
    ['on-failure', -1, 'maximum retry count cannot be negative'],
  ] as const) {
    test(`${name}:${maximumRetryCount}`, () => {
      const work = () => checkPolicy({ name, maximumRetryCount } as RestartPolicy)
      if (message === undefined) assert.doesNotThrow(work)
      else assert.throws(work, { message: `invalid restart policy: ${message}` })
    })
  }
})

describe('ports', () => {
  const ports = (port: string, hostPort: string): HostSpec => ({
    portBindings: { [port]: [{ hostIp: '', hostPort }] },
  })
  for (const [port, hostPort, bad] of [
    ['80/tcp', '', undefined],
    ['80/udp', '8080-8090', undefined],
    ['65535/tcp', '65535', undefined],
    ['65536/tcp', '', '65536/tcp'],
    ['odd/tcp', '', 'odd/tcp'],
    ['80/tcp', 'odd', 'odd'],
    ['80/tcp', '70000', '70000'],
    ['80/tcp', '1-2-3', '1-2-3'],
  ] as const) {
    test(`${hostPort}:${port}`, () => {
      const work = () => checkPorts(ports(port, hostPort))
      if (bad === undefined) assert.doesNotThrow(work)
      else assert.throws(work, { message: `invalid port specification: ${JSON.stringify(bad)}` })
    })
  }
})

test('what is fine may cost a warning', () => {
  assert.deepEqual(check({}), [])
  assert.deepEqual(check({ mounts: [{ type: 'image', source: 'i', target: '/x' }] }), [
    'Image mount is an experimental feature',
  ])
  const published = { portBindings: { '80/tcp': [{ hostIp: '', hostPort: '80' }] } }
  assert.deepEqual(check({ networkMode: 'host', ...published }), [
    'Published ports are discarded when using host network mode',
  ])
})
