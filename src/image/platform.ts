/** Platforms: `linux/arm64/v8`. OCI image-spec: image-index.md; names are Go's. */
import * as os from 'node:os'
import { invalid } from '../errors.ts'
import type { Descriptor, Platform } from './types.ts'

/** Other people's names: of Node.js, of uname, of Debian. */
const SYNONYMS: Record<string, [architecture: string, variant?: string]> = {
  x64: ['amd64'],
  x86_64: ['amd64'],
  'x86-64': ['amd64'],
  ia32: ['386'],
  i386: ['386'],
  i686: ['386'],
  aarch64: ['arm64'],
  armhf: ['arm', 'v7'],
  armel: ['arm', 'v6'],
}

export function hostPlatform(): Platform {
  return normalizePlatform({ os: 'linux', architecture: os.arch() })
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
    const isArchitecture = first in SYNONYMS || Object.values(SYNONYMS).some(([name]) => name === first)
    return isArchitecture
      ? normalizePlatform({ os: 'linux', architecture: first })
      : { ...hostPlatform(), os: first }
  }
  return normalizePlatform({ os: first, architecture: second, ...(variant && { variant }) })
}

/** Synonyms resolved, and the variant that a bare name means: `arm64` is `v8`, `arm` is `v7`, `amd64` is `v1`; only arm says so. */
export function normalizePlatform(platform: Platform): Platform {
  const name = platform.architecture.toLowerCase()
  const [architecture, implied] = SYNONYMS[name] ?? [name]
  let variant: string | undefined = (platform.variant || implied)?.toLowerCase()
  if (variant !== undefined && /^\d/.test(variant)) variant = `v${variant}`
  if (architecture === 'arm64' && variant === 'v8') variant = undefined
  if (architecture === 'arm' && variant === undefined) variant = 'v7'
  if (architecture === 'amd64' && variant === 'v1') variant = undefined
  return { os: platform.os.toLowerCase(), architecture, ...(variant && { variant }) }
}

/** `linux/arm/v7` */
export function formatPlatform({ os, architecture, variant }: Platform): string {
  return [os, architecture, variant].filter(Boolean).join('/')
}

/** Whether an image made for `offered` runs where `wanted` does. */
export function matchesPlatform(offered: Platform, wanted: Platform): boolean {
  return rank(acceptable(wanted), offered) >= 0
}

/**
 * The manifest of an index that runs best on `wanted` (containerd's order of preference): the first of equals, one that names no platform
 * where no other fits. Never an attestation.
 */
export function choosePlatform(manifests: readonly Descriptor[], wanted: Platform): Descriptor | undefined {
  const order = acceptable(wanted)
  let best: Descriptor | undefined
  let bestRank = Number.POSITIVE_INFINITY
  for (const entry of manifests) {
    if (!entry.platform || entry.annotations?.['vnd.docker.reference.type']) continue
    const place = rank(order, entry.platform)
    if (place >= 0 && place < bestRank) {
      best = entry
      bestRank = place
    }
  }
  return best ?? manifests.find(({ platform }) => platform === undefined)
}

/** What runs on `wanted`, best first: its own variant, then older ones, then the 32-bit relative. */
function acceptable(wanted: Platform): Platform[] {
  const { os, architecture, variant } = normalizePlatform(wanted)
  const list = (arch: string, variants: (string | undefined)[]): Platform[] =>
    variants.map(v => ({ os, architecture: arch, ...(v && { variant: v }) }))
  const down = (from: number, to: number): string[] =>
    Array.from({ length: Math.max(0, from - to + 1) }, (_, i) => `v${from - i}`)
  const level = Number(variant?.slice(1) ?? Number.NaN)
  if (architecture === 'arm') return list('arm', down(Number.isNaN(level) ? 7 : level, 5))
  if (architecture === 'arm64') {
    const own = Number.isNaN(level) ? [] : [variant]
    return [...list('arm64', [...own, undefined]), ...list('arm', down(8, 5))]
  }
  if (architecture === 'amd64') {
    const own = Number.isNaN(level) ? [] : down(level, 2)
    return [...list('amd64', [...own, undefined]), ...list('386', [undefined])]
  }
  return list(architecture, variant ? [variant, undefined] : [undefined])
}

function rank(order: Platform[], offered: Platform): number {
  const { os, architecture, variant } = normalizePlatform(offered)
  return order.findIndex(p => p.os === os && p.architecture === architecture && p.variant === variant)
}
