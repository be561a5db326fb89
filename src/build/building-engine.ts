/** The engine that programs get: it also builds. The daemon keeps the two apart, since most daemons never build. */
import * as path from 'node:path'
import type { Readable } from 'node:stream'
import { Engine, type EngineOptions } from '../engine/engine.ts'
import type { BuildRequest, BuildResult, ContextInput } from './request.ts'

/** What {@link BuildingEngine.build} is asked for. The words are those of `docker build`'s flags. */
export interface BuildOptions extends Omit<BuildRequest, 'context'> {
  /** A folder of this host, a tar of one in any compression, or another kind of context. Nothing unless told. */
  context?: string | Readable | ContextInput
  /** Names for the image, `-t`. Not with `outputs`, which have their own. */
  tags?: readonly string[]
}

export class BuildingEngine extends Engine {
  /** {@link Engine.open} */
  static override async open(options: EngineOptions): Promise<BuildingEngine> {
    // biome-ignore lint/complexity/noThisInStatic: with the class's name it would open an engine that cannot build
    return (await super.open(options)) as BuildingEngine
  }

  /**
   * Build from a Dockerfile. The result's `images[0].imageId` is what `containers.create` takes as its image, where no `tags` are given.
   * Rejects with a `DockerfileError` for what is wrong in the file, and with an `ExitError` for a command that failed.
   */
  async build(options: BuildOptions): Promise<BuildResult> {
    const { context, tags = [], ...request } = options
    const { builderOf } = await import('./engine-builder.ts')
    return builderOf(this).build({
      outputs: [{ type: 'image', names: [...tags] }],
      ...request,
      context: contextOf(context),
    })
  }
}

function contextOf(context: BuildOptions['context']): ContextInput {
  if (context === undefined) return { kind: 'empty' }
  if (typeof context === 'string') return { kind: 'folder', path: path.resolve(context) }
  return 'kind' in context ? context : { kind: 'tar', stream: context }
}
