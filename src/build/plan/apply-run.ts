/** `RUN`: a command, its here-documents and its mounts. */
import * as path from 'node:path'
import { forbidden, invalid } from '../../errors.ts'
import { type Heredoc, heredocText } from '../dockerfile/heredoc.ts'
import type { MountFlag, RunInstruction } from '../dockerfile/instructions.ts'
import { shellOf } from './apply.ts'
import { PROXY_ARGS } from './convert.ts'
import { runText } from './history.ts'
import { parseMountFlag } from './mount-flag.ts'
import type { ExecMount, ExecOp, Input, Vertex } from './ops.ts'
import type { StageBuilder } from './stage-builder.ts'

export async function applyRun(stage: StageBuilder, run: RunInstruction): Promise<void> {
  const { options, config } = stage
  const network = networkOf(run.network, options.network)
  if (run.security !== 'sandbox' && run.security !== 'insecure') {
    throw invalid(`security ${JSON.stringify(run.security)} is not valid`)
  }
  checkEntitled(options.entitlements, 'network.host', network === 'host')
  checkEntitled(options.entitlements, 'security.insecure', run.security === 'insecure')
  if (run.devices.length > 0) throw invalid('RUN --device: no CDI devices are known here')
  const inputs: Vertex[] = []
  const input = (vertex: Vertex | undefined): Input => (vertex ? inputs.push(vertex) - 1 : undefined)
  const root = input(stage.state)
  const mounts: ExecMount[] = []
  for (const text of run.mounts) {
    const flag = parseMountFlag(text, value => stage.expand(value))
    mounts.push(await mountOf(stage, flag, run, input))
  }
  const { argv, documents } = commandOf(run, shellOf(config))
  mounts.push(...documents)
  const { args } = stage
  const env = stage.env
  const variables = args.filter(arg => arg.value !== undefined && !env.has(arg.key))
  const shown = args.map(({ key, value }) => ({ key, value: env.get(key) ?? value ?? '' }))
  const op: ExecOp = {
    kind: 'exec',
    root,
    argv,
    env: [...(config.Env ?? []), ...variables.map(({ key, value }) => `${key}=${value}`)],
    cwd: config.WorkingDir || '/',
    user: config.User ?? '',
    mounts,
    network,
    privileged: run.security === 'insecure',
    ...(options.hostname && { hostname: options.hostname }),
    extraHosts: options.extraHosts,
    ulimits: options.ulimits,
    ...(options.shmSize && { shmSize: options.shmSize }),
    ...(options.cgroupParent && { cgroupParent: options.cgroupParent }),
    ...(options.limits && { limits: options.limits }),
    proxyEnv: proxyEnv(options.args),
  }
  stage.advance(op, inputs, run)
  stage.record(runText(argv, shown), true)
}

/** Each variable under both of its names. */
function proxyEnv(args: Record<string, string>): string[] {
  return PROXY_ARGS.flatMap(name => {
    const value = args[name] ?? args[name.toUpperCase()] ?? args[name.toLowerCase()]
    return value === undefined ? [] : [`${name}=${value}`]
  })
}

function networkOf(written: string, fallback: ExecOp['network']): ExecOp['network'] {
  if (written === 'default') return fallback
  if (written === 'none' || written === 'host') return written
  throw invalid(`invalid network mode ${JSON.stringify(written)}`)
}

function checkEntitled(given: ReadonlySet<string> | undefined, name: string, isAsked: boolean): void {
  if (isAsked && given && !given.has(name)) {
    throw forbidden(`${name} is not allowed: build with --allow ${name}`)
  }
}

/** A lone `<<EOF` is the script itself; any other line with documents goes to the shell as it is. */
function commandOf(run: RunInstruction, shell: string[]): { argv: string[]; documents: ExecMount[] } {
  const { words, shell: isShell } = run.command
  if (!isShell) return { argv: words, documents: [] }
  const line = words.join(' ')
  const [only] = run.heredocs
  if (!only) return { argv: [...shell, line], documents: [] }
  if (run.heredocs.length === 1 && /^\d*<<-?\s*(['"]?)[^\s<]+\1$/.test(line)) {
    const content = heredocText(only)
    if (!content.startsWith('#!')) return { argv: [...shell, content], documents: [] }
    const target = `/dev/pipes/${only.name}`
    return { argv: [...shell, target], documents: [{ type: 'file', target, content, mode: 0o755 }] }
  }
  const documents = run.heredocs.map((doc: Heredoc) => `\n${doc.content}${doc.name}`).join('')
  return { argv: [...shell, line + documents], documents: [] }
}

async function mountOf(
  stage: StageBuilder,
  flag: MountFlag,
  run: RunInstruction,
  input: (vertex: Vertex | undefined) => Input,
): Promise<ExecMount> {
  const cwd = stage.config.WorkingDir || '/'
  const target = path.posix.resolve(cwd, flag.target ?? '')
  const isNamed = flag.type === 'secret' || flag.type === 'ssh'
  if (target === '/' && (!isNamed || flag.target !== undefined)) throw invalid('invalid mount target "/"')
  const owner = { uid: flag.uid ?? 0, gid: flag.gid ?? 0 }
  switch (flag.type) {
    case 'tmpfs':
      return { type: 'tmpfs', target, ...(flag.size !== undefined && { size: flag.size }) }
    case 'cache':
      return {
        type: 'cache',
        id: [stage.options.cacheNamespace, flag.id || target].filter(Boolean).join('/'),
        target,
        from: flag.from === undefined ? undefined : input(await stage.source(flag.from, run.range)),
        source: path.posix.resolve('/', flag.source ?? ''),
        readOnly: flag.readOnly ?? false,
        sharing: flag.sharing ?? 'shared',
        mode: flag.mode ?? 0o755,
        ...owner,
      }
    case 'secret': {
      const id = flag.id ?? (flag.source || path.posix.basename(flag.target ?? '') || flag.env || '')
      stage.parameters.ask('secrets', id, flag.required ?? false, run.range)
      const usual = flag.env === undefined ? `/run/secrets/${path.posix.basename(id)}` : undefined
      const place = flag.target === undefined ? usual : target
      return {
        type: 'secret',
        id,
        ...(place !== undefined && { target: place }),
        ...(flag.env !== undefined && { env: flag.env }),
        required: flag.required ?? false,
        mode: flag.mode ?? 0o400,
        ...owner,
      }
    }
    case 'ssh': {
      const count = run.mounts.indexOf(run.mounts.find(text => text.includes('type=ssh'))!)
      const id = flag.id ?? 'default'
      stage.parameters.ask('ssh', id, flag.required ?? false, run.range)
      return {
        type: 'ssh',
        id,
        target: flag.target === undefined ? `/run/buildkit/ssh_agent.${Math.max(count, 0)}` : target,
        required: flag.required ?? false,
        mode: flag.mode ?? 0o600,
        ...owner,
      }
    }
    default: {
      const source = path.posix.resolve('/', flag.source ?? '')
      const from = flag.from === undefined ? stage.contextVertex() : await stage.source(flag.from, run.range)
      return { type: 'bind', from: input(from), source, target, readOnly: flag.readOnly ?? true }
    }
  }
}
