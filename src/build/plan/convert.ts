/**
 * From a Dockerfile to a plan: the vertices that lead to the target's root file system, and the config of the image. One
 * call is for one platform.
 */
import type { Ulimit } from '../../engine/types.ts'
import { messageOf } from '../../errors.ts'
import { parseReference } from '../../image/reference.ts'
import type { Digest, ImageConfig, Platform } from '../../image/types.ts'
import { DockerfileError, type LineRange } from '../dockerfile/errors.ts'
import { expandWord } from '../dockerfile/expand.ts'
import type { Instruction } from '../dockerfile/instructions.ts'
import type { Dockerfile } from '../dockerfile/parse.ts'
import type { Parameters } from '../outline.ts'
import type { PlannedStep } from '../request.ts'
import type { ExecLimits, Vertex } from './ops.ts'
import { vertex } from './ops.ts'
import { formatPlatform, hostPlatform, parsePlatform, platformArgs } from './platform.ts'
import { StageBuilder } from './stage-builder.ts'
import { findTarget, type NamedStage, nameStages, neededStages, sourcesOf, triggersOf } from './stages.ts'

/** What a name stands for instead of a stage or an image (`--build-context`), or the main context. */
export type ContextSource =
  | { kind: 'local'; name: string; exclude: string[] }
  | { kind: 'image'; ref: string }
  | { kind: 'vertex'; vertex: Vertex }

export interface ResolvedImage {
  config: ImageConfig
  /** Of the manifest. */
  digest: Digest
  /** The reference as it is kept. */
  ref: string
  /** It was not looked at: `config` is an empty one. */
  isUnknown?: boolean
}

export interface ConvertOptions {
  dockerfile: Dockerfile
  context: ContextSource
  contexts: Record<string, ContextSource>
  target?: string
  args: Record<string, string>
  labels: Record<string, string>
  platform: Platform
  /** Say the platform in names: there is more than one. */
  multiPlatform: boolean
  /** `true` for everything, or names of stages. */
  noCache: boolean | ReadonlySet<string>
  pull: boolean
  network: 'default' | 'none' | 'host'
  extraHosts: string[]
  ulimits: Ulimit[]
  shmSize?: number
  cgroupParent?: string
  hostname?: string
  /** Put before the names of cache mounts. */
  cacheNamespace?: string
  limits?: ExecLimits
  /** What steps may ask for beyond the ordinary; absent is everything. */
  entitlements?: ReadonlySet<string>
  resolveImage(ref: string, platform: Platform): Promise<ResolvedImage>
  /** A variable was used that nothing sets; `known` are those that something sets. */
  onUndefined?: (name: string, known: string[], range: LineRange) => void
}

export interface Converted {
  /** `undefined` for an empty root. */
  vertex: Vertex | undefined
  config: ImageConfig
  platform: Platform
  /** Every instruction of the needed stages, in order. */
  steps: PlannedStep[]
  /** What the needed stages take from whoever builds them. */
  parameters: Parameters[]
}

/** Proxy variables: given to steps when the client sends them, never kept. */
export const PROXY_ARGS = ['HTTP_PROXY', 'HTTPS_PROXY', 'FTP_PROXY', 'NO_PROXY', 'ALL_PROXY'].flatMap(
  name => [name, name.toLowerCase()],
)

export async function convert(options: ConvertOptions): Promise<Converted> {
  const { dockerfile, platform, target } = options
  const globals = globalArgs(options)
  const contexts = new Set(Object.keys(options.contexts))
  const stages = nameStages(dockerfile, name => globals.get(name), contexts)
  for (const { parent, base, stage } of stages) {
    if (!parent && !contexts.has(base)) checkReference(base, stage.from.range)
  }
  const goal = findTarget(stages, target)
  const bases = new Map<NamedStage, Promise<ResolvedImage>>()
  const needed = await stagesToPlan({ options, stages, goal, globals, bases })
  const done = new Map<NamedStage, StageBuilder>()
  for (const stage of needed) {
    const builder = new StageBuilder({ options, stage, stages, globals, done })
    try {
      await builder.begin(bases.get(stage))
      await builder.run()
    } catch (error) {
      await Promise.allSettled([...bases.values()])
      throw error
    }
    done.set(stage, builder)
  }
  const built = done.get(goal)!
  const planned = [...done.values()].sort((a, b) => a.named.index - b.named.index)
  return {
    vertex: built.state,
    config: built.finish(options.labels),
    platform: built.platform ?? platform,
    steps: planned.flatMap(one => one.steps),
    parameters: planned.map(one => one.parameters),
  }
}

