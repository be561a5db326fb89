/** The published build checks: what is allowed and still probably not meant. https://docs.docker.com/reference/build-checks/ */
import * as path from 'node:path'
import { parseReference } from '../../image/reference.ts'
import type { BuildWarning } from '../request.ts'
import type { CheckOptions } from './check-options.ts'
import { BASE, RULES, type RuleName } from './check-rules.ts'
import type { LineRange } from './errors.ts'
import { expandWord, type Lookup } from './expand.ts'
import { hasWildcard, IgnoreMatcher } from './ignore.ts'
import type { CommandInstruction, Instruction, Stage } from './instructions.ts'
import type { Dockerfile } from './parse.ts'
import { nearest } from './suggest.ts'

type Report = (rule: RuleName, detail: string, range: LineRange) => void

/** Warnings in the order of the file, of the rules that `options` ask for. @param exclude patterns of `.dockerignore` */
export function checkDockerfile(
  file: Dockerfile,
  options: CheckOptions,
  exclude: readonly string[] = [],
): BuildWarning[] {
  const warnings: BuildWarning[] = []
  const report: Report = (rule, detail, range) => {
    if (options.isChecked(rule)) warnings.push(warning(rule, detail, range))
  }
  for (const range of file.emptyContinuations) {
    report('NoEmptyContinuation', 'Empty continuation line', { start: range.end, end: range.end })
  }
  checkCasing(file, report)
  checkStageNames(file, report)
  const isAbsolute = new Set<string>()
  for (const stage of file.stages) {
    checkFrom(file, stage, report)
    checkStage(stage, report, isAbsolute)
  }
  checkDescriptions(file, report)
  checkIgnored(file, exclude, report)
  return warnings.sort((a, b) => a.range.start - b.range.start)
}

/** A variable that nothing declares, as the plan found it; `known` are those that there are. `undefined` where nobody asks for it. */
export function undefinedVariable(
  options: CheckOptions,
  name: string,
  known: readonly string[],
  range: LineRange,
): BuildWarning | undefined {
  if (!options.isChecked('UndefinedVar')) return undefined
  const near = nearest(name, known, true)
  const hint = near === undefined ? '' : ` (did you mean $${near}?)`
  return warning('UndefinedVar', `Usage of undefined variable '$${name}'${hint}`, range)
}

function warning(rule: RuleName, detail: string, range: LineRange): BuildWarning {
  const { description, path: page } = RULES[rule]
  return { rule, description, url: BASE + page, detail, range }
}

function checkCasing(file: Dockerfile, report: Report): void {
  const all: Instruction[] = [
    ...file.metaArgs,
    ...file.stages.flatMap(stage => [stage.from, ...stage.instructions]),
  ]
  const isUpper = (text: string) => text === text.toUpperCase()
  const isLower = (text: string) => text === text.toLowerCase()
  const count = (fits: (text: string) => boolean) => all.filter(one => fits(one.written)).length
  const wanted = count(isLower) > count(isUpper) ? 'lowercase' : 'uppercase'
  for (const { written, range } of all) {
    if (wanted === 'uppercase' ? isUpper(written) : isLower(written)) continue
    report(
      'ConsistentInstructionCasing',
      `Command '${written}' should match the case of the command majority (${wanted})`,
      range,
    )
  }
}

function checkStageNames(file: Dockerfile, report: Report): void {
  const seen = new Set<string>()
  for (const { from } of file.stages) {
    const { stageName, stageNameWritten = '', range } = from
    if (stageName === undefined) continue
    if (stageNameWritten !== stageName) {
      report('StageNameCasing', `Stage name '${stageNameWritten}' should be lowercase`, range)
    }
    if (seen.has(stageName)) {
      report('DuplicateStageName', `Duplicate stage name "${stageName}", stage names should be unique`, range)
    }
    seen.add(stageName)
    if (stageName === 'scratch' || stageName === 'context') {
      report(
        'ReservedStageName',
        `Stage name should not use the same name as reserved stage "${stageName}"`,
        range,
      )
    }
    const as = from.original.split(/\s+/).at(-2)
    const isUpper = from.written === from.written.toUpperCase()
    if (as && as !== (isUpper ? as.toUpperCase() : as.toLowerCase())) {
      report('FromAsCasing', `'${as}' and '${from.written}' keywords' casing do not match`, range)
    }
  }
}

