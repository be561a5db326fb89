/** Plans one stage: keeps the state of its root and its config while the instructions go by. */
import { GantryError, messageOf } from '../../errors.ts'
import type { ImageConfig, ImageRuntimeConfig, Platform } from '../../image/types.ts'
import { DockerfileError, type LineRange } from '../dockerfile/errors.ts'
import { expandWord, type Lookup, splitWords } from '../dockerfile/expand.ts'
import type { ArgInstruction, Instruction, KeyValue } from '../dockerfile/instructions.ts'
import { Parameters } from '../outline.ts'
import type { PlannedStep } from '../request.ts'
import { applyInstruction } from './apply.ts'
import {
  type ConvertOptions,
  checkReference,
  imageVertex,
  type ResolvedImage,
  stagePlatform,
} from './convert.ts'
import { HISTORY_COMMENT } from './history.ts'
import { type Operation, type Vertex, vertex } from './ops.ts'
import { formatPlatform } from './platform.ts'
import { findStage, type NamedStage, triggersOf } from './stages.ts'

export const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

interface StageContext {
  options: ConvertOptions
  stage: NamedStage
  stages: readonly NamedStage[]
  globals: ReadonlyMap<string, string | undefined>
  done: ReadonlyMap<NamedStage, StageBuilder>
}

/** Instructions that make a vertex, and so count in `[2/5]`. */
const COUNTED = new Set(['ADD', 'COPY', 'RUN', 'WORKDIR'])

export class StageBuilder {
  readonly options: ConvertOptions
  readonly named: NamedStage
  /** The root; `undefined` is empty. */
  state: Vertex | undefined
  platform: Platform
  image: ImageConfig
  /** Arguments that the stage declared, in order. */
  readonly args: KeyValue[] = []
  /** What it takes from whoever builds it. */
  readonly parameters = new Parameters()
  cmdSet = false
  /** What was done, for people. */
  readonly steps: PlannedStep[] = []
  readonly ignoreCache: boolean
  readonly #context: StageContext
  #step = 0
  #steps = 0
  #onbuild: Instruction[] = []
  #range: LineRange
  /** The base may set more than is known. */
  #isUncertain = false

  constructor(context: StageContext) {
    this.#context = context
    this.options = context.options
    this.named = context.stage
    this.#range = context.stage.stage.from.range
    this.platform = stagePlatform(context.stage, context.options.platform)
    this.image = emptyImage(this.platform)
    const { noCache } = context.options
    const name = context.stage.stage.from.stageName
    this.ignoreCache =
      noCache === true || (noCache !== false && noCache.has(name ?? String(context.stage.index)))
  }

  get config(): ImageRuntimeConfig {
    return (this.image.config ??= {})
  }

  /** Take over what the stage is built on. */
  async begin(base: Promise<ResolvedImage> | undefined): Promise<void> {
    const { stage, done, options } = this.#context
    const { range } = stage.stage.from
    const parent = stage.parent && done.get(stage.parent)
    const count = (list: readonly Instruction[]) => list.filter(one => COUNTED.has(one.name)).length
    this.#steps = 1 + count(stage.stage.instructions)
    if (parent) {
      this.state = parent.state
      this.platform = parent.platform
      this.image = structuredClone(parent.image)
      this.args.push(...parent.args.map(arg => ({ ...arg })))
      this.#steps += parent.#steps - 1
      this.#step = parent.#step
      this.#isUncertain = parent.#isUncertain
      this.#takeTriggers()
      return
    }
    this.#step = 1
    const context = options.contexts[stage.base]
    if (context && context.kind !== 'image') {
      this.state = this.contextVertex(stage.base)
      return
    }
    if (stage.base === 'scratch' && !context) return
    let resolved: ResolvedImage
    try {
      resolved = await base!
    } catch (error) {
      throw new DockerfileError(messageOf(error), range, { cause: error })
    }
    this.#isUncertain = resolved.isUnknown ?? false
    this.image = structuredClone(resolved.config)
    this.image.config ??= {}
    this.#takeTriggers()
    this.state = imageVertex(resolved, this.platform, `${this.#prefix(1)}FROM ${resolved.ref}`)
    if (!this.config.Env?.some(variable => variable.startsWith('PATH='))) {
      this.config.Env = [...(this.config.Env ?? []), `PATH=${DEFAULT_PATH}`]
    }
  }

