/** Platforms: `linux/arm64/v8`. OCI image-spec: image-index.md; names are Go's. */
import * as os from 'node:os'
import { invalid } from '../errors.ts'
import type { Descriptor, Platform } from './types.ts'

const ARCHITECTURES: Record<string, string> = {
  x64: 'amd64',
  ia32: '386',
  x86_64: 'amd64',
  'x86-64': 'amd64',
  aarch64: 'arm64',
  i386: '386',
  armhf: 'arm',
  armel: 'arm',
}

export function hostPlatform(): Platform {
  const architecture = ARCHITECTURES[os.arch()] ?? os.arch()
  return { os: 'linux', architecture, ...(architecture === 'arm' && { variant: 'v7' }) }
}

/**
 * `os/architecture[/variant]`, or one of its parts.
 * @throws GantryError `invalid`
 */
export function parsePlatform(text: string): Platform {
  const parts = text.toLowerCase().split('/')
  if (parts.length > 3 || parts.some(part => !/^[a-z0-9_.-]+$/.test(part))) {
    throw invalid(
      `"${text}" is an invalid component of "${text}": platform specifier component must match "^[A-Za-z0-9_.-]+$"`,
    )
  }
  const [first, second, variant] = parts as [string, string?, string?]
  if (second === undefined) {
    const isArchitecture = Object.values(ARCHITECTURES).includes(first) || first in ARCHITECTURES
    return isArchitecture ? { os: 'linux', ...normalize(first) } : { ...hostPlatform(), os: first }
  }
  return { os: first, ...normalize(second, variant) }
}

function normalize(name: string, variant?: string): { architecture: string; variant?: string } {
  const architecture = ARCHITECTURES[name] ?? name
  if (architecture === 'arm64' && (variant === undefined || variant === 'v8' || variant === '8')) {
    return { architecture }
  }
  if (architecture === 'arm' && variant === undefined) return { architecture, variant: 'v7' }
  return { architecture, ...(variant === undefined ? {} : { variant }) }
}

/** `linux/arm/v7` */
export function formatPlatform({ os, architecture, variant }: Platform): string {
  return [os, architecture, variant].filter(Boolean).join('/')
}

/** Whether an image made for `offered` runs where `wanted` does. An older ARM variant does. */
export function matchesPlatform(offered: Platform, wanted: Platform): boolean {
  if (offered.os !== wanted.os || offered.architecture !== wanted.architecture) return false
  if (offered.architecture === 'arm') return armVersion(offered) <= armVersion(wanted)
  if (offered.architecture === 'arm64') return (offered.variant ?? 'v8') === (wanted.variant ?? 'v8')
  return wanted.variant === undefined || offered.variant === wanted.variant
}

function armVersion({ variant = 'v7' }: Platform): number {
  return Number(variant.replace('v', ''))
}

/** The best of an index for `wanted`; one without a platform is taken where nothing else fits. */
export function choosePlatform(manifests: readonly Descriptor[], wanted: Platform): Descriptor | undefined {
  const fitting = manifests.filter(({ platform }) => platform && matchesPlatform(platform, wanted))
  fitting.sort((a, b) => armVersion(b.platform!) - armVersion(a.platform!))
  return fitting[0] ?? manifests.find(({ platform }) => platform === undefined)
}
