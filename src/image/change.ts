/**
 * The lines that `docker commit -c` and `docker import -c` take: the Dockerfile instructions that only change an image's config.
 * The whole language lives in `build/`.
 */
import { invalid } from '../errors.ts'
import type { ImageRuntimeConfig } from './types.ts'

type Apply = (config: ImageRuntimeConfig, rest: string) => void

const INSTRUCTIONS: Record<string, Apply> = {
  CMD: (config, rest) => {
    config.Cmd = command(rest, config)
  },
  ENTRYPOINT: (config, rest) => {
    config.Entrypoint = command(rest, config)
  },
  ENV: (config, rest) => {
    config.Env = pairs('ENV', rest).reduce(setVariable, [...(config.Env ?? [])])
  },
  EXPOSE: (config, rest) => {
    const ports = needed('EXPOSE', words(rest)).map(portName)
    config.ExposedPorts = { ...config.ExposedPorts, ...Object.fromEntries(ports.map(port => [port, {}])) }
  },
  HEALTHCHECK: (config, rest) => {
    config.Healthcheck = healthcheck(rest)
  },
  LABEL: (config, rest) => {
    config.Labels = { ...config.Labels, ...Object.fromEntries(pairs('LABEL', rest)) }
  },
  ONBUILD: (config, rest) => {
    if (rest === '') throw invalid('ONBUILD requires at least one argument')
    const trigger = rest.split(/\s+/)[0]!.toUpperCase()
    if (trigger === 'ONBUILD') throw invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if (trigger === 'FROM' || trigger === 'MAINTAINER') {
      throw invalid(`${trigger} isn't allowed as an ONBUILD trigger`)
    }
    config.OnBuild = [...(config.OnBuild ?? []), rest]
  },
  SHELL: (config, rest) => {
    const list = jsonList(rest)
    if (list === undefined || list.length === 0)
      throw invalid('SHELL requires the arguments to be in JSON form')
    config.Shell = list
  },
  STOPSIGNAL: (config, rest) => {
    config.StopSignal = exactlyOne('STOPSIGNAL', rest)
  },
  USER: (config, rest) => {
    config.User = exactlyOne('USER', rest)
  },
  VOLUME: (config, rest) => {
    const volumes = jsonList(rest) ?? needed('VOLUME', words(rest))
    if (volumes.some(volume => volume.trim() === ''))
      throw invalid('VOLUME specified can not be an empty string')
    config.Volumes = { ...config.Volumes, ...Object.fromEntries(volumes.map(volume => [volume, {}])) }
  },
  WORKDIR: (config, rest) => {
    const folder = exactlyOne('WORKDIR', rest)
    const base = config.WorkingDir || '/'
    const full = folder.startsWith('/') ? folder : `${base}/${folder}`
    config.WorkingDir = `/${full.split('/').reduce(climb, []).join('/')}`
  },
}

/**
 * `config` with the changes made.
 * @param changes one instruction each
 * @throws GantryError `invalid` in Docker's words
 */
export function applyChanges(config: ImageRuntimeConfig, changes: readonly string[]): ImageRuntimeConfig {
  const changed = { ...config }
  for (const line of changes.flatMap(change => change.split('\n'))) {
    const match = /^\s*([A-Za-z]+)(?:\s+([\s\S]*))?$/.exec(line)
    if (line.trim() === '' || line.trimStart().startsWith('#')) continue
    const name = match?.[1]?.toUpperCase() ?? line.trim()
    const apply = INSTRUCTIONS[name]
    if (apply === undefined) {
      const word = line.trim().split(/\s+/)[0]!
      throw invalid(`${word.toUpperCase()} is not a valid change command`)
    }
    apply(changed, (match?.[2] ?? '').trim())
  }
  return changed
}

/** The JSON form, or a line for the shell. */
function command(rest: string, config: ImageRuntimeConfig): string[] {
  const list = jsonList(rest)
  if (list !== undefined) return list
  return rest === '' ? [] : [...(config.Shell ?? ['/bin/sh', '-c']), rest]
}

function jsonList(rest: string): string[] | undefined {
  if (!rest.startsWith('[')) return undefined
  try {
    const value: unknown = JSON.parse(rest)
    if (Array.isArray(value) && value.every(item => typeof item === 'string')) return value
  } catch {
    // a line for the shell that happens to begin with a bracket
  }
  return undefined
}