  /** `ONBUILD` instructions of the base run first, and are then no longer there. */
  #takeTriggers(): void {
    const { escapeChar } = this.options.dockerfile
    this.#onbuild.push(...triggersOf(this.config.OnBuild ?? [], this.named, escapeChar))
    delete this.config.OnBuild
    this.#steps += this.#onbuild.filter(one => COUNTED.has(one.name)).length
  }

  async run(): Promise<void> {
    this.#note(this.named.stage.from.original)
    for (const instruction of [...this.#onbuild, ...this.named.stage.instructions]) {
      try {
        const before = this.state
        this.#range = instruction.range
        await applyInstruction(this, instruction)
        this.#note(instruction.original, before)
      } catch (error) {
        if (error instanceof DockerfileError || !(error instanceof GantryError)) throw error
        throw new DockerfileError(messageOf(error), instruction.range, { cause: error })
      }
    }
  }

  #note(text: string, before?: Vertex): void {
    const changed = this.state && this.state.digest !== before?.digest
    this.steps.push({ text, ...(changed && { vertex: this.state!.digest }) })
  }

  /** The image's config, with the labels of the command line over it. */
  finish(labels: Record<string, string>): ImageConfig {
    if (Object.keys(labels).length > 0) this.config.Labels = { ...this.config.Labels, ...labels }
    return this.image
  }

  // ---- names ----

  #prefix(step: number): string {
    const { options, stage, stages } = this.#context
    const { stageName } = stage.stage.from
    const platform = options.multiPlatform || !samePlatform(this.platform, options.platform)
    const words = [
      ...(platform ? [formatPlatform(this.platform)] : []),
      ...(stageName !== undefined ? [stageName] : stages.length > 1 ? [`stage-${stage.index}`] : []),
      `${String(step).padStart(String(this.#steps).length)}/${this.#steps}`,
    ]
    return `[${words.join(' ')}] `
  }

  /** A vertex of this stage that changes its root. */
  advance(op: Operation, inputs: Vertex[], instruction: Instruction, text = instruction.original): void {
    this.#step++
    this.state = vertex(op, inputs, {
      name: this.#prefix(this.#step) + this.expandForShow(text),
      range: instruction.range,
      ignoreCache: this.ignoreCache,
      platform: this.platform,
    })
  }

  // ---- variables ----

  get env(): Map<string, string> {
    return new Map(
      (this.config.Env ?? []).map(variable => {
        const equals = variable.indexOf('=')
        return equals < 0 ? [variable, ''] : [variable.slice(0, equals), variable.slice(equals + 1)]
      }),
    )
  }

  lookup(): Lookup {
    const env = this.env
    const args = new Map(this.args.map(arg => [arg.key, arg.value]))
    return name => env.get(name) ?? args.get(name)
  }

  expand(text: string): string {
    return this.#expanding(text, () => expandWord(text, this.lookup(), this.#expandOptions()))
  }

  expandWords(text: string): string[] {
    const { escapeChar } = this.options.dockerfile
    return this.#expanding(text, () => splitWords(text, this.lookup(), { escapeChar }))
  }

  /** Content of a here-document: variables, but no quotes. */
  expandDocument(text: string): string {
    const raw = { ...this.#expandOptions(), rawQuotes: true }
    return this.#expanding(text, () => expandWord(text, this.lookup(), raw))
  }

  expandForShow(text: string): string {
    try {
      const { escapeChar } = this.options.dockerfile
      const options = { escapeChar, rawQuotes: true, rawEscapes: true, keepUnset: true }
      return /^(COPY|ADD|WORKDIR|USER|EXPOSE|VOLUME|FROM)/i.test(text)
        ? expandWord(text, this.lookup(), options)
        : text
    } catch {
      return text
    }
  }

  #expandOptions() {
    const { dockerfile, onUndefined } = this.options
    const { escapeChar } = dockerfile
    if (!onUndefined || this.#isUncertain) return { escapeChar }
    const onUnmatched = (name: string): void => {
      if (this.args.some(arg => arg.key === name)) return // declared, and not given
      onUndefined(name, [...this.env.keys(), ...this.args.map(arg => arg.key)], this.#range)
    }
    return { escapeChar, onUnmatched }
  }

  #expanding<T>(text: string, work: () => T): T {
    try {
      return work()
    } catch (error) {
      throw new GantryError('invalid', `failed to process ${JSON.stringify(text)}: ${messageOf(error)}`, {
        cause: error,
      })
    }
  }

  /** The `ARG` before the first `FROM` that gave a variable its value; `undefined` where the command line did. */
  globalArg(name: string): ArgInstruction | undefined {
    if (Object.hasOwn(this.options.args, name)) return undefined
    return this.options.dockerfile.metaArgs.findLast(one => one.args.some(({ key }) => key === name))
  }

  global(name: string): string | undefined {
    return this.#context.globals.get(name)
  }

  // ---- sources ----

  /** What `--from=name` names: a context, a stage, an image. */
  async source(name: string, range: LineRange): Promise<Vertex | undefined> {
    const { options, stages, done } = this.#context
    const context = options.contexts[name]
    if (context && context.kind !== 'image') return this.contextVertex(name)
    if (!context) {
      const stage = findStage(stages, name)
      if (stage === this.named || (stage && !done.has(stage))) {
        throw new DockerfileError(`circular dependency detected on stage: ${name}`, range)
      }
      if (stage) return done.get(stage)!.state
      if (name === 'scratch') return undefined
      if (/^-?\d+$/.test(name)) {
        throw new DockerfileError(`invalid stage index ${name}`, range)
      }
    }
    const ref = context?.kind === 'image' ? context.ref : name
    checkReference(ref, range)
    const image = await options.resolveImage(ref, options.platform)
    return imageVertex(image, options.platform, `FROM ${image.ref}`)
  }

  /** The context of a name, or the main one. */
  contextVertex(name?: string, paths?: string[]): Vertex {
    const source = name === undefined ? this.options.context : this.options.contexts[name]!
    if (source.kind === 'vertex') return source.vertex
    if (source.kind === 'image') throw new GantryError('internal', 'an image is resolved elsewhere')
    const title = name === undefined ? 'load build context' : `load build context ${name}`
    return vertex(
      { kind: 'local', name: source.name, exclude: source.exclude, ...(paths && { paths }) },
      [],
      { name: name === undefined ? `[internal] ${title}` : `[context ${name}] ${title}` },
    )
  }

  // ---- history ----

  /** `layer`: the instruction has a layer of its own. When it was made is only known when it is there. */
  record(createdBy: string, layer = false): void {
    const history = (this.image.history ??= [])
    history.push({
      created_by: createdBy,
      comment: HISTORY_COMMENT,
      ...(this.image.author && { author: this.image.author }),
      ...(!layer && { empty_layer: true }),
    })
  }
}

const samePlatform = (a: Platform, b: Platform) => formatPlatform(a) === formatPlatform(b)

function emptyImage(platform: Platform): ImageConfig {
  return {
    ...platform,
    config: { Env: [`PATH=${DEFAULT_PATH}`], WorkingDir: '/' },
    rootfs: { type: 'layers', diff_ids: [] },
    history: [],
  }
}
