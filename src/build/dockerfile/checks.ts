/** The published build checks: what is allowed and still probably not meant. https://docs.docker.com/reference/build-checks/ */
import type { BuildWarning } from '../request.ts'
import type { LineRange } from './errors.ts'
import type { CommandInstruction, Instruction, Stage } from './instructions.ts'
import type { Dockerfile } from './parse.ts'

export interface CheckOptions {
  args: Record<string, string>
  target?: string | undefined
}

interface Rule {
  description: string
  path: string
}

const BASE = 'https://docs.docker.com/go/dockerfile/rule/'

const RULES = {
  StageNameCasing: { description: 'Stage names should be lowercase', path: 'stage-name-casing/' },
  FromAsCasing: {
    description: "The 'as' keyword should match the case of the 'from' keyword",
    path: 'from-as-casing/',
  },
  NoEmptyContinuation: {
    description: 'Empty continuation lines will become errors in a future release',
    path: 'no-empty-continuation/',
  },
  ConsistentInstructionCasing: {
    description: 'All commands within the Dockerfile should use the same casing (either upper or lower)',
    path: 'consistent-instruction-casing/',
  },
  DuplicateStageName: { description: 'Stage names should be unique', path: 'duplicate-stage-name/' },
  ReservedStageName: {
    description: 'Reserved words should not be used as stage names',
    path: 'reserved-stage-name/',
  },
  JSONArgsRecommended: {
    description:
      'JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals',
    path: 'json-args-recommended/',
  },
  MaintainerDeprecated: {
    description: 'The MAINTAINER instruction is deprecated, use a label instead to define an image author',
    path: 'maintainer-deprecated/',
  },
  UndefinedArgInFrom: {
    description: 'FROM command must use declared ARGs',
    path: 'undefined-arg-in-from/',
  },
  WorkdirRelativePath: {
    description:
      'Relative workdir without an absolute workdir declared within the build can have unexpected results if the base image changes',
    path: 'workdir-relative-path/',
  },
  UndefinedVar: { description: 'Variables should be defined before their use', path: 'undefined-var/' },
  MultipleInstructionsDisallowed: {
    description: 'Multiple instructions of the same type should not be used in the same stage',
    path: 'multiple-instructions-disallowed/',
  },
  LegacyKeyValueFormat: {
    description: 'Legacy key/value format with whitespace separator should not be used',
    path: 'legacy-key-value-format/',
  },
  RedundantTargetPlatform: {
    description:
      'Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior',
    path: 'redundant-target-platform/',
  },
  SecretsUsedInArgOrEnv: {
    description: 'Sensitive data should not be used in the ARG or ENV commands',
    path: 'secrets-used-in-arg-or-env/',
  },
  FromPlatformFlagConstDisallowed: {
    description: 'FROM --platform flag should not use a constant value',
    path: 'from-platform-flag-const-disallowed/',
  },
  InvalidDefaultArgInFrom: {
    description: 'Default value for global ARG results in an empty or invalid base image name',
    path: 'invalid-default-arg-in-from/',
  },
  ExposeProtoCasing: {
    description: 'Protocol in EXPOSE instruction should be lowercase',
    path: 'expose-proto-casing/',
  },
  ExposeInvalidFormat: {
    description:
      'IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future release',
    path: 'expose-invalid-format/',
  },
} as const satisfies Record<string, Rule>

type RuleName = keyof typeof RULES
type Report = (rule: RuleName, detail: string, range: LineRange) => void

/** Warnings in the order of the file, without the rules that a `check=skip=…` directive leaves out. */
export function checkDockerfile(file: Dockerfile, options: CheckOptions): BuildWarning[] {
  const warnings: BuildWarning[] = []
  const skipped = skippedRules(file)
  const report: Report = (rule, detail, range) => {
    if (skipped.has(rule) || skipped.has('all')) return
    const { description, path } = RULES[rule]
    warnings.push({ rule, description, url: BASE + path, detail, range })
  }
  for (const range of file.emptyContinuations) {
    report('NoEmptyContinuation', 'Empty continuation line', { start: range.end, end: range.end })
  }
  checkCasing(file, report)
  checkStageNames(file, report)
  for (const stage of file.stages) {
    checkFrom(file, stage, options, report)
    checkStage(stage, report)
  }
  return warnings.sort((a, b) => a.range.start - b.range.start)
}

