/** Which manifest of an index runs here (OCI image-index.md; containerd's order of preference). */
import type { Descriptor, Index, Platform } from '../image/types.ts'
import { isManifestType } from './manifests.ts'

const SYNONYMS: Record<string, [architecture: string, variant?: string]> = {
  x86_64: ['amd64'],
  'x86-64': ['amd64'],
  i386: ['386'],
  i686: ['386'],
  aarch64: ['arm64'],
  armhf: ['arm', 'v7'],
  armel: ['arm', 'v6'],
}

/** Synonyms resolved, and the variant that a bare name means: `arm64` is `v8`, `arm` is `v7`, `amd64` is `v1` and says so never. */
export function normalizePlatform(platform: Platform): Platform {
  const [architecture, implied] = SYNONYMS[platform.architecture.toLowerCase()] ?? [
    platform.architecture.toLowerCase(),
  ]
  let variant: string | undefined = (platform.variant || implied)?.toLowerCase()
  if (variant !== undefined && /^\d/.test(variant)) variant = `v${variant}`
  if (architecture === 'arm64' && variant === 'v8') variant = undefined
  if (architecture === 'arm' && variant === undefined) variant = 'v7'
  if (architecture === 'amd64' && variant === 'v1') variant = undefined
  return { os: platform.os.toLowerCase(), architecture, ...(variant && { variant }) }
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

/** Whether an image for `offered` runs on `wanted`. */
export function platformMatches(wanted: Platform, offered: Platform): boolean {
  return rank(acceptable(wanted), offered) >= 0
}

function rank(order: Platform[], offered: Platform): number {
  const { os, architecture, variant } = normalizePlatform(offered)
  return order.findIndex(p => p.os === os && p.architecture === architecture && p.variant === variant)
}

/** The manifest of `index` that runs best on `wanted`; the first of equals, one that names no platform where no other fits. */
export function chooseManifest(index: Index, wanted: Platform): Descriptor | undefined {
  const order = acceptable(wanted)
  let best: Descriptor | undefined
  let bestRank = Number.POSITIVE_INFINITY
  for (const entry of index.manifests) {
    if (!entry.platform || entry.annotations?.['vnd.docker.reference.type']) continue
    const place = rank(order, entry.platform)
    if (place >= 0 && place < bestRank) {
      best = entry
      bestRank = place
    }
  }
  return best ?? index.manifests.find(entry => !entry.platform && isManifestType(entry.mediaType))
}
