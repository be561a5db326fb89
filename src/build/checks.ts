/** The checks of one build: those of the text, and what planning it finds. */
import { GantryError, invalid, messageOf } from '../errors.ts'
import type { Definition } from './definition.ts'
import { type CheckOptions, checkOptions } from './dockerfile/check-options.ts'
import { checkDockerfile, undefinedVariable } from './dockerfile/checks.ts'
import type { LineRange } from './dockerfile/errors.ts'
import type { BuildRequest, BuildResult, BuildWarning } from './request.ts'

export class Checks {
  readonly definition: Definition
  readonly #options: CheckOptions
  readonly #found = new Map<string, BuildWarning>()
  #fault: BuildResult['fault']

  constructor(definition: Definition, request: BuildRequest) {
    this.definition = definition
    this.#options = checkOptions(definition.dockerfile, request.buildArgs ?? {})
    const { dockerfile, context } = definition
    const exclude = context.kind === 'local' ? context.exclude : []
    for (const one of checkDockerfile(dockerfile, this.#options, exclude)) this.#add(one)
  }

  /** Each platform is planned by itself and finds the same. */
  #add(one: BuildWarning): void {
    const key = `${one.range.start} ${one.rule} ${one.detail}`
    if (!this.#found.has(key)) this.#found.set(key, one)
  }

  readonly onUndefined = (name: string, known: string[], range: LineRange): void => {
    const found = undefinedVariable(this.#options, name, known, range)
    if (found) this.#add(found)
  }

  /** In the order of the file. */
  get warnings(): BuildWarning[] {
    return [...this.#found.values()].sort((a, b) => a.range.start - b.range.start)
  }

  /** @throws GantryError `invalid` where there are warnings and the Dockerfile wants them to be errors. */
  throwIfErrors(): void {
    const { warnings } = this
    if (warnings.length === 0 || !this.#options.isError) return
    const rules = [...new Set(warnings.map(({ rule }) => rule))]
    throw invalid(`lint violation found for rules: ${rules.join(', ')}`)
  }

  /** `plan` the build only to see whether that can be done. */
  async attempt(plan: () => Promise<unknown>): Promise<void> {
    try {
      await plan()
      this.throwIfErrors()
    } catch (error) {
      if (!(error instanceof GantryError)) throw error
      this.#fault = faultOf(error)
    }
  }

  result(id: string): BuildResult {
    const { filename, dockerfile } = this.definition
    return {
      id,
      images: [],
      warnings: this.warnings,
      metadata: {},
      source: { filename, text: dockerfile.text },
      ...(this.#fault && { fault: this.#fault }),
    }
  }
}

function faultOf(error: unknown): NonNullable<BuildResult['fault']> {
  const { range } = error as { range?: LineRange }
  return { message: messageOf(error), ...(range && { range }) }
}

/** What `--check` says of a Dockerfile that cannot be read. Rethrows what is not about its text. */
export function faultyResult(id: string, error: unknown): BuildResult {
  const { source, filename = 'Dockerfile' } = error as { source?: string; filename?: string }
  if (!(error instanceof GantryError) || source === undefined) throw error
  return {
    id,
    images: [],
    warnings: [],
    metadata: {},
    source: { filename, text: source },
    fault: faultOf(error),
  }
}
