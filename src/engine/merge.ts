/** A container's config over its image's. moby daemon/commit.go, merge(). */
import { invalid } from '../errors.ts'
import type { ImageRuntimeConfig } from '../image/types.ts'
import { splitOnce } from './filters.ts'
import { cleanPath } from './mount-parse.ts'
import type { ContainerConfig, HealthcheckSpec } from './types.ts'

export function mergeConfig(config: ContainerConfig, image: ImageRuntimeConfig = {}): ContainerConfig {
  const merged: ContainerConfig = { ...config }
  // An entrypoint of one's own makes the image's command meaningless; [''] says: none at all.
  const resets = config.entrypoint?.length === 1 && config.entrypoint[0] === ''
  if (!config.entrypoint?.length) {
    if (!config.cmd?.length) merged.cmd = image.Cmd ?? undefined
    merged.entrypoint = image.Entrypoint ?? undefined
  }
  if (resets) merged.entrypoint = undefined
  merged.user = config.user || image.User || ''
  const workingDir = config.workingDir || image.WorkingDir || ''
  merged.workingDir = workingDir.startsWith('/') ? cleanPath(workingDir) : workingDir
  merged.env = mergeEnv(config.env ?? [], image.Env ?? [])
  merged.exposedPorts = [
    ...new Set([...(config.exposedPorts ?? []), ...Object.keys(image.ExposedPorts ?? {})]),
  ]
  merged.volumes = [...new Set([...(config.volumes ?? []), ...Object.keys(image.Volumes ?? {})])]
  merged.labels = { ...image.Labels, ...config.labels }
  merged.stopSignal = config.stopSignal || image.StopSignal
  merged.stopTimeout = config.stopTimeout ?? image.StopTimeout
  merged.shell = config.shell?.length ? config.shell : image.Shell
  merged.healthcheck = mergeHealthcheck(config.healthcheck, image.Healthcheck)
  merged.onBuild = config.onBuild ?? undefined
  for (const key of Object.keys(merged) as (keyof ContainerConfig)[]) {
    if (merged[key] === undefined) delete merged[key]
  }
  return merged
}

/** The user's variables, then the image's that the user did not name. */
function mergeEnv(own: string[], inherited: string[]): string[] {
  const named = new Set(own.map(variable => splitOnce(variable, '=')[0]))
  return [...own, ...inherited.filter(variable => !named.has(splitOnce(variable, '=')[0]))]
}

function mergeHealthcheck(
  own: HealthcheckSpec | undefined,
  image: ImageRuntimeConfig['Healthcheck'],
): HealthcheckSpec | undefined {
  if (!image) return own
  const inherited: HealthcheckSpec = {
    test: image.Test,
    interval: image.Interval,
    timeout: image.Timeout,
    startPeriod: image.StartPeriod,
    startInterval: image.StartInterval,
    retries: image.Retries,
  }
  if (!own) return inherited
  return {
    test: own.test?.length ? own.test : inherited.test,
    interval: own.interval || inherited.interval,
    timeout: own.timeout || inherited.timeout,
    startPeriod: own.startPeriod || inherited.startPeriod,
    startInterval: own.startInterval || inherited.startInterval,
    retries: own.retries || inherited.retries,
  }
}

/** What is executed: entrypoint, then command. Raises invalid where there is neither. */
export function commandOf({ entrypoint = [], cmd = [] }: ContainerConfig): { path: string; args: string[] } {
  const argv = [...entrypoint, ...cmd]
  if (argv.length === 0) throw invalid('no command specified')
  return { path: argv[0]!, args: argv.slice(1) }
}