/** Split at blanks; quotes and backslashes bind, and are taken away. */
function words(rest: string): string[] {
  const found: string[] = []
  const pattern = /(?:"(?:\\.|[^"\\])*"|'[^']*'|\\.|[^\s"'\\])+/g
  for (const [word] of rest.matchAll(pattern)) found.push(unquote(word))
  return found
}

function unquote(word: string): string {
  return word.replace(/"((?:\\.|[^"\\])*)"|'([^']*)'|\\(.)/g, (_all, double, single, escaped) => {
    if (double !== undefined) return double.replace(/\\(["\\$])/g, '$1')
    return single ?? escaped
  })
}

/** `a=b c="d e"`, or the old form `a b c d` (one name, the rest is its value). */
function pairs(name: string, rest: string): [string, string][] {
  const list = needed(name, words(rest))
  if (!list[0]!.includes('=')) {
    const [key, value] = splitAt(rest, /\s+/)
    if (value === undefined) throw invalid(`${name} must have two arguments`)
    return [[unquote(key), unquote(value)]]
  }
  return list.map(word => {
    const [key, value] = splitAt(word, /=/)
    if (value === undefined)
      throw invalid(`Syntax error - can't find = in "${word}". Must be of the form: name=value`)
    if (key === '') throw invalid(`${name} names can not be blank`)
    return [key, value]
  })
}

function splitAt(text: string, separator: RegExp): [string, string | undefined] {
  const match = separator.exec(text)
  return match === null
    ? [text, undefined]
    : [text.slice(0, match.index), text.slice(match.index + match[0].length)]
}

function setVariable(env: string[], [name, value]: [string, string]): string[] {
  const at = env.findIndex(each => each.startsWith(`${name}=`))
  if (at < 0) return [...env, `${name}=${value}`]
  return env.with(at, `${name}=${value}`)
}

function portName(text: string): string {
  const match = /^([0-9]+(?:-[0-9]+)?)(?:\/(tcp|udp|sctp))?$/i.exec(text)
  if (match === null) throw invalid(`Invalid containerPort: ${text}`)
  return `${match[1]}/${(match[2] ?? 'tcp').toLowerCase()}`
}

function healthcheck(rest: string): NonNullable<ImageRuntimeConfig['Healthcheck']> {
  const check: NonNullable<ImageRuntimeConfig['Healthcheck']> = {}
  let left = rest
  for (let flag = FLAG.exec(left); flag !== null; flag = FLAG.exec(left)) {
    const [all, name, value] = flag as unknown as [string, string, string]
    if (name === 'retries') check.Retries = Number(value)
    else if (name === 'interval') check.Interval = duration(value)
    else if (name === 'timeout') check.Timeout = duration(value)
    else if (name === 'start-period') check.StartPeriod = duration(value)
    else if (name === 'start-interval') check.StartInterval = duration(value)
    else throw invalid(`unknown flag: ${name}`)
    left = left.slice(all.length)
  }
  const [type, line = ''] = splitAt(left, /\s+/)
  if (type.toUpperCase() === 'NONE') return { Test: ['NONE'] }
  if (type.toUpperCase() !== 'CMD')
    throw invalid(`Unknown type "${type.toUpperCase()}" in HEALTHCHECK (try CMD)`)
  const list = jsonList(line)
  if (list === undefined && line === '') throw invalid('Missing command after HEALTHCHECK CMD')
  return { Test: list === undefined ? ['CMD-SHELL', line] : ['CMD', ...list], ...check }
}

const FLAG = /^--([a-z-]+)=(\S+)\s*/

const UNITS: Record<string, number> = { ns: 1, us: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 }

/** A Go duration in nanoseconds. */
function duration(text: string): number {
  if (!/^(?:[0-9]+(?:\.[0-9]+)?(?:ns|us|ms|s|m|h))+$/.test(text))
    throw invalid(`time: invalid duration "${text}"`)
  const parts = text.matchAll(/([0-9.]+)(ns|us|ms|s|m|h)/g)
  return [...parts].reduce((sum, [, count, unit]) => sum + Number(count) * UNITS[unit!]!, 0)
}

function needed(name: string, list: string[]): string[] {
  if (list.length === 0) throw invalid(`${name} requires at least one argument`)
  return list
}

function exactlyOne(name: string, rest: string): string {
  const list = words(rest)
  if (list.length !== 1) throw invalid(`${name} requires exactly one argument`)
  return list[0]!
}

function climb(parts: string[], part: string): string[] {
  if (part === '' || part === '.') return parts
  return part === '..' ? parts.slice(0, -1) : [...parts, part]
}
