/** `docker commit`: a container's writable layer and its config become an image. */

import { applyChanges } from '../image/change.ts'
import { commitImage } from '../image/compose.ts'
import { familiar, parseReference, withDefaultTag, withTag } from '../image/reference.ts'
import type { Digest, ImageRuntimeConfig } from '../image/types.ts'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'
import type { CommitOptions } from './results.ts'
import type { ContainerConfig } from './types.ts'

/** The new image's id. */
export async function commitContainer(
  context: EngineContext,
  container: Container,
  options: CommitOptions,
): Promise<Digest> {
  const { images, events, states } = context
  const parsed = options.repository ? parseReference(options.repository) : undefined
  const reference = parsed && withDefaultTag(options.tag ? withTag(parsed, options.tag) : parsed)
  const config = applyChanges(
    { ...imageConfigOf(container.record.config), ...options.config },
    options.changes ?? [],
  )
  const pause = (options.pause ?? true) && container.record.state.status === 'running'
  if (pause) await freeze(context, container)
  try {
    const base = images.get(container.record.imageId)?.image
    const { path, args, platform } = container.record
    const { image, release } = await commitImage(images, base, platform, {
      layer: context.snapshots.diff(container.snapshot),
      config,
      createdBy: [path, ...args].join(' '),
      ...(options.author && { author: options.author }),
      ...(options.comment && { comment: options.comment }),
    })
    try {
      const record = await images.put(image, {
        references: reference ? [reference] : [],
        ...(base && { parent: base.id }),
      })
      events.emit('image', 'create', record.id, { name: record.id })
      const imageRef = reference ? familiar(reference) : ''
      if (reference) events.emit('image', 'tag', record.id, { ...config.Labels, name: imageRef })
      states.note(container, 'commit', { comment: options.comment ?? '', imageID: record.id, imageRef })
      return record.id
    } finally {
      release()
    }
  } finally {
    if (pause) await thaw(context, container)
  }
}

async function freeze({ locks, states }: EngineContext, container: Container): Promise<void> {
  await locks.run(container.id, () => {
    if (container.record.state.status !== 'running') return
    container.cgroup!.freeze()
    states.paused(container, true)
  })
}

async function thaw({ locks, states }: EngineContext, container: Container): Promise<void> {
  await locks.run(container.id, () => {
    const { status, pausedForCommit } = container.record.state
    if (status !== 'paused' || !pausedForCommit) return
    container.cgroup!.thaw()
    states.unpaused(container)
  })
}

/** The part of a container's config that an image keeps. */
function imageConfigOf(config: ContainerConfig): ImageRuntimeConfig {
  const check = config.healthcheck
  return {
    User: config.user ?? '',
    ...(config.exposedPorts?.length && { ExposedPorts: keysOf(config.exposedPorts) }),
    Env: config.env ?? [],
    Entrypoint: config.entrypoint ?? null,
    Cmd: config.cmd ?? null,
    ...(config.volumes?.length && { Volumes: keysOf(config.volumes) }),
    WorkingDir: config.workingDir ?? '',
    Labels: config.labels ?? {},
    ...(config.stopSignal && { StopSignal: config.stopSignal }),
    ...(config.stopTimeout !== undefined && { StopTimeout: config.stopTimeout }),
    ...(config.shell && { Shell: config.shell }),
    OnBuild: config.onBuild ?? null,
    ...(check && {
      Healthcheck: {
        ...(check.test && { Test: check.test }),
        ...(check.interval && { Interval: check.interval }),
        ...(check.timeout && { Timeout: check.timeout }),
        ...(check.startPeriod && { StartPeriod: check.startPeriod }),
        ...(check.startInterval && { StartInterval: check.startInterval }),
        ...(check.retries && { Retries: check.retries }),
      },
    }),
  }
}

const keysOf = (names: readonly string[]): Record<string, object> =>
  Object.fromEntries(names.map(name => [name, {}]))
