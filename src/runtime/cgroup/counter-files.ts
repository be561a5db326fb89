/** Files of the kernel that are read again and again: held open, and parsed only when they say something else than last time. */
import * as fs from 'node:fs'
import { hasCode } from '../../errors.ts'
import { parseTable } from './files.ts'

/** Every file of counters fits in, so that one read(2) gets a state that once was. */
const scratch = Buffer.alloc(64 * 1024)

/** Readings for which a limit is taken to be what it was. */
const LIMIT_AGE = 8

/** How many more may be held open, all sets together. A file beyond that is opened for each reading. */
let free = Math.floor(openFilesLimit() / 2)

export class CounterFiles {
  readonly #close: (() => void)[] = []

  /** Reads a number: 0 where there is no such file. */
  number(path: string | undefined): () => number {
    return this.file(path, Number, 0)
  }

  /** Reads a limit; `none` where there is no such file or it says `max`. Limits change seldom: one may be seen some readings late. */
  limit<T>(path: string | undefined, none: T): () => number | T {
    const read = this.file<number | T>(path, text => (text === 'max' ? none : Number(text)), none)
    let value: number | T
    let readings = 0
    return () => {
      if (readings++ % LIMIT_AGE === 0) value = read()
      return value
    }
  }

  /** Reads lines of `name value`. */
  table(path: string | undefined): () => Record<string, number> {
    return this.file(path, parseTable, {})
  }

  /** Reads what `parse` makes of the text without its last newline; `absent` where this kernel has no such file. */
  file<T>(path: string | undefined, parse: (text: string) => T, absent: T): () => T {
    let missing = path === undefined
    let held: number | undefined
    let text: string | undefined
    let value = absent
    this.#close.push(() => {
      if (held === undefined) return
      fs.closeSync(held)
      held = undefined
      free++
    })

    /** The number of bytes that are in `scratch` now. */
    const readFirst = (): number => {
      const fd = fs.openSync(path!, 'r')
      try {
        return fs.readSync(fd, scratch, 0, scratch.length, 0)
      } finally {
        if (free > 0) {
          free--
          held = fd
        } else fs.closeSync(fd)
      }
    }

    return () => {
      if (missing) return absent
      try {
        const length = held === undefined ? readFirst() : fs.readSync(held, scratch, 0, scratch.length, 0)
        const now = scratch.toString('latin1', 0, length)
        if (now !== text) {
          value = parse(now.trimEnd())
          text = now
        }
        return value
      } catch (error) {
        if (!hasCode(error, 'ENOENT', 'ENODEV', 'EOPNOTSUPP')) throw error
        missing = true
        return absent
      }
    }
  }

  close(): void {
    for (const close of this.#close) close()
  }
}

/** proc(5), limits: the soft limit, which Node raises to the hard one when it starts. */
function openFilesLimit(): number {
  const soft = /^Max open files +(\d+)/m.exec(fs.readFileSync('/proc/self/limits', 'latin1'))?.[1]
  return Number(soft ?? 1024)
}
