/** Ways to start a container, each said twice: as flags of the docker client, and as a request to the runtime. */
import type { RuntimeRequest } from '../../src/runtime/index.ts'

export interface Case {
  name: string
  flags: string[]
  /** Also try every system call. */
  syscalls?: boolean
  request: Partial<Omit<RuntimeRequest, 'process'>> & { process?: Partial<RuntimeRequest['process']> }
}

const MiB = 1024 * 1024

/** Without network, unless the case says otherwise. */
export const cases: Case[] = [
  { name: 'default', syscalls: true, flags: [], request: {} },
  {
    name: 'user',
    syscalls: true,
    flags: ['-u', '1000:50', '--group-add', '77'],
    request: { process: { user: { uid: 1000, gid: 50, additionalGids: [50, 77] } } },
  },
  { name: 'privileged', flags: ['--privileged'], request: { privileged: true } },
  { name: 'tty', flags: ['-t'], request: { process: { tty: true } } },
  {
    name: 'capabilities',
    syscalls: true,
    flags: ['--cap-add', 'SYS_ADMIN', '--cap-add', 'syslog', '--cap-drop', 'MKNOD'],
    request: { process: { capAdd: ['syslog', 'SYS_ADMIN'], capDrop: ['MKNOD'] } },
  },
  {
    name: 'all-capabilities',
    flags: ['--cap-add', 'ALL', '--cap-drop', 'CHOWN'],
    request: { process: { capAdd: ['ALL'], capDrop: ['CHOWN'] } },
  },
  {
    name: 'no-capabilities',
    syscalls: true,
    flags: ['--cap-drop', 'ALL', '--cap-add', 'CHOWN'],
    request: { process: { capAdd: ['CHOWN'], capDrop: ['ALL'] } },
  },
  { name: 'read-only', flags: ['--read-only'], request: { readonlyRootfs: true } },
  {
    name: 'no-new-privileges',
    syscalls: true,
    flags: ['--security-opt', 'no-new-privileges', '--security-opt', 'seccomp=unconfined'],
    request: { seccomp: 'unconfined', process: { noNewPrivileges: true } },
  },
  {
    name: 'system-paths',
    flags: ['--security-opt', 'systempaths=unconfined', '--ipc', 'none'],
    request: { maskedPaths: [], readonlyPaths: [], namespaces: { ipc: 'none' } },
  },
  {
    name: 'host-namespaces',
    flags: ['--pid', 'host', '--ipc', 'host', '--uts', 'host', '--network', 'host'],
    request: { namespaces: { pid: 'host', ipc: 'host', uts: 'host', network: 'host' } },
  },
  {
    name: 'private-cgroup',
    flags: ['--cgroupns', 'private'],
    request: { namespaces: { cgroup: 'private' } },
  },
  {
    name: 'limits',
    flags: [
      ...['-m', '100m', '--memory-swap', '200m', '--memory-reservation', '50m', '--memory-swappiness', '10'],
      ...['--cpus', '0.5', '-c', '512', '--cpuset-cpus', '0', '--pids-limit', '50'],
      ...['--ulimit', 'nofile=100:200', '--oom-score-adj', '100', '--shm-size', '10m'],
      ...['--sysctl', 'net.ipv4.ip_forward=1'],
    ],
    request: {
      resources: {
        memory: {
          limit: 100 * MiB,
          swap: 200 * MiB,
          reservation: 50 * MiB,
          swappiness: 10,
          disableOOMKiller: false,
        },
        cpu: { shares: 512, quota: 50_000, period: 100_000, cpus: '0' },
        pids: { limit: 50 },
        blockIO: {},
      },
      shmSize: 10 * MiB,
      sysctls: { 'net.ipv4.ip_forward': '1' },
      process: { rlimits: [{ type: 'RLIMIT_NOFILE', soft: 100, hard: 200 }], oomScoreAdj: 100 },
    },
  },
  {
    name: 'device',
    flags: ['--device', '/dev/fuse:/dev/xfuse:rw', '--device-cgroup-rule', 'c 10:183 rwm'],
    request: {
      devices: [{ path: '/dev/xfuse', type: 'c', major: 10, minor: 229, fileMode: 0o600, uid: 0, gid: 0 }],
      deviceRules: [
        { allow: true, type: 'c', major: 10, minor: 229, access: 'rw' },
        { allow: true, type: 'c', major: 10, minor: 183, access: 'rwm' },
      ],
    },
  },
  {
    name: 'tmpfs',
    flags: ['--tmpfs', '/t:size=1m,mode=700,exec', '--tmpfs', '/home', '--tmpfs', '/t2/deep'],
    request: {
      mounts: [
        { type: 'tmpfs', destination: '/home' },
        { type: 'tmpfs', destination: '/t', options: ['size=1m', 'mode=700', 'exec'] },
        { type: 'tmpfs', destination: '/t2/deep' },
      ],
    },
  },
]
