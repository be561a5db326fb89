/** From {@link RawInstruction}s to {@link Instruction}s, stage by stage. */
import { GantryError, invalid, messageOf } from '../../errors.ts'
import { DockerfileError, parseError } from './errors.ts'
import { type FlagKind, type FlagValues, readFlags } from './flags.ts'
import { parseHealthcheck } from './healthcheck.ts'
import { heredocOf } from './heredoc.ts'
import {
  type ArgInstruction,
  type CommandForm,
  type FromInstruction,
  type Instruction,
  KEYWORDS,
  type KeyValue,
  type Stage,
} from './instructions.ts'
import { type RawInstruction, type SourceFile, splitInstructions, splitKeyword } from './lines.ts'
import { withSuggestion } from './suggest.ts'
import { isStageName, pairsOf, wordsOf } from './words.ts'

export interface Dockerfile extends SourceFile {
  /** `ARG`s before the first `FROM`. */
  metaArgs: ArgInstruction[]
  stages: Stage[]
}

/** Read a whole Dockerfile. Raises {@link DockerfileError} with the place of the first mistake. */
export function parseDockerfile(text: string): Dockerfile {
  const source = splitInstructions(text)
  if (source.instructions.length === 0) throw new DockerfileError('file with no instructions')
  const metaArgs: ArgInstruction[] = []
  const stages: Stage[] = []
  for (const raw of source.instructions) {
    const instruction = parseInstruction(raw, source.escapeChar)
    const stage = stages.at(-1)
    if (instruction.name === 'FROM') stages.push({ from: instruction, instructions: [] })
    else if (stage) stage.instructions.push(instruction)
    else if (instruction.name === 'ARG') metaArgs.push(instruction)
    else throw new DockerfileError('no build stage in current context', raw.range)
  }
  if (stages.length === 0) throw new DockerfileError('dockerfile contains no stages to build')
  return { ...source, metaArgs, stages }
}

/** One instruction, of a Dockerfile or of an `ONBUILD` trigger (given with its `escapeChar`). */
export function parseInstruction(raw: RawInstruction, escapeChar = '\\'): Instruction {
  const { keyword, range } = raw
  if (!Object.hasOwn(FORMS, keyword)) {
    throw parseError(range, withSuggestion(`unknown instruction: ${raw.written}`, keyword, KEYWORDS))
  }
  const form = FORMS[keyword as keyof typeof FORMS]
  const placed = { original: raw.original, range, written: raw.written, comments: raw.comments }
  try {
    const flags = readFlags(raw.flags, form.flags ?? {})
    return { ...placed, ...form.read({ raw, flags, escapeChar, keyword }) } as Instruction
  } catch (error) {
    if (error instanceof DockerfileError && !error.range) {
      throw new DockerfileError(error.message, range, { cause: error })
    }
    if (error instanceof DockerfileError || !(error instanceof GantryError)) throw error
    throw parseError(range, messageOf(error))
  }
}

/** The single instruction in `line`, as `ONBUILD` and `--change` carry them. */
export function parseLine(line: string): Instruction {
  const [raw, more] = splitInstructions(line).instructions
  if (!raw || more) throw invalid(`expected one instruction: ${line}`)
  return parseInstruction(raw)
}

interface Given {
  raw: RawInstruction
  flags: FlagValues
  escapeChar: string
  keyword: string
}

interface Form {
  flags?: Record<string, FlagKind>
  read(given: Given): object
}

const COPY_FLAGS = {
  chown: 'string',
  chmod: 'string',
  link: 'boolean',
  exclude: 'strings',
} as const satisfies Record<string, FlagKind>