function checkFrom(file: Dockerfile, { from }: Stage, report: Report): void {
  const { platform, base, range } = from
  if (platform !== undefined && /^\$(TARGETPLATFORM|\{TARGETPLATFORM\})$/.test(platform)) {
    report(
      'RedundantTargetPlatform',
      `Setting platform to predefined ${platform} in FROM is redundant as this is the default behavior`,
      range,
    )
  } else if (
    platform !== undefined &&
    !platform.includes('$') &&
    !from.stageName?.includes(platform.split('/').at(-1)!)
  ) {
    report(
      'FromPlatformFlagConstDisallowed',
      `FROM --platform flag should not use constant value "${platform}"`,
      range,
    )
  }
  const defaults = new Map(file.metaArgs.flatMap(one => one.args.map(arg => [arg.key, arg.value])))
  if (base.includes('$') && !isName(base, name => defaults.get(name), file.escapeChar)) {
    report(
      'InvalidDefaultArgInFrom',
      `Default value for ARG ${base} results in empty or invalid base image name`,
      range,
    )
  }
  const declared = new Set([...file.metaArgs.flatMap(one => one.args.map(arg => arg.key)), ...PREDEFINED])
  for (const name of variablesIn(`${base} ${platform ?? ''}`)) {
    if (!declared.has(name)) {
      const found = nearest(name, [...declared], true)
      const hint = found === undefined ? '' : ` (did you mean ${found}?)`
      report('UndefinedArgInFrom', `FROM argument '${name}' is not declared${hint}`, range)
    }
  }
}

/** Whether the defaults of the arguments alone make a name of it. */
function isName(base: string, lookup: Lookup, escapeChar: string): boolean {
  try {
    parseReference(expandWord(base, lookup, { escapeChar }))
    return true
  } catch {
    return false
  }
}

/** A comment straight above something that others use is about it, and begins with its name. */
function checkDescriptions(file: Dockerfile, report: Report): void {
  const told = (what: string, name: string, { comments, range }: Instruction) => {
    if (comments.length === 0 || comments.some(text => text.startsWith(`${name} `))) return
    report(
      'InvalidDefinitionDescription',
      `Comment for ${what} should follow the format: \`# ${name} <description>\``,
      range,
    )
  }
  for (const one of file.metaArgs) for (const { key } of one.args) told('ARG', key, one)
  for (const { from, instructions } of file.stages) {
    if (from.stageName !== undefined) told('FROM', from.stageName, from)
    for (const one of instructions) {
      if (one.name === 'ARG') for (const { key } of one.args) told('ARG', key, one)
    }
  }
}

function checkIgnored(file: Dockerfile, exclude: readonly string[], report: Report): void {
  if (exclude.length === 0) return
  const matcher = new IgnoreMatcher(exclude)
  for (const one of file.stages.flatMap(stage => stage.instructions)) {
    if ((one.name !== 'COPY' && one.name !== 'ADD') || one.from !== undefined) continue
    for (const source of one.sources) {
      const place = path.posix.join('/', source).slice(1).replace(/\/$/, '')
      if (place === '' || hasWildcard(source) || /[$:]/.test(source) || !matcher.ignores(place)) continue
      const verb = one.name === 'COPY' ? 'Copy' : 'Add'
      const detail = `Attempting to ${verb} file ${JSON.stringify(source)} that is excluded by .dockerignore`
      report('CopyIgnoredFile', detail, one.range)
    }
  }
}

