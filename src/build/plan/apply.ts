/** What each instruction does to a stage. Those that change files make a vertex; the others change the config. */
import * as path from 'node:path'
import { invalid } from '../../errors.ts'
import type { ImageRuntimeConfig } from '../../image/types.ts'
import type {
  ArgInstruction,
  CommandForm,
  HealthcheckInstruction,
  Instruction,
  ListInstruction,
  PairsInstruction,
  TextInstruction,
} from '../dockerfile/instructions.ts'
import { applyCopy } from './apply-copy.ts'
import { applyRun } from './apply-run.ts'
import { healthcheckText, pairsText, plainList, quotedList } from './history.ts'
import type { FileOp, Owner } from './ops.ts'
import type { StageBuilder } from './stage-builder.ts'

export async function applyInstruction(stage: StageBuilder, one: Instruction): Promise<void> {
  switch (one.name) {
    case 'RUN':
      return applyRun(stage, one)
    case 'COPY':
    case 'ADD':
      return applyCopy(stage, one)
    case 'ENV':
    case 'LABEL':
      return applyPairs(stage, one)
    case 'ARG':
      return applyArg(stage, one)
    case 'CMD':
    case 'ENTRYPOINT':
      return applyCommand(stage, one.name, one.command)
    case 'EXPOSE':
    case 'VOLUME':
    case 'SHELL':
      return applyList(stage, one)
    case 'HEALTHCHECK':
      return applyHealthcheck(stage, one)
    case 'FROM':
      throw invalid('FROM begins a stage')
    default:
      return applyText(stage, one)
  }
}

function applyPairs(stage: StageBuilder, { name, pairs }: PairsInstruction): void {
  // All values of one instruction see the environment from before it.
  const expanded = pairs.map(({ key, value }) => ({
    key: stage.expand(key),
    value: stage.expand(value ?? ''),
  }))
  if (name === 'ENV') {
    const env = stage.env
    for (const { key, value } of expanded) env.set(key, value)
    stage.config.Env = [...env].map(([key, value]) => `${key}=${value}`)
  } else {
    stage.config.Labels = {
      ...stage.config.Labels,
      ...Object.fromEntries(expanded.map(({ key, value }) => [key, value])),
    }
  }
  stage.record(pairsText(name, expanded))
}

function applyArg(stage: StageBuilder, one: ArgInstruction): void {
  const shown = []
  for (const { key, value } of one.args) {
    const given = stage.options.args
    const fallback = value === undefined ? stage.global(key) : stage.expand(value)
    const settled = Object.hasOwn(given, key) ? given[key] : fallback
    const before = stage.args.find(arg => arg.key === key)
    if (before) before.value = settled
    else stage.args.push({ key, value: settled })
    shown.push({ key, value: settled })
    stage.parameters.declare((value === undefined && stage.globalArg(key)) || one, key, settled)
  }
  stage.record(pairsText('ARG', shown))
}

function applyCommand(stage: StageBuilder, name: 'CMD' | 'ENTRYPOINT', { words, shell }: CommandForm): void {
  const argv = shell ? (words.length > 0 ? [...shellOf(stage.config), words.join(' ')] : []) : words
  if (name === 'CMD') {
    stage.config.Cmd = argv
    stage.cmdSet = true
  } else {
    stage.config.Entrypoint = argv
    if (!stage.cmdSet) delete stage.config.Cmd
  }
  if (name === 'CMD') stage.config.ArgsEscaped = true
  stage.record(`${name} ${quotedList(argv)}`)
}

export const shellOf = (config: ImageRuntimeConfig): string[] => config.Shell ?? ['/bin/sh', '-c']

function applyList(stage: StageBuilder, one: ListInstruction): void {
  const { config } = stage
  if (one.name === 'SHELL') {
    config.Shell = one.values
    stage.record(`SHELL ${plainList(one.values)}`)
    return
  }
  if (one.name === 'VOLUME') {
    const volumes = one.values.map(value => stage.expand(value))
    if (volumes.includes('')) throw invalid('VOLUME specified can not be an empty string')
    config.Volumes = { ...config.Volumes, ...Object.fromEntries(volumes.map(volume => [volume, {}])) }
    stage.record(`VOLUME ${plainList(volumes)}`)
    return
  }
  const ports = [...one.values]
    .sort()
    .flatMap(value => stage.expandWords(value))
    .flatMap(portRange)
  config.ExposedPorts = { ...config.ExposedPorts, ...Object.fromEntries(ports.map(port => [port, {}])) }
  stage.record(`EXPOSE ${plainList(ports)}`)
}

