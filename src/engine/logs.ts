/** `docker logs`: entries chosen, dressed and framed. moby api/server/httputils/write_log_stream.go */
import { Readable } from 'node:stream'
import { notImplemented } from '../errors.ts'
import { formatNano } from './clock.ts'
import type { Container } from './container.ts'
import type { EngineContext } from './context.ts'
import { frame, STDERR, STDOUT } from './frames.ts'
import { readEntries } from './log-files.ts'
import { binaryFormat, jsonFormat, type LogEntry, type LogFormat } from './log-formats.ts'
import type { LogOptions } from './results.ts'

const FORMATS: Record<string, LogFormat> = { 'json-file': jsonFormat, local: binaryFormat }

/** Raises where the driver keeps nothing. The stream is framed unless the container has a terminal. */
export async function readLogs(
  _context: EngineContext,
  container: Container,
  options: LogOptions,
): Promise<Readable> {
  const { record } = container
  const format = FORMATS[record.host.logConfig?.type ?? '']
  if (!format) throw notImplemented('configured logging driver does not support reading')
  const closing = new AbortController()
  const close = (): void => closing.abort()
  options.signal?.addEventListener('abort', close, { once: true })
  const ended = options.follow ? container.onceExited(closing.signal) : Promise.resolve()
  ended.catch(() => {}) // nobody reads any more
  const entries = readEntries(
    { path: record.logPath, format },
    {
      follow: options.follow,
      tail: options.tail,
      isComplete: () => !container.hasProcess || container.removed,
      onComplete: ended,
      signal: closing.signal,
    },
  )
  const timer =
    options.follow && options.until !== undefined
      ? setTimeout(close, Math.max(0, Number(options.until / 1_000_000n) - Date.now()))
      : undefined
  const stream = Readable.from(dress(entries, options, record.config.tty ?? false), { objectMode: false })
  stream.once('close', () => {
    clearTimeout(timer)
    options.signal?.removeEventListener('abort', close)
    close()
  })
  return stream
}

async function* dress(
  batches: AsyncGenerator<LogEntry[]>,
  options: LogOptions,
  tty: boolean,
): AsyncGenerator<Buffer> {
  for await (const entries of batches) {
    const late = entries.findIndex(({ time }) => options.until !== undefined && time > options.until)
    const framed = (late < 0 ? entries : entries.slice(0, late))
      .filter(entry => isWanted(entry, options))
      .map(entry => {
        const bytes = dressed(entry, options)
        return tty ? bytes : frame(entry.stream === 'stderr' ? STDERR : STDOUT, bytes)
      })
    if (framed.length > 0) yield Buffer.concat(framed)
    if (late >= 0) return
  }
}

function isWanted({ stream, time }: LogEntry, options: LogOptions): boolean {
  return Boolean(options[stream]) && (options.since === undefined || time >= options.since)
}

function dressed({ time, text, attributes }: LogEntry, options: LogOptions): Buffer {
  let head = ''
  if (options.timestamps) head += `${fixedNano(time)} `
  if (options.details) head += `${detailsText(attributes)} `
  return head === '' ? text : Buffer.concat([Buffer.from(head), text])
}

/** RFC 3339 with all nine digits. */
function fixedNano(time: bigint): string {
  const text = formatNano(time)
  return `${text.slice(0, 19)}.${(time % 1_000_000_000n).toString().padStart(9, '0')}Z`
}

function detailsText(attributes: Record<string, string> = {}): string {
  return Object.entries(attributes)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${encodeURIComponent(key)}=${encodeURIComponent(value)}`)
    .join(',')
}
