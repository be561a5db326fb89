/** What a process is (limits, user, capabilities, filter, program), as operations: the same for a container and an exec. */

import { invalid } from '../errors.ts'
import { capabilityMask } from './capabilities.ts'
import type { HostFacts } from './host.ts'
import type { Op } from './plan.ts'
import { compileSeccomp } from './seccomp/compile.ts'
import type { ProcessSpec, SeccompSpec } from './spec.ts'

/** Numbers of setrlimit(2), the same on every architecture that Gantry runs on. */
const RLIMITS = [
  'CPU',
  'FSIZE',
  'DATA',
  'STACK',
  'CORE',
  'RSS',
  'NPROC',
  'NOFILE',
  'MEMLOCK',
  'AS',
  'LOCKS',
  'SIGPENDING',
  'MSGQUEUE',
  'NICE',
  'RTPRIO',
  'RTTIME',
]

const SIGKILL = 9
const UNLIMITED = 2n ** 64n - 1n

/** From limits to `exec`, to be run inside the container's root. */
export function processOps(process: ProcessSpec, seccomp: SeccompSpec | undefined, host: HostFacts): Op[] {
  const { user, capabilities = {} } = process
  const filter = seccomp && compileSeccomp(seccomp, host.arch)
  const permitted = capabilityMask(capabilities.permitted)
  return [
    ...rlimitOps(process),
    { op: 'bounding', capabilities: capabilityMask(capabilities.bounding) },
    { op: 'user', uid: user.uid, gid: user.gid, groups: user.additionalGids ?? [] },
    { op: 'umask', mask: user.umask ?? 0o022 },
    { op: 'workingFolder', path: process.cwd },
    { op: 'program', argv: process.args, env: process.env },
    ...(process.noNewPrivileges ? [{ op: 'noNewPrivileges' } as const] : []),
    // Loading a filter takes CAP_SYS_ADMIN, so it comes before the capabilities go.
    ...(filter ? [{ op: 'seccomp', flags: filter.flags, filter: filter.program } as const] : []),
    {
      op: 'capabilities',
      // Without root's uid, execve(2) would clear them anyway: what a user gets is what its ambient set holds.
      effective: capabilityMask(capabilities.effective) & permitted,
      permitted,
      inheritable: capabilityMask(capabilities.inheritable),
      ambient: capabilityMask(capabilities.ambient),
    },
    { op: 'parentDeath', signal: SIGKILL },
    { op: 'ready' },
    { op: 'exec' },
  ]
}

function rlimitOps({ rlimits = [] }: ProcessSpec): Op[] {
  return rlimits.map(({ type, soft, hard }): Op => {
    const resource = RLIMITS.indexOf(type.replace(/^RLIMIT_/, ''))
    if (resource < 0) throw invalid(`invalid ulimit type: ${type}`)
    return { op: 'rlimit', resource, soft: limit(soft), hard: limit(hard) }
  })
}

const limit = (value: number): number | bigint => (value < 0 ? UNLIMITED : value)

/** How eagerly the kernel kills this process for memory. Written to the host's /proc, before the root is entered. */
export function oomScoreOps({ oomScoreAdj }: ProcessSpec): Op[] {
  if (oomScoreAdj === undefined) return []
  return [{ op: 'writeFile', path: '/proc/self/oom_score_adj', data: String(oomScoreAdj) }]
}
