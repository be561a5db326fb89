/** The daemon's own log: one line an event on stderr, in logfmt as dockerd writes it, or JSON. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
export type LogFields = Record<string, string | number | boolean | undefined>

export interface Logger {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
}

const ORDER: LogLevel[] = ['debug', 'info', 'warn', 'error']

export interface LoggerOptions {
  level?: LogLevel
  format?: 'text' | 'json'
  write?: (line: string) => void
}

export interface AdjustableLogger extends Logger {
  /** From now on what is less grave is not written. */
  setLevel(level: LogLevel): void
}

export function createLogger(options: LoggerOptions = {}): AdjustableLogger {
  let threshold = ORDER.indexOf(options.level ?? 'info')
  const write = options.write ?? ((line: string) => process.stderr.write(line))
  const log = (level: LogLevel) => {
    const grave = ORDER.indexOf(level)
    return (message: string, fields: LogFields = {}): void => {
      if (grave < threshold) return
      const entry = { time: new Date().toISOString(), level, msg: message, ...fields }
      write((options.format === 'json' ? JSON.stringify(entry) : logfmt(entry)) + '\n')
    }
  }
  return {
    debug: log('debug'),
    info: log('info'),
    warn: log('warn'),
    error: log('error'),
    setLevel(level) {
      threshold = ORDER.indexOf(level)
    },
  }
}

function logfmt(entry: LogFields): string {
  return Object.entries(entry)
    .filter(([, value]) => value !== undefined)
    .map(
      ([key, value]) =>
        `${key}=${/^[\w.:/@+-]+$/.test(String(value)) ? value : JSON.stringify(String(value))}`,
    )
    .join(' ')
}

/** Says nothing: for tests and for programs that embed the engine and did not ask. */
export const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }
