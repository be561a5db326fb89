/**
 * Seccomp profiles in Docker's format: the built-in one and those of `--security-opt seccomp=profile.json`, and how their
 * conditions (capabilities, architecture, kernel) are settled for one container.
 */
import { invalid, messageOf } from '../../errors.ts'
import type { HostFacts } from '../host.ts'
import type { ProfileCondition, ProfileRule, SeccompProfile } from '../request.ts'
import type { SeccompRule, SeccompSpec } from '../spec.ts'
import { archFacts } from './architectures.ts'
import { defaultProfile } from './default-profile.ts'

type Facts = Pick<HostFacts, 'arch' | 'kernel'>

/** A profile as JSON text. Throws Docker's errors for what is not one. */
export function parseProfile(json: string): SeccompProfile {
  let profile: SeccompProfile
  try {
    profile = JSON.parse(json)
  } catch (error) {
    throw invalid(`Decoding seccomp profile failed: ${messageOf(error)}`)
  }
  if (typeof profile !== 'object' || profile === null)
    throw invalid('Decoding seccomp profile failed: not an object')
  return profile
}

/**
 * Settle a profile for a container with these capabilities (names of its bounding set). A profile without a default
 * action confines nothing, as in Docker: `undefined`.
 */
export function resolveProfile(
  profile: SeccompProfile,
  capabilities: readonly string[],
  host: Facts,
): SeccompSpec | undefined {
  if (profile.architectures?.length && profile.archMap?.length) {
    throw invalid(
      "both 'architectures' and 'archMap' are specified in the seccomp profile, use either 'architectures' or 'archMap'",
    )
  }
  const syscalls = (profile.syscalls ?? []).filter(rule => applies(rule, capabilities, host)).map(settleRule)
  if (!profile.defaultAction) return undefined
  return {
    defaultAction: profile.defaultAction,
    ...(profile.defaultErrnoRet !== undefined && { defaultErrnoRet: profile.defaultErrnoRet }),
    architectures: architectures(profile, host),
    ...(profile.flags && { flags: profile.flags }),
    syscalls,
  }
}

function architectures(profile: SeccompProfile, host: Facts): string[] {
  const native = archFacts[host.arch].scmp
  const mapped = profile.archMap?.find(entry => entry.architecture === native)
  return mapped ? [native, ...(mapped.subArchitectures ?? [])] : (profile.architectures ?? [])
}

function applies({ includes, excludes }: ProfileRule, capabilities: readonly string[], host: Facts): boolean {
  const has = (name: string): boolean => capabilities.includes(name)
  if (excludes?.arches?.includes(host.arch) || excludes?.caps?.some(has) || excludesKernel(excludes, host))
    return false
  if (includes?.arches?.length && !includes.arches.includes(host.arch)) return false
  if (includes?.caps?.length && !includes.caps.every(has)) return false
  return !includes?.minKernel || reaches(host.kernel, includes.minKernel)
}

const excludesKernel = (excludes: ProfileCondition | undefined, host: Facts): boolean =>
  excludes?.minKernel !== undefined && reaches(host.kernel, excludes.minKernel)

function reaches([major, minor]: [number, number], wanted: string): boolean {
  const [wantedMajor = 0, wantedMinor = 0] = wanted.split('.').map(Number)
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)
}

function settleRule(rule: ProfileRule): SeccompRule {
  if (rule.name && rule.names?.length) {
    throw invalid(
      "both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'",
    )
  }
  return {
    names: rule.name ? [rule.name] : (rule.names ?? []),
    action: rule.action,
    ...(rule.errnoRet !== undefined && rule.errnoRet !== null && { errnoRet: rule.errnoRet }),
    ...(rule.args?.length && { args: rule.args }),
  }
}

const settled = new Map<string, SeccompSpec>()

/** Docker's built-in profile, settled; the same object for the same capabilities, so that its filter is compiled once. */
export function defaultSeccomp(capabilities: readonly string[], host: Facts): SeccompSpec {
  const relevant = capabilities.filter(name => conditionCapabilities.has(name)).sort()
  const key = [host.arch, ...host.kernel, ...relevant].join(' ')
  let spec = settled.get(key)
  if (!spec) settled.set(key, (spec = resolveProfile(defaultProfile, capabilities, host)!))
  return spec
}

const conditionCapabilities = new Set(
  defaultProfile.syscalls.flatMap(rule => [...(rule.includes?.caps ?? []), ...(rule.excludes?.caps ?? [])]),
)