const FORMS: Record<(typeof KEYWORDS)[number], Form> = {
  FROM: { flags: { platform: 'string' }, read: readFrom },
  COPY: { flags: { ...COPY_FLAGS, from: 'string', parents: 'boolean' }, read: readCopy },
  ADD: {
    flags: { ...COPY_FLAGS, checksum: 'string', 'keep-git-dir': 'boolean', unpack: 'boolean' },
    read: readCopy,
  },
  RUN: {
    flags: { mount: 'strings', network: 'string', security: 'string', device: 'strings' },
    read: readRun,
  },
  ARG: { read: readArg },
  ENV: { read: readPairs },
  LABEL: { read: readPairs },
  CMD: { read: ({ raw }) => ({ name: 'CMD', command: commandForm(raw.rest) }) },
  ENTRYPOINT: { read: ({ raw }) => ({ name: 'ENTRYPOINT', command: lineForm(raw.rest) }) },
  EXPOSE: {
    read: given => ({ name: 'EXPOSE', values: atLeastOne(given, spaced(given.raw.rest)) }),
  },
  VOLUME: {
    read: given => {
      const values = atLeastOne(given, jsonList(given.raw.rest) ?? spaced(given.raw.rest))
      if (values.some(value => value.trim() === '')) {
        throw invalid('VOLUME specified can not be an empty string')
      }
      return { name: 'VOLUME', values }
    },
  },
  SHELL: {
    read: ({ raw }) => {
      const values = jsonList(raw.rest)
      if (!values) throw invalid('SHELL requires the arguments to be in JSON form')
      if (values.length === 0) throw invalid('SHELL requires at least one argument')
      return { name: 'SHELL', values }
    },
  },
  USER: { read: readText },
  WORKDIR: { read: readText },
  STOPSIGNAL: { read: readText },
  MAINTAINER: { read: readText },
  ONBUILD: { read: readOnbuild },
  HEALTHCHECK: {
    flags: {
      interval: 'string',
      timeout: 'string',
      'start-period': 'string',
      'start-interval': 'string',
      retries: 'string',
    },
    read: ({ raw, flags }) => ({
      name: 'HEALTHCHECK',
      check: parseHealthcheck(raw.rest, flags, commandForm),
    }),
  },
}

function readFrom({
  raw,
  flags,
}: Given): Omit<FromInstruction, 'original' | 'range' | 'written' | 'comments'> {
  const words = spaced(raw.rest)
  if (words.length !== 1 && !(words.length === 3 && words[1]!.toLowerCase() === 'as')) {
    throw invalid('FROM requires either one or three arguments')
  }
  const stageNameWritten = words[2]
  const stageName = stageNameWritten?.toLowerCase()
  if (stageName !== undefined && !isStageName(stageName)) {
    throw invalid(
      `invalid name for build stage: "${stageNameWritten}", name can't start with a number or contain symbols`,
    )
  }
  const platform = flags.string('platform')
  return {
    name: 'FROM',
    base: words[0]!,
    ...(platform !== undefined && { platform }),
    ...(stageName !== undefined && { stageName, stageNameWritten }),
  }
}

function readCopy(given: Given): object {
  const { raw, flags, escapeChar, keyword } = given
  const words = jsonList(raw.rest) ?? spaced(raw.rest)
  if (words.length < 2) {
    throw invalid(
      `${keyword} requires at least two arguments, but only one was provided. Destination could not be determined`,
    )
  }
  const from = flags.string('from')
  if (from?.includes('$')) {
    throw new DockerfileError(
      'variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround',
      raw.range,
    )
  }
  const destination = words.at(-1)!
  if (heredocOf(destination, escapeChar)) throw invalid(`${keyword} cannot accept a heredoc as a destination`)
  const open = [...raw.heredocs]
  const heredocs = []
  const sources: string[] = []
  for (const word of words.slice(0, -1)) {
    const heredoc = heredocOf(word, escapeChar)
    if (!heredoc || open.length === 0) {
      sources.push(word)
      continue
    }
    const content = open.shift()!
    if (content.fd !== 0) throw invalid(`${keyword} only supports heredocs for standard input`)
    heredocs.push(content)
  }
  return {
    name: keyword,
    sources,
    heredocs,
    destination,
    from,
    chown: flags.string('chown'),
    chmod: flags.string('chmod'),
    link: flags.boolean('link') ?? false,
    parents: flags.boolean('parents') ?? false,
    exclude: flags.strings('exclude'),
    checksum: flags.string('checksum'),
    keepGitDir: flags.boolean('keep-git-dir'),
    unpack: flags.boolean('unpack'),
  }
}

