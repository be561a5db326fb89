/** Log drivers and their options: which there are, and what each takes. */
import { invalid, messageOf, notImplemented } from '../errors.ts'
import type { LogConfig } from './types.ts'

const COMMON = ['mode', 'max-buffer-size', 'labels', 'labels-regex', 'env', 'env-regex', 'tag']
const OPTIONS: Record<string, string[]> = {
  'json-file': ['max-file', 'max-size', 'compress', ...COMMON],
  local: ['max-file', 'max-size', 'compress', ...COMMON],
  none: ['mode', 'max-buffer-size'],
}

/** Docker has these; here they come later. */
const ELSEWHERE = ['awslogs', 'etwlogs', 'fluentd', 'gcplogs', 'gelf', 'journald', 'splunk', 'syslog']

export const logDrivers = Object.keys(OPTIONS)

/** What the daemon decides where a container says nothing; its options are for its own driver only. */
export function mergeLogConfig(own: LogConfig | undefined, daemon: LogConfig | undefined): LogConfig {
  const fallback = daemon?.type || 'json-file'
  const type = own?.type || fallback
  return { type, options: { ...(type === fallback && daemon?.options), ...own?.options } }
}

/** Raises invalid for a driver or option that does not exist, notImplemented for one that Docker has. */
export function checkLogConfig(config: LogConfig | undefined): void {
  if (!config?.type) return
  if (ELSEWHERE.includes(config.type)) {
    throw notImplemented(`log driver ${config.type} is not implemented; use one of ${logDrivers.join(', ')}`)
  }
  const known = OPTIONS[config.type]
  if (!known) {
    throw invalid(`error looking up logging plugin ${config.type}: plugin "${config.type}" not found`)
  }
  for (const option of Object.keys(config.options)) {
    if (!known.includes(option)) throw invalid(unknownOption(option, config.type))
  }
  const mode = config.options['mode'] ?? 'blocking'
  if (mode !== 'blocking' && mode !== 'non-blocking')
    throw invalid(`logger: logging mode not supported: ${mode}`)
  const buffer = config.options['max-buffer-size']
  if (buffer !== undefined) {
    if (mode !== 'non-blocking') {
      throw invalid("logger: max-buffer-size option is only supported with 'mode=non-blocking'")
    }
    try {
      parseSize(buffer)
    } catch (error) {
      throw invalid(`error parsing option max-buffer-size: ${messageOf(error)}`, error)
    }
  }
}

const unknownOption = (option: string, driver: string): string =>
  driver === 'local'
    ? `unknown log opt '${option}' for log driver local`
    : `unknown log opt '${option}' for ${driver} log driver`

const UNITS: Record<string, number> = { '': 0, b: 0, k: 1, m: 2, g: 3, t: 4, p: 5 }

/** `10m`, `1.5GiB`, `512` → bytes. Raises invalid. */
function parseSize(text: string): number {
  const parts = /^(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?$/i.exec(text.trim())
  if (!parts) throw invalid(`invalid size: '${text}'`)
  return Math.floor(Number(parts[1]) * 1024 ** UNITS[parts[2]!.toLowerCase()]!)
}

export interface LogLimits {
  /** Bytes; -1 is unlimited. */
  maxSize: number
  maxFile: number
  compress: boolean
  /** Bytes that may wait for the disk before lines are dropped; undefined blocks the container. */
  nonBlockingBuffer?: number
}

/** The numbers in a driver's options. Raises invalid, as Docker does at start. */
export function logLimits({ type, options }: LogConfig): LogLimits {
  const local = type === 'local'
  const maxSize = options['max-size'] ? parseSize(options['max-size']) : local ? 20 * 1024 ** 2 : -1
  const maxFile = options['max-file'] === undefined ? (local ? 5 : 1) : Number(options['max-file'])
  const compress = options['compress'] === undefined ? local : options['compress'] === 'true'
  if (!Number.isInteger(maxFile)) {
    throw invalid(
      `failed to initialize logging driver: strconv.Atoi: parsing "${options['max-file']}": invalid syntax`,
    )
  }
  if (maxFile < 1) throw invalid('failed to initialize logging driver: max-file cannot be less than 1')
  if (type === 'json-file' && compress && (maxFile === 1 || maxSize === -1)) {
    throw invalid(
      'failed to initialize logging driver: compress cannot be true when max-file is less than 2 or max-size is not set',
    )
  }
  const limits: LogLimits = { maxSize, maxFile, compress }
  if (options['mode'] === 'non-blocking') {
    limits.nonBlockingBuffer = parseSize(options['max-buffer-size'] ?? '1m')
  }
  return limits
}
