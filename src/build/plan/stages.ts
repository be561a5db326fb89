/** Which stages a target needs, and in which order they can be planned. */
import { invalid, messageOf } from '../../errors.ts'
import { DockerfileError } from '../dockerfile/errors.ts'
import { type ExpandOptions, expandWord, type Lookup } from '../dockerfile/expand.ts'
import type { Instruction, Stage } from '../dockerfile/instructions.ts'
import { splitInstructions } from '../dockerfile/lines.ts'
import { type Dockerfile, parseInstruction } from '../dockerfile/parse.ts'
import { withSuggestion } from '../dockerfile/suggest.ts'
import { parseMountFlag } from './mount-flag.ts'

export interface NamedStage {
  index: number
  stage: Stage
  /** The base, expanded. */
  base: string
  /** `--platform`, expanded. */
  platform: string | undefined
  /** The stage that it is built on, unless it is an image. */
  parent: NamedStage | undefined
}

/** Global arguments are expanded here; a named context that takes a stage's or an image's place comes before it. */
export function nameStages(file: Dockerfile, lookup: Lookup, contexts: ReadonlySet<string>): NamedStage[] {
  const named: NamedStage[] = []
  for (const [index, stage] of file.stages.entries()) {
    const { from } = stage
    const options: ExpandOptions = { escapeChar: file.escapeChar }
    const expand = (text: string): string => {
      try {
        return expandWord(text, lookup, options)
      } catch (error) {
        throw new DockerfileError(
          `failed to process ${JSON.stringify(text)}: ${messageOf(error)}`,
          from.range,
        )
      }
    }
    const base = expand(from.base)
    if (base === '') {
      throw new DockerfileError(`base name (${from.base}) should not be blank`, from.range)
    }
    const parent = contexts.has(base)
      ? undefined
      : named.findLast(other => other.stage.from.stageName === base.toLowerCase())
    const platform = from.platform === undefined ? undefined : expand(from.platform)
    if (from.platform !== undefined && platform === '') {
      throw new DockerfileError(`empty platform value from expression ${from.platform}`, from.range)
    }
    named.push({ index, stage, base, platform, parent })
  }
  return named
}

/** The stage that `--target` names; the last where it names none. */
export function findTarget(stages: readonly NamedStage[], target: string | undefined): NamedStage {
  if (!target) return stages.at(-1)!
  const found = stages.find(({ stage }) => stage.from.stageName === target.toLowerCase())
  if (found) return found
  const names = stages.flatMap(({ stage }) => stage.from.stageName ?? [])
  throw invalid(withSuggestion(`target stage "${target}" could not be found`, target, names))
}

/** By name, in any case, or by number. */
export function findStage(stages: readonly NamedStage[], name: string): NamedStage | undefined {
  const byName = stages.find(({ stage }) => stage.from.stageName === name.toLowerCase())
  if (byName) return byName
  return /^\d+$/.test(name) ? stages[Number(name)] : undefined
}

/** `ONBUILD` instructions of what a stage is built on, which come before its own. */
export function triggersOf(
  texts: readonly string[],
  { stage }: NamedStage,
  escapeChar: string,
): Instruction[] {
  return texts.flatMap(text => {
    const [raw] = splitInstructions(text).instructions
    return raw ? [parseInstruction({ ...raw, range: stage.from.range }, escapeChar)] : []
  })
}

/** The names that an instruction takes files from. */
export function sourcesOf(instruction: Instruction, expand: (text: string) => string): string[] {
  if (instruction.name === 'COPY') return instruction.from === undefined ? [] : [expand(instruction.from)]
  if (instruction.name !== 'RUN') return []
  return instruction.mounts.flatMap(text => parseMountFlag(text, expand).from ?? [])
}

/** `target` and what it needs, needed ones first. Raises for stages that need themselves. */
export function neededStages(
  stages: readonly NamedStage[],
  target: NamedStage,
  sources: (stage: NamedStage) => string[],
): NamedStage[] {
  const ordered: NamedStage[] = []
  const state = new Map<NamedStage, 'open' | 'done'>()
  const visit = (stage: NamedStage): void => {
    if (state.get(stage) === 'done') return
    if (state.get(stage) === 'open') {
      const name = stage.stage.from.stageNameWritten ?? `stage-${stage.index}`
      throw new DockerfileError(`circular dependency detected on stage: ${name}`, stage.stage.from.range)
    }
    state.set(stage, 'open')
    if (stage.parent) visit(stage.parent)
    for (const name of sources(stage)) {
      const needed = findStage(stages, name)
      if (needed) visit(needed)
    }
    state.set(stage, 'done')
    ordered.push(stage)
  }
  visit(target)
  return ordered
}
