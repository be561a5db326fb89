/** A container's config as an image's: the names are those of the image specification. */
import type { ContainerConfig } from '../../engine/types.ts'
import type { ImageRuntimeConfig } from '../../image/types.ts'
import { containerConfig } from './container-config.ts'

const imageFields = [
  'User',
  'ExposedPorts',
  'Env',
  'Entrypoint',
  'Cmd',
  'Volumes',
  'WorkingDir',
  'Labels',
  'StopSignal',
  'Healthcheck',
  'OnBuild',
  'Shell',
  'StopTimeout',
] as const

/** Only what is set. */
export function imageConfigOf(config: ContainerConfig): ImageRuntimeConfig {
  const wire = containerConfig.encode(config)
  const entries = imageFields.map(name => [name, wire[name]] as const)
  return Object.fromEntries(
    entries.filter(([, value]) => value !== null && value !== undefined && value !== ''),
  )
}
