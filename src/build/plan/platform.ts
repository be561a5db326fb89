/** Platforms as people write them (`linux/arm64/v8`, `arm`, `amd64`) and the variables that a build has for them. */
import { invalid } from '../../errors.ts'
import type { Platform } from '../../image/types.ts'

const NODE_ARCHITECTURES: Record<string, string> = { x64: 'amd64', arm64: 'arm64', arm: 'arm', ia32: '386' }

/** The platform that steps run on without emulation. */
export const hostPlatform: Platform = {
  os: 'linux',
  architecture: NODE_ARCHITECTURES[process.arch] ?? process.arch,
}

const ALIASES: Record<string, [architecture: string, variant?: string]> = {
  x86_64: ['amd64'],
  'x86-64': ['amd64'],
  aarch64: ['arm64'],
  arm64: ['arm64'],
  armhf: ['arm', 'v7'],
  armel: ['arm', 'v6'],
  i386: ['386'],
}
const KNOWN = new Set(
  'amd64 arm64 arm 386 ppc64le s390x riscv64 mips64le mips64 mips mipsle ppc64 loong64 wasm'.split(' '),
)
const SYSTEMS = new Set(['linux', 'windows', 'darwin', 'freebsd', 'wasi', 'js'])

export function parsePlatform(text: string): Platform {
  const parts = text.toLowerCase().split('/')
  if (parts.length > 3 || parts.some(part => !/^[\w.-]+$/.test(part))) {
    throw invalid(`"${text}": cannot parse platform specifier: invalid argument`)
  }
  if (parts.length === 1) {
    const [only = ''] = parts
    if (SYSTEMS.has(only)) return { ...hostPlatform, os: only }
    const { architecture, variant } = normal(only, undefined)
    if (!KNOWN.has(architecture)) {
      throw invalid(`"${text}": unknown operating system or architecture: invalid argument`)
    }
    return { os: 'linux', architecture, ...(variant && { variant }) }
  }
  const [os = '', architecture = '', variant] = parts
  return { os, ...normal(architecture, variant) }
}

function normal(written: string, given: string | undefined): { architecture: string; variant?: string } {
  const [architecture, implied] = ALIASES[written] ?? [written]
  const variant = given ?? implied
  const usual =
    (architecture === 'arm64' && variant === 'v8') || (architecture === 'amd64' && variant === 'v1')
  if (architecture === 'arm') return { architecture, variant: variant ?? 'v7' }
  return { architecture, ...(variant && !usual && { variant }) }
}

export function formatPlatform(platform: Platform): string {
  return [platform.os, platform.architecture, platform.variant].filter(Boolean).join('/')
}

/** `BUILDPLATFORM`, `TARGETARCH` and the like. */
export function platformArgs(build: Platform, target: Platform, stage: string): Record<string, string> {
  const of = (prefix: string, platform: Platform) => ({
    [`${prefix}PLATFORM`]: formatPlatform(platform),
    [`${prefix}OS`]: platform.os,
    [`${prefix}OSVERSION`]: platform['os.version'] ?? '',
    [`${prefix}ARCH`]: platform.architecture,
    [`${prefix}VARIANT`]: platform.variant ?? '',
  })
  return { ...of('BUILD', build), ...of('TARGET', target), TARGETSTAGE: stage || 'default' }
}
