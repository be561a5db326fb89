/** What the runtime has to know of this machine. Read once: none of it changes while a kernel runs. */
import * as fs from 'node:fs'
import { kernelVersion } from '../linux/index.ts'
import { detectCgroups } from './cgroup/layout.ts'
import type { SeccompArch } from './seccomp/architectures.ts'

export interface HostFacts {
  arch: SeccompArch
  /** [major, minor] of the kernel. */
  kernel: [number, number]
  cgroupVersion: 1 | 2
  /** `/sys/devices/system/cpu/cpuN/thermal_throttle`, which Docker masks where it exists. */
  thermalThrottlePaths: string[]
}

let facts: HostFacts | undefined

export function hostFacts(): HostFacts {
  facts ??= {
    arch: nativeArch(),
    kernel: kernelVersion(),
    cgroupVersion: detectCgroups().version,
    thermalThrottlePaths: thermalThrottlePaths(),
  }
  return facts
}

function nativeArch(): SeccompArch {
  if (process.arch === 'x64') return 'amd64'
  if (process.arch === 'arm64') return 'arm64'
  throw new Error(`gantry does not run on ${process.arch}`)
}

function thermalThrottlePaths(): string[] {
  const root = '/sys/devices/system/cpu'
  try {
    return fs
      .readdirSync(root)
      .filter(name => /^cpu\d+$/.test(name))
      .map(name => `${root}/${name}/thermal_throttle`)
      .filter(file => fs.existsSync(file))
  } catch {
    return []
  }
}