const PREDEFINED = ['BUILD', 'TARGET'].flatMap(side =>
  ['PLATFORM', 'OS', 'OSVERSION', 'ARCH', 'VARIANT'].map(name => side + name),
)

/** Names of the variables that `text` uses without a default. */
function variablesIn(text: string): string[] {
  const names: string[] = []
  for (const match of text.matchAll(/\\.|\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))/g)) {
    const name = match[1] ?? match[2]
    if (name !== undefined) names.push(name)
  }
  return names
}

const SECRET = /(^|_)(apikey|auth|credential|credentials|key|password|pword|passwd|secret|token)(_|$)/i
const PUBLIC = /(^|_)public(_|$)/i

/** @param settled names of the stages whose working directory is absolute */
function checkStage(stage: Stage, report: Report, settled: Set<string>): void {
  const last = new Map<string, Instruction>()
  let absolute = settled.has(stage.from.base.toLowerCase())
  let hasShell = false
  for (const one of stage.instructions) {
    switch (one.name) {
      case 'MAINTAINER':
        report(
          'MaintainerDeprecated',
          `Maintainer instruction is deprecated in favor of using label`,
          one.range,
        )
        break
      case 'WORKDIR':
        if (/^(\/|\$)/.test(one.value)) absolute = true
        else if (!absolute) {
          const detail = `Relative workdir "${one.value}" can have unexpected results if the base image changes`
          report('WorkdirRelativePath', detail, one.range)
        }
        break
      case 'ENV':
      case 'LABEL':
        if (one.legacy) {
          report(
            'LegacyKeyValueFormat',
            `"${one.name} key=value" should be used instead of legacy "${one.name} key value" format`,
            one.range,
          )
        }
        if (one.name === 'ENV') for (const { key } of one.pairs) checkSecret('ENV', key, one.range, report)
        break
      case 'ARG':
        for (const { key } of one.args) checkSecret('ARG', key, one.range, report)
        break
      case 'EXPOSE':
        for (const value of [...one.values].sort()) checkPort(value, one.range, report)
        break
      case 'SHELL':
        hasShell = true
        break
      case 'CMD':
      case 'ENTRYPOINT':
        if (!hasShell) checkCommand(one, report)
        break
      default:
    }
    if (one.name === 'CMD' || one.name === 'ENTRYPOINT' || one.name === 'HEALTHCHECK') {
      const before = last.get(one.name)
      if (before) {
        report(
          'MultipleInstructionsDisallowed',
          `Multiple ${one.name} instructions should not be used in the same stage because only the last one will be used`,
          before.range,
        )
      }
      last.set(one.name, one)
    }
  }
  if (absolute && stage.from.stageName !== undefined) settled.add(stage.from.stageName)
}

function checkSecret(instruction: string, key: string, range: LineRange, report: Report): void {
  if (!SECRET.test(key) || PUBLIC.test(key)) return
  const detail = `Do not use ARG or ENV instructions for sensitive data (${instruction} "${key}")`
  report('SecretsUsedInArgOrEnv', detail, range)
}

function checkPort(value: string, range: LineRange, report: Report): void {
  const [address = '', protocol] = value.split('/')
  if (protocol !== undefined && protocol !== protocol.toLowerCase()) {
    report(
      'ExposeProtoCasing',
      `Defined protocol '${value}' in EXPOSE instruction should be lowercase`,
      range,
    )
  }
  if (address.includes(':')) {
    const detail = `EXPOSE instruction should not define an IP address or host-port mapping, found '${value}'`
    report('ExposeInvalidFormat', detail, range)
  }
}

function checkCommand(one: CommandInstruction, report: Report): void {
  if (!one.command.shell || one.command.words.length === 0) return
  const detail = `JSON arguments recommended for ${one.written} to prevent unintended behavior related to OS signals`
  report('JSONArgsRecommended', detail, one.range)
}