const NETWORKS = new Set(['default', 'none', 'host'])

function readRun(given: Given): object {
  const { raw, flags } = given
  const network = flags.string('network') ?? 'default'
  if (!NETWORKS.has(network)) throw invalid(`invalid network mode ${JSON.stringify(network)}`)
  return {
    name: 'RUN',
    command: lineForm(raw.rest),
    heredocs: raw.heredocs,
    mounts: flags.strings('mount'),
    network,
    security: flags.string('security') ?? 'sandbox',
    devices: flags.strings('device'),
  }
}

function readArg(given: Given): object {
  const words = atLeastOne(given, wordsOf(given.raw.rest, given.escapeChar))
  const args = words.map((word): KeyValue => {
    const equals = word.indexOf('=')
    if (equals === 0) throw invalid('ARG names can not be blank')
    return equals < 0
      ? { key: word, value: undefined }
      : { key: word.slice(0, equals), value: word.slice(equals + 1) }
  })
  return { name: 'ARG', args }
}

function readPairs({ raw, escapeChar, keyword }: Given): object {
  const { pairs, legacy } = withoutPrefix(raw, () => pairsOf(raw.rest, escapeChar, keyword))
  if (pairs.length === 0) throw invalid(`${keyword} requires at least one argument`)
  if (pairs.some(pair => pair.key === '')) throw invalid(`${keyword} names can not be blank`)
  return { name: keyword, pairs, legacy }
}

/** Mistakes that the outer grammar finds are told without `dockerfile parse error`. */
function withoutPrefix<T>(raw: RawInstruction, read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw new DockerfileError(messageOf(error), raw.range, { cause: error })
  }
}

function readText({ raw, keyword }: Given): object {
  if (raw.rest === '') throw invalid(`${keyword} requires exactly one argument`)
  return { name: keyword, value: raw.rest }
}

function readOnbuild({ raw }: Given): object {
  if (raw.rest === '') throw invalid('ONBUILD requires at least one argument')
  const trigger = splitKeyword(raw.rest, raw.range).written.toUpperCase()
  if (trigger === 'ONBUILD') {
    throw invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
  }
  if (trigger === 'MAINTAINER' || trigger === 'FROM') {
    throw invalid(`${trigger} isn't allowed as an ONBUILD trigger`)
  }
  const value = raw.original.replace(/^\s*onbuild\s*/i, '')
  const documents = raw.heredocs.map(doc => `\n${doc.content}${doc.name}`).join('')
  return { name: 'ONBUILD', value: value + documents }
}

const spaced = (text: string): string[] => text.split(/\s+/).filter(word => word !== '')

function atLeastOne<T>({ keyword }: Given, values: T[]): T[] {
  if (values.length === 0) throw invalid(`${keyword} requires at least one argument`)
  return values
}

/** Nothing is an empty line here. */
const lineForm = (rest: string): CommandForm =>
  rest === '' ? { words: [''], shell: true } : commandForm(rest)

function commandForm(rest: string): CommandForm {
  const words = jsonList(rest)
  if (words) return { words, shell: false }
  return { words: rest === '' ? [] : [rest], shell: true }
}

/** The strings of a JSON list. What is no JSON is no list: Docker then takes the text as a plain line. */
export function jsonList(text: string): string[] | undefined {
  if (!text.startsWith('[')) return undefined
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (!Array.isArray(value)) return undefined
  if (value.some(item => typeof item !== 'string')) {
    throw new DockerfileError('when using JSON array syntax, arrays must be comprised of strings only')
  }
  return value as string[]
}
