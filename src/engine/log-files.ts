/**
 * The entries of a log that is spread over `path.N` (oldest) … `path.1`, `path`, while somebody writes and rotates it. A file that
 * is open is read to its end whatever it is called by then.
 */
import * as fs from 'node:fs'
import * as path from 'node:path'
import * as zlib from 'node:zlib'
import { hasCode } from '../errors.ts'
import { identityOf } from './log-compress.ts'
import type { LogEntry, LogFormat } from './log-formats.ts'

const BLOCK = 256 * 1024

export interface LogSource {
  path: string
  format: LogFormat
}

export interface EntryOptions {
  /** From the end; absent is all. */
  tail?: number
  follow?: boolean
  /** Nothing more will be written. Asked after each end of file; once it says so, the rest is read and the stream ends. */
  isComplete: () => boolean
  /** Resolves when {@link isComplete} may have changed. */
  onComplete: Promise<unknown>
  signal?: AbortSignal
}

/** In the order in which they were written, as many at a time as one reading gives. */
export async function* readEntries(source: LogSource, options: EntryOptions): AsyncGenerator<LogEntry[]> {
  const changes = options.follow ? new Changes(source.path, options) : undefined
  try {
    let file = openFirst(source, options.tail)
    while (file) {
      yield* readFile(file, source.format)
      const complete = options.isComplete()
      if (complete || !changes) {
        // What came between the end of file and the answer.
        yield* readFile(file, source.format)
      }
      const next = openNext(source, file)
      if (next) {
        yield* readFile(file, source.format)
        file.close()
        file = next
        continue
      }
      if (!changes || complete || options.signal?.aborted) {
        file.close()
        return
      }
      await changes.next()
      if (options.signal?.aborted) {
        file.close()
        return
      }
    }
    // No file yet: the container never wrote. Followed, it may.
    while (changes && !file && !options.isComplete() && !options.signal?.aborted) {
      await changes.next()
      file = openFirst(source, undefined)
      if (file) {
        file.close()
        yield* readEntries(source, { ...options, tail: undefined })
        return
      }
    }
  } finally {
    changes?.close()
  }
}

