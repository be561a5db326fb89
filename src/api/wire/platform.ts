/** `os/arch/variant` and its JSON form. */
import { invalid } from '../../errors.ts'
import type { Platform } from '../../image/types.ts'

/** Names that people use for Go's architectures. */
const architectures: Record<string, [architecture: string, variant?: string]> = {
  x86_64: ['amd64'],
  'x86-64': ['amd64'],
  aarch64: ['arm64'],
  armhf: ['arm', 'v7'],
  armel: ['arm', 'v6'],
  i386: ['386'],
}
const systems = ['linux', 'windows', 'darwin', 'freebsd', 'wasi']

/** undefined for nothing. Raises `invalid` for what is no platform. */
export function parsePlatform(text: string | undefined): Platform | undefined {
  if (!text) return undefined
  if (text.startsWith('{')) {
    try {
      return JSON.parse(text) as Platform
    } catch {
      throw invalid(`failed to parse platform ${JSON.stringify(text)}`)
    }
  }
  const parts = text.toLowerCase().split('/')
  if (parts.length > 3 || !parts.every(part => /^[a-z0-9_.-]+$/.test(part))) {
    throw invalid(`${JSON.stringify(text)}: invalid platform format`)
  }
  const [first = '', second, variant] = parts
  const alone = second === undefined
  if (
    alone &&
    !systems.includes(first) &&
    !architectures[first] &&
    !/^(amd64|arm64|arm|386|riscv64|ppc64le|s390x)$/.test(first)
  ) {
    throw invalid(`${JSON.stringify(text)}: unknown operating system or architecture: invalid argument`)
  }
  const os = alone && !systems.includes(first) ? 'linux' : first
  const given = alone ? (systems.includes(first) ? hostArchitecture : first) : second!
  const [architecture, usual] = architectures[given] ?? [given]
  const chosen = variant ?? usual
  return { os, architecture, ...(chosen && { variant: chosen }) }
}

const hostArchitecture = process.arch === 'x64' ? 'amd64' : process.arch