/** `# check=skip=A,B;error=true` */
function skippedRules(file: Dockerfile): Set<string> {
  const skip = /(?:^|;)\s*skip=([^;]*)/.exec(file.directives.check?.value ?? '')?.[1] ?? ''
  return new Set(skip.split(',').map(name => name.trim()))
}

/** Whether a `check=error=true` directive makes warnings fail the build. */
export function warningsAreErrors(file: Dockerfile): boolean {
  return /(?:^|;)\s*error=true/.test(file.directives.check?.value ?? '')
}

function checkCasing(file: Dockerfile, report: Report): void {
  const all: Instruction[] = [
    ...file.metaArgs,
    ...file.stages.flatMap(stage => [stage.from, ...stage.instructions]),
  ]
  const isUpper = (text: string) => text === text.toUpperCase()
  const isLower = (text: string) => text === text.toLowerCase()
  const upper = all.filter(one => isUpper(one.written)).length
  const wanted = upper * 2 >= all.length ? 'uppercase' : 'lowercase'
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
      report(
        'DuplicateStageName',
        `Duplicate stage name "${stageNameWritten}", stage names should be unique`,
        range,
      )
    }
    seen.add(stageName)
    if (stageName === 'scratch' || stageName === 'context') {
      report(
        'ReservedStageName',
        `Stage name should not use the same name as reserved stage "${stageName}"`,
        range,
      )
    }
    const as = /\s(as)\s+\S+\s*$/i.exec(from.original)?.[1]
    const fromIsUpper = from.written === from.written.toUpperCase()
    if (as && (as === as.toUpperCase()) !== fromIsUpper) {
      report('FromAsCasing', `'${as}' and '${from.written}' keywords' casing do not match`, range)
    }
  }
}

function checkFrom(file: Dockerfile, { from }: Stage, options: CheckOptions, report: Report): void {
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
  const declared = new Set([...file.metaArgs.flatMap(one => one.args.map(arg => arg.key)), ...PREDEFINED])
  for (const name of variablesIn(`${base} ${platform ?? ''}`)) {
    if (!declared.has(name)) {
      report('UndefinedArgInFrom', `FROM argument '${name}' is not declared`, range)
    }
  }
  const defaults = new Map(file.metaArgs.flatMap(one => one.args.map(arg => [arg.key, arg.value])))
  const empty = variablesIn(base).filter(
    name => declared.has(name) && defaults.has(name) && !defaults.get(name),
  )
  if (
    empty.length > 0 &&
    !base.includes(':-') &&
    !Object.keys(options.args).some(name => empty.includes(name))
  ) {
    report(
      'InvalidDefaultArgInFrom',
      `Default value for ARG ${base} results in empty or invalid base image name`,
      range,
    )
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

function checkStage(stage: Stage, report: Report): void {
  const last = new Map<string, Instruction>()
  let absolute = false
  const defined = new Set(['PATH', ...PREDEFINED, ...PROXIES])
  const isOwnBase = stage.from.base === 'scratch'
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
        for (const value of one.values) checkPort(value, one.range, report)
        break
      case 'CMD':
      case 'ENTRYPOINT':
        checkCommand(stage, one, report)
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
    checkVariables(one, defined, isOwnBase, report)
  }
}

const PROXIES = ['HTTP_PROXY', 'HTTPS_PROXY', 'FTP_PROXY', 'NO_PROXY', 'ALL_PROXY'].flatMap(name => [
  name,
  name.toLowerCase(),
])

/** Only a stage from `scratch` has all its variables in the file: an image may bring others. */
function checkVariables(one: Instruction, defined: Set<string>, certain: boolean, report: Report): void {
  if (
    ['ENV', 'LABEL', 'ADD', 'COPY', 'WORKDIR', 'USER', 'EXPOSE', 'VOLUME', 'STOPSIGNAL'].includes(one.name)
  ) {
    for (const name of variablesIn(one.original)) {
      if (certain && !defined.has(name))
        report('UndefinedVar', `Usage of undefined variable '$${name}'`, one.range)
    }
  }
  if (one.name === 'ENV') for (const { key } of one.pairs) defined.add(key)
  if (one.name === 'ARG') for (const { key } of one.args) defined.add(key)
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

function checkCommand(stage: Stage, one: CommandInstruction, report: Report): void {
  const hasShell = stage.instructions.some(other => other.name === 'SHELL')
  if (!one.command.shell || hasShell || one.command.words.length === 0) return
  const detail = `JSON arguments recommended for ${one.name} to prevent unintended behavior related to OS signals`
  report('JSONArgsRecommended', detail, one.range)
}