interface Planning {
  options: ConvertOptions
  stages: readonly NamedStage[]
  goal: NamedStage
  globals: ReadonlyMap<string, string | undefined>
  /** Filled with the images that the stages to plan are built on. */
  bases: Map<NamedStage, Promise<ResolvedImage>>
}

/** Triggers of base images may need stages that nobody else needs, which may be built on images with triggers. */
async function stagesToPlan({ options, stages, goal, globals, bases }: Planning): Promise<NamedStage[]> {
  const { escapeChar } = options.dockerfile
  const triggers = new Map<NamedStage, readonly string[]>()
  for (;;) {
    const needed = neededStages(stages, goal, one => {
      const own = [...triggersOf(triggers.get(one) ?? [], one, escapeChar), ...one.stage.instructions]
      return sourceNames(own, globals, escapeChar)
    })
    prefetchBases(needed, options, bases)
    const fresh = needed.filter(one => !triggers.has(one))
    if (fresh.length === 0) return needed
    for (const one of fresh) {
      // An image that cannot be had is told of where the stage begins.
      const image = await bases.get(one)?.catch(() => undefined)
      triggers.set(one, one.parent ? ownTriggers(one.parent) : (image?.config.config?.OnBuild ?? []))
    }
  }
}

const ownTriggers = ({ stage }: NamedStage): string[] =>
  stage.instructions.flatMap(one => (one.name === 'ONBUILD' ? [one.value] : []))

/** Every base image is asked for at once, before the first stage is planned. */
function prefetchBases(
  needed: readonly NamedStage[],
  options: ConvertOptions,
  bases: Map<NamedStage, Promise<ResolvedImage>>,
): void {
  for (const stage of needed) {
    if (stage.parent || stage.base === 'scratch' || bases.has(stage)) continue
    const context = options.contexts[stage.base]
    if (context && context.kind !== 'image') continue
    const ref = context?.kind === 'image' ? context.ref : stage.base
    const found = options.resolveImage(ref, stagePlatform(stage, options.platform))
    found.catch(() => {})
    bases.set(stage, found)
  }
}

/** @throws DockerfileError for what is no reference to an image. */
export function checkReference(ref: string, range: LineRange): void {
  if (/^(sha256:)?[0-9a-f]{64}$/.test(ref)) return // an image's id
  try {
    parseReference(ref)
  } catch (error) {
    throw new DockerfileError(`failed to parse stage name ${JSON.stringify(ref)}: ${messageOf(error)}`, range)
  }
}

export function stagePlatform(stage: NamedStage, target: Platform): Platform {
  if (stage.platform === undefined) return target
  try {
    return parsePlatform(stage.platform)
  } catch (error) {
    throw new DockerfileError(
      `failed to parse platform ${stage.platform}: ${messageOf(error)}`,
      stage.stage.from.range,
    )
  }
}

/** The arguments before the first `FROM`, and those that are always there. */
function globalArgs(options: ConvertOptions): Map<string, string | undefined> {
  const { dockerfile, args, platform, target } = options
  const values = new Map<string, string | undefined>(
    Object.entries(platformArgs(hostPlatform, platform, target ?? '')),
  )
  for (const name of values.keys()) if (Object.hasOwn(args, name)) values.set(name, args[name])
  for (const instruction of dockerfile.metaArgs) {
    for (const { key, value } of instruction.args) {
      const given = Object.hasOwn(args, key) ? args[key] : undefined
      const expanded =
        value === undefined ? undefined : expandIn(value, values, instruction.range, dockerfile)
      values.set(key, given ?? expanded ?? values.get(key))
    }
  }
  return values
}

function expandIn(
  text: string,
  values: ReadonlyMap<string, string | undefined>,
  range: { start: number; end: number },
  file: Dockerfile,
): string {
  try {
    return expandWord(text, name => values.get(name), { escapeChar: file.escapeChar })
  } catch (error) {
    throw new DockerfileError(`failed to process "${text}": ${messageOf(error)}`, range)
  }
}

/** Names in `--from`, as far as the global arguments say them. */
function sourceNames(
  instructions: readonly Instruction[],
  globals: ReadonlyMap<string, string | undefined>,
  escapeChar: string,
): string[] {
  const expand = (text: string) => expandWord(text, name => globals.get(name), { escapeChar: escapeChar })
  return instructions.flatMap(instruction => {
    try {
      return sourcesOf(instruction, expand)
    } catch {
      return [] // told with its line when the stage is planned
    }
  })
}

/** The vertex of an image's root. */
export function imageVertex(image: ResolvedImage, platform: Platform, name: string): Vertex {
  return vertex({ kind: 'image', ref: image.ref, digest: image.digest, platform, pull: false }, [], {
    name: `${name}@${image.digest}`,
    platform,
  })
}

export const platformText = formatPlatform
