/** `--runtime`: the OCI runtime of the configuration that a container asked for, where it is not the engine's own. */
import * as fs from 'node:fs'
import * as path from 'node:path'
import type { BundlePlace, OciRuntime } from '../runtime/oci-runtime.ts'
import type { EngineContext } from './context.ts'
import type { ContainerRecord } from './types.ts'

/** Where the launcher keeps a folder for each container. */
export const launcherRoot = (execRoot: string): string => path.join(execRoot, 'containers')

export function outsideRuntime(
  { config, execRoot }: Pick<EngineContext, 'config' | 'execRoot'>,
  { id, host }: ContainerRecord,
): { runtime: OciRuntime; place: BundlePlace } | undefined {
  const found = config.runtimes?.[host.runtime ?? '']
  if (!found) return undefined
  return {
    runtime: { path: absolute(found.path), ...(found.runtimeArgs && { arguments: found.runtimeArgs }) },
    place: { id, execRoot: launcherRoot(execRoot) },
  }
}

/** A name without a slash is looked up as a shell would. */
function absolute(program: string): string {
  if (program.includes('/')) return program
  for (const folder of (process.env['PATH'] ?? '').split(':')) {
    const file = path.join(folder, program)
    if (fs.existsSync(file)) return file
  }
  return program
}
