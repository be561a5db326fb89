/** From what was written (flags and file) to what the daemon and the engine are set up with. */
import * as os from 'node:os'
import * as path from 'node:path'
import type { AddressPool, EngineConfig, RuntimeConfig } from '../../engine/config.ts'
import type { Ulimit } from '../../engine/types.ts'
import { invalid } from '../../errors.ts'
import type { Logger } from '../../logger.ts'
import type { Values } from './config-file.ts'
import { type DaemonSettings, keyOf, rows } from './options.ts'

const certificates = process.env['DOCKER_CERT_PATH'] ?? path.join(os.homedir(), '.docker')

function defaults(): DaemonSettings {
  return {
    hosts: [],
    dataRoot: '/var/lib/gantry',
    execRoot: '/run/gantry',
    pidfile: '/var/run/docker.pid',
    debug: false,
    logLevel: 'info',
    logFormat: 'text',
    proxies: {},
    tls: false,
    tlsVerify: false,
    tlsCaCert: path.join(certificates, 'ca.pem'),
    tlsCert: path.join(certificates, 'cert.pem'),
    tlsKey: path.join(certificates, 'key.pem'),
    engine: {},
  }
}

/** Raises `invalid` for values that cannot be; `logger` hears what is accepted and has no effect. */
export function settingsOf(values: Values, logger: Logger): DaemonSettings {
  const settings = defaults()
  for (const entry of rows) {
    const key = keyOf(entry)
    const value = values[key]
    if (value === undefined) continue
    if (entry.ignored) logger.debug(`${key} has no effect: ${entry.ignored}`)
    if (entry.refused && !isHarmless(value, entry.harmless)) throw invalid(`${key}: ${entry.refused}`)
    if (!entry.to) continue
    const [target, name] = entry.to.startsWith('engine.')
      ? [settings.engine, entry.to.slice('engine.'.length)]
      : [settings, entry.to]
    ;(target as Record<string, unknown>)[name] = value
  }
  Object.assign(settings.engine, structured(values))
  settings.proxies = proxiesOf(values)
  check(settings)
  settings.engine.debug = settings.debug
  if (settings.tlsVerify) settings.tls = true
  settings.dataRoot = path.resolve(settings.dataRoot)
  settings.execRoot = path.resolve(settings.execRoot)
  return settings
}

/** Of the flags, and of `proxies` in the file. */
function proxiesOf(values: Values): Record<string, string> {
  const file = (values['proxies'] ?? {}) as Record<string, string>
  const names = ['http-proxy', 'https-proxy', 'no-proxy']
  const found = names.map(name => [name, values[name] ?? file[name]] as const)
  return Object.fromEntries(found.filter(([, value]) => typeof value === 'string')) as Record<string, string>
}

function isHarmless(value: unknown, harmless: unknown[] = []): boolean {
  if (Array.isArray(value)) return value.every(entry => harmless.includes(entry))
  return value === '' || harmless.includes(value)
}

/** Options with a form of their own, in the file or on the command line. */
function structured(values: Values): EngineConfig {
  const config: EngineConfig = {}
  const driver = values['log-driver'] as string | undefined
  const options = values['log-opts'] as Record<string, string> | undefined
  if (driver !== undefined || options !== undefined) {
    config.logConfig = { type: driver ?? '', options: options ?? {} }
  }
  const shm = values['default-shm-size']
  if (shm !== undefined) config.defaultShmSize = sizeOf('default-shm-size', shm)
  const layer = values['max-layer-size']
  if (layer !== undefined) config.maxLayerSize = sizeOf('max-layer-size', layer)
  const runtimes = values['runtimes']
  if (runtimes) config.runtimes = runtimesOf(runtimes as Values)
  const ulimits = values['default-ulimits']
  if (ulimits)
    config.defaultUlimits = Object.entries(ulimits as Values).map(([name, value]) => ulimitOf(name, value))
  const pools = values['default-address-pools']
  if (pools) config.defaultAddressPools = (pools as unknown[]).map(poolOf)
  return config
}

const units: Record<string, number> = { '': 1, b: 1, k: 1 << 10, m: 1 << 20, g: 1 << 30 }

function sizeOf(key: string, value: unknown): number {
  const match = /^(\d+)\s*([bkmg]?)i?b?$/i.exec(String(value))
  if (!match)
    throw invalid(
      `invalid argument ${JSON.stringify(String(value))} for "--${key}" flag: invalid size: '${value}'`,
    )
  return Number(match[1]) * units[match[2]!.toLowerCase()]!
}

function runtimesOf(values: Values): Record<string, RuntimeConfig> {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => {
      if (typeof value === 'string') return [name, { path: value }]
      const { path: program, runtimeArgs } = (value ?? {}) as RuntimeConfig
      if (!program) throw invalid(`invalid runtime ${name}: a path is needed`)
      return [name, { path: program, ...(runtimeArgs && { runtimeArgs }) }]
    }),
  )
}

/** `soft[:hard]`, or the file's object. */
function ulimitOf(name: string, value: unknown): Ulimit {
  if (typeof value === 'object' && value !== null) {
    const { Soft = 0, Hard = 0 } = value as { Soft?: number; Hard?: number }
    return { name, soft: Soft, hard: Hard }
  }
  const match = /^(-?\d+)(?::(-?\d+))?$/.exec(String(value))
  if (!match) throw invalid(`invalid ulimit argument: ${name}=${value}`)
  return { name, soft: Number(match[1]), hard: Number(match[2] ?? match[1]) }
}

/** `base=10.0.0.0/8,size=24`, or the file's object. */
function poolOf(value: unknown): AddressPool {
  const given =
    typeof value === 'string'
      ? Object.fromEntries(value.split(',').map(part => part.split('=', 2)))
      : (value as Values)
  const { base, size } = given as { base?: string; size?: string | number }
  if (!base) throw invalid(`invalid default address pool ${JSON.stringify(value)}: a base is needed`)
  return { base, size: Number(size ?? base.split('/')[1]) }
}

function check({ engine, logLevel, logFormat }: DaemonSettings): void {
  const fail = (reason: string) =>
    invalid(`merged configuration validation from file and command line flags failed: ${reason}`)
  const atLeast = (name: string, value: number | undefined, least: number) => {
    if (value !== undefined && !(value >= least)) throw fail(`invalid ${name}: ${value}`)
  }
  if (!['debug', 'info', 'warn', 'error', 'fatal'].includes(logLevel))
    throw fail(`invalid logging level: ${logLevel}`)
  if (!['text', 'json'].includes(logFormat)) throw fail(`invalid log format: ${logFormat}`)
  atLeast('max concurrent downloads', engine.maxConcurrentDownloads, 0)
  atLeast('max concurrent uploads', engine.maxConcurrentUploads, 0)
  atLeast('max download attempts', engine.maxDownloadAttempts, 1)
  atLeast('default MTU', engine.mtu, 0)
  for (const mirror of engine.registryMirrors ?? []) {
    if (!/^https?:\/\//.test(mirror)) {
      throw fail(
        `invalid mirror: no scheme specified for ${JSON.stringify(mirror)}: must use either 'https://' or 'http://'`,
      )
    }
  }
  for (const label of engine.labels ?? []) {
    if (!/^[^=]+=./.test(label)) throw fail(`bad attribute format: ${label}`)
  }
}