/** `80`, `53/udp`, `8000-8002/tcp`, `127.0.0.1:80:80/tcp`. */
function portRange(text: string): string[] {
  const [address = '', protocol = 'tcp'] = text.toLowerCase().split('/')
  const ports = address.split(':').at(-1)!
  const match = /^(\d+)(?:-(\d+))?$/.exec(ports)
  if (!match) throw invalid(`invalid containerPort: ${ports}`)
  if (!['tcp', 'udp', 'sctp'].includes(protocol))
    throw invalid(`invalid port: ${JSON.stringify(text)}: invalid proto: ${protocol}`)
  const first = Number(match[1])
  const last = Number(match[2] ?? match[1])
  if (last > 65535 || first > last) throw invalid(`invalid containerPort: ${ports}`)
  return Array.from({ length: last - first + 1 }, (_, index) => `${first + index}/${protocol}`)
}

function applyHealthcheck(stage: StageBuilder, { check }: HealthcheckInstruction): void {
  stage.config.Healthcheck = {
    Test: check.test ?? [],
    ...(check.interval && { Interval: check.interval }),
    ...(check.timeout && { Timeout: check.timeout }),
    ...(check.startPeriod && { StartPeriod: check.startPeriod }),
    ...(check.startInterval && { StartInterval: check.startInterval }),
    ...(check.retries && { Retries: check.retries }),
  }
  stage.record(healthcheckText(check))
}

function applyText(stage: StageBuilder, one: TextInstruction): void {
  const { config } = stage
  switch (one.name) {
    case 'USER': {
      const user = stage.expand(one.value)
      if (user === '') throw invalid('USER requires exactly one argument')
      config.User = user
      stage.record(`USER ${user}`)
      return
    }
    case 'STOPSIGNAL': {
      const signal = stage.expand(one.value)
      checkSignal(signal)
      config.StopSignal = signal
      stage.record(`STOPSIGNAL ${signal}`)
      return
    }
    case 'MAINTAINER':
      stage.image.author = one.value
      stage.record(`MAINTAINER ${one.value}`)
      return
    case 'ONBUILD':
      config.OnBuild = [...(config.OnBuild ?? []), one.value]
      return
    case 'WORKDIR':
      applyWorkdir(stage, one)
  }
}

function applyWorkdir(stage: StageBuilder, one: TextInstruction): void {
  const written = stage.expand(one.value)
  if (written === '') throw invalid('WORKDIR requires exactly one argument')
  const folder = path.posix.resolve(stage.config.WorkingDir || '/', written)
  // As Docker: an absolute path is kept as it was written.
  const shown = written.startsWith('/') ? written : folder
  stage.config.WorkingDir = shown
  if (folder === '/') {
    stage.record(`WORKDIR ${shown}`)
    return
  }
  const owner = ownerOf(stage.config.User)
  const op: FileOp = {
    kind: 'file',
    root: stage.state && 0,
    actions: [{ action: 'mkdir', path: folder, mode: 0o755, ...(owner && { owner }) }],
  }
  stage.advance(op, stage.state ? [stage.state] : [], one)
  stage.record(`WORKDIR ${shown}`, true)
}

/** `user[:group]` as an owner of files. */
export function ownerOf(text: string | undefined): Owner | undefined {
  if (!text) return undefined
  const [user = '', group] = text.split(':')
  return { user, ...(group !== undefined && { group: group || '0' }) }
}

const SIGNALS = new Set(
  'ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ'.split(
    ' ',
  ),
)

function checkSignal(text: string): void {
  const name = text.toUpperCase().replace(/^SIG/, '')
  const known = SIGNALS.has(name) || /^RTM(IN|AX)([+-]\d+)?$/.test(name)
  const number = /^\d+$/.test(text) && Number(text) > 0
  if (!known && !number) throw invalid(`invalid signal: ${text}`)
}
