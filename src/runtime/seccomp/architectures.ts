/** The processor architectures that seccomp filters are made for. Source: linux/audit.h, seccomp(2). */
import { syscallTables } from './syscalls.generated.ts'

/** A system call table: GOARCH's name, as Docker's profiles use it. */
export type SeccompArch = keyof typeof syscallTables

export interface ArchFacts {
  /** Its name in OCI and Docker profiles. */
  scmp: string
  /** `AUDIT_ARCH_…` as `seccomp_data.arch` holds it. x32 shares amd64's. */
  audit: number
  /** Arguments are 32 bits wide: only the low half is compared. */
  narrow: boolean
}

export const archFacts: Record<SeccompArch, ArchFacts> = {
  amd64: { scmp: 'SCMP_ARCH_X86_64', audit: 0xc000003e, narrow: false },
  x32: { scmp: 'SCMP_ARCH_X32', audit: 0xc000003e, narrow: true },
  x86: { scmp: 'SCMP_ARCH_X86', audit: 0x40000003, narrow: true },
  arm64: { scmp: 'SCMP_ARCH_AARCH64', audit: 0xc00000b7, narrow: false },
  arm: { scmp: 'SCMP_ARCH_ARM', audit: 0x40000028, narrow: true },
}

/** Set in every x32 system call number. */
export const X32_BIT = 0x40000000

/** The architecture of an OCI name; `undefined` for one that no filter here is made for. */
export function archOf(scmp: string): SeccompArch | undefined {
  return (Object.keys(archFacts) as SeccompArch[]).find(arch => archFacts[arch].scmp === scmp)
}

const parsed = new Map<SeccompArch, Map<string, number>>()

/** System call numbers by name. */
export function syscallNumbers(arch: SeccompArch): Map<string, number> {
  let table = parsed.get(arch)
  if (!table) {
    const words = syscallTables[arch].trim().split(/\s+/)
    table = new Map()
    for (let i = 0; i < words.length; i += 2) table.set(words[i]!, Number(words[i + 1]))
    parsed.set(arch, table)
  }
  return table
}
