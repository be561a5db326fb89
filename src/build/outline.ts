/** What a Dockerfile offers whoever builds it: its targets, and what the wanted one can be given. */
import type { LineRange } from './dockerfile/errors.ts'
import type { ArgInstruction, Instruction } from './dockerfile/instructions.ts'
import type { Dockerfile } from './dockerfile/parse.ts'

export interface Target {
  /** Absent for a stage without a name. */
  name?: string
  description?: string
  base: string
  isDefault: boolean
  range: LineRange
}

export interface Parameter {
  name: string
  description?: string
  /** Of a variable that has one. */
  value?: string
  /** Of a secret or an agent. */
  required?: boolean
  range: LineRange
}

export interface Outline {
  name?: string
  description?: string
  args: Parameter[]
  secrets: Parameter[]
  ssh: Parameter[]
}

/** What one stage takes; filled as it is planned. */
export class Parameters {
  readonly args: Parameter[] = []
  readonly secrets: Parameter[] = []
  readonly ssh: Parameter[] = []

  declare(one: ArgInstruction, name: string, value: string | undefined): void {
    const told = descriptionIn(one, name)
    this.args.push({ name, ...told, ...(value !== undefined && { value }), range: one.range })
  }

  ask(kind: 'secrets' | 'ssh', name: string, required: boolean, range: LineRange): void {
    this[kind].push({ name, ...(required && { required }), range })
  }
}

export function targetsOf({ stages }: Dockerfile): Target[] {
  return stages.map(({ from }, index) => ({
    ...(from.stageName !== undefined && { name: from.stageName, ...descriptionIn(from, from.stageName) }),
    base: from.base,
    isDefault: index === stages.length - 1,
    range: from.range,
  }))
}

/** @param stages that lead to the target, as they were planned */
export function outlineOf(file: Dockerfile, target: string | undefined, stages: Parameters[]): Outline {
  const all = targetsOf(file)
  const { name, description } = all.find(one => one.name === target?.toLowerCase()) ?? all.at(-1)!
  const gather = (kind: 'args' | 'secrets' | 'ssh'): Parameter[] => {
    // What several stages take is told where the first of them does.
    const sorted = stages.flatMap(stage => stage[kind]).sort((a, b) => a.range.start - b.range.start)
    return [...new Map(sorted.toReversed().map(one => [one.name, one])).values()].reverse()
  }
  return {
    ...(name !== undefined && { name }),
    ...(description !== undefined && { description }),
    args: gather('args'),
    secrets: gather('secrets'),
    ssh: gather('ssh'),
  }
}

/** A comment straight above describes what it begins with the name of. */
function descriptionIn({ comments }: Pick<Instruction, 'comments'>, name: string): { description?: string } {
  const found = comments.findLast(text => text.toLowerCase().startsWith(`${name.toLowerCase()} `))
  return found === undefined ? {} : { description: found.slice(name.length + 1).trim() }
}