/** Wakes a reader when the folder changed, the container ended, or the reader's client went. */
class Changes {
  readonly #watcher: fs.FSWatcher
  #dirty = false
  #wake = (): void => {}
  readonly #touch = (): void => {
    this.#dirty = true
    this.#wake()
  }
  readonly #signal: AbortSignal | undefined

  constructor(file: string, { onComplete, signal }: EntryOptions) {
    this.#watcher = fs.watch(path.dirname(file), this.#touch)
    this.#watcher.on('error', this.#touch)
    this.#signal = signal
    signal?.addEventListener('abort', this.#touch)
    void onComplete.then(this.#touch, this.#touch)
  }

  async next(): Promise<void> {
    if (!this.#dirty) {
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
    this.#dirty = false
  }

  close(): void {
    this.#signal?.removeEventListener('abort', this.#touch)
    this.#watcher.close()
  }
}

/** One open file and how far it was read. */
interface OpenFile {
  /** {@link identityOf} it. */
  identity: string
  read(buffer: Buffer): Promise<number>
  rest: Buffer
  close(): void
}

async function* readFile(file: OpenFile, format: LogFormat): AsyncGenerator<LogEntry[]> {
  for (;;) {
    const block = Buffer.allocUnsafe(BLOCK)
    const length = await file.read(block)
    if (length === 0) return
    const buffer =
      file.rest.length > 0 ? Buffer.concat([file.rest, block.subarray(0, length)]) : block.subarray(0, length)
    const entries: LogEntry[] = []
    let at = 0
    for (let size: number; (size = format.lengthAt(buffer, at)) > 0; at += size) {
      const entry = format.parse(buffer.subarray(at, at + size))
      if (entry) entries.push(entry)
    }
    if (entries.length > 0) yield entries
    file.rest = Buffer.from(buffer.subarray(at))
  }
}

const isCompressed = (file: string): boolean => file.endsWith('.gz')

/** The files that there are, oldest first; a number is missing while they are being renamed. */
function filesOf(source: LogSource): string[] {
  const { dir, base } = path.parse(source.path)
  const numbers = new Set<number>()
  for (const name of fs.readdirSync(dir)) {
    const number = name.startsWith(`${base}.`) && /^\.(\d+)(\.gz)?$/.exec(name.slice(base.length))?.[1]
    if (number) numbers.add(Number(number))
  }
  const older = [...numbers].sort((a, b) => b - a).map(number => `${source.path}.${number}`)
  return [...older.map(plain => (fs.existsSync(plain) ? plain : `${plain}.gz`)), source.path]
}

/** The file with which to begin, at the place from which the last `tail` entries start. */
function openFirst(source: LogSource, tail: number | undefined): OpenFile | undefined {
  if (tail === undefined) return openAfter(source, undefined)
  let wanted = tail
  for (const file of filesOf(source).reverse()) {
    const found = findTail(file, source.format, wanted)
    if (!found) continue
    if (found.offset >= 0) return openFile(file, found.offset)
    wanted -= found.entries
  }
  return openAfter(source, undefined)
}

/** Where the last `count` entries begin; -1 and how many there are, where there are fewer. */
function findTail(
  file: string,
  format: LogFormat,
  count: number,
): { offset: number; entries: number } | undefined {
  const opened = tryOpen(file)
  if (opened === undefined) return undefined
  try {
    const content = isCompressed(file) ? zlib.gunzipSync(fs.readFileSync(opened)) : undefined
    const size = content?.length ?? fs.fstatSync(opened).size
    if (count === 0) return { offset: size, entries: 0 }
    for (let span = Math.min(size, BLOCK); ; span = Math.min(size, span * 4)) {
      const buffer = content?.subarray(size - span) ?? readAt(opened, size - span, span)
      const at = format.lastEntries(buffer, count)
      if (at >= 0) return { offset: size - span + at, entries: count }
      if (span === size) break
    }
    const whole = content ?? readAt(opened, 0, size)
    let entries = 0
    for (let at = 0, length: number; (length = format.lengthAt(whole, at)) > 0; at += length) entries++
    return entries >= count ? { offset: 0, entries } : { offset: -1, entries }
  } finally {
    fs.closeSync(opened)
  }
}

function readAt(fd: number, offset: number, length: number): Buffer {
  const buffer = Buffer.alloc(length)
  const read = fs.readSync(fd, buffer, 0, length, offset)
  return buffer.subarray(0, read)
}

function tryOpen(file: string): number | undefined {
  try {
    return fs.openSync(file, 'r')
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

/** The file that was begun after `current`; undefined where `current` is the one being written. */
function openNext(source: LogSource, current: OpenFile): OpenFile | undefined {
  const newest = identityOf(source.path, false)
  return newest === undefined || newest === current.identity ? undefined : openAfter(source, current.identity)
}

/** The file after the one of that identity; the oldest where it was rotated away, or none is given. Undefined where there is none. */
function openAfter(source: LogSource, identity: string | undefined): OpenFile | undefined {
  for (;;) {
    const file = openFile(fileAfter(source, identity), 0)
    const again = fileAfter(source, identity)
    if (file?.identity === identityOf(again, isCompressed(again))) return file
    // Rotated between the look and the opening: another file has that name by now.
    file?.close()
  }
}

function fileAfter(source: LogSource, identity: string | undefined): string {
  const files = filesOf(source)
  const at = files.map(file => identityOf(file, isCompressed(file))).indexOf(identity)
  return files[identity === undefined ? 0 : at + 1] ?? source.path
}

function openFile(file: string, offset: number): OpenFile | undefined {
  const fd = tryOpen(file)
  if (fd === undefined) return undefined
  const identity = identityOf(fd, isCompressed(file))!
  const content = isCompressed(file) ? zlib.gunzipSync(fs.readFileSync(fd)) : undefined
  let position = offset
  return {
    identity,
    rest: Buffer.alloc(0),
    async read(buffer) {
      const length = content
        ? content.copy(buffer, 0, position)
        : await new Promise<number>((resolve, reject) =>
            fs.read(fd, buffer, 0, buffer.length, position, (error, bytes) =>
              error ? reject(error) : resolve(bytes),
            ),
          )
      position += length
      return length
    },
    close: () => fs.closeSync(fd),
  }
}
