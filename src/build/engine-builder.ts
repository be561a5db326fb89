/** The builder of each engine, opened when it is first asked for: `builderOf(engine).build({ context: { kind: 'folder', path } })`. */
import * as path from 'node:path'
import type { Engine } from '../engine/engine.ts'
import { Builder } from './builder.ts'
import { RuntimeExecutor } from './solve/runtime-executor.ts'

const builders = new WeakMap<Engine, Builder>()

export function builderOf(engine: Engine): Builder {
  const known = builders.get(engine)
  if (known) return known
  const { registries } = engine
  const { dataRoot, execRoot, images, snapshots, launcher, networks, config, logger } = engine.context
  const builder = new Builder({
    dataRoot,
    images,
    snapshots,
    registries,
    logger,
    executor: new RuntimeExecutor({
      launcher,
      networks,
      folder: path.join(execRoot, 'build'),
      ...(config.cgroupParent && { cgroupParent: config.cgroupParent }),
    }),
  })
  builders.set(engine, builder)
  engine.context.closing.addEventListener('abort', () => void builder.close(), { once: true })
  return builder
}
