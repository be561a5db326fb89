/**
 * Compressing what a log rotated away (`compress`): `path.N` becomes `path.N.gz`, while the shim may rotate again at any moment and
 * so give both the next number. A crash leaves the file that was, and at most a half-made one under a name that nobody reads.
 */
import * as fs from 'node:fs'
import { pipeline } from 'node:stream/promises'
import * as zlib from 'node:zlib'

/** Calls come one after another for one log. */
export class LogCompressor {
  readonly #path: string
  readonly #onError: (error: unknown) => void
  #running: Promise<void> | undefined
  #again = false

  constructor(path: string, onError: (error: unknown) => void) {
    this.#path = path
    this.#onError = onError
  }

  /** There may be something to compress. */
  wake(): void {
    this.#again = true
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined
    })
  }

  async #run(): Promise<void> {
    while (this.#again) {
      this.#again = false
      try {
        for (let plain = oldestPlain(this.#path); plain; plain = oldestPlain(this.#path)) {
          await compress(this.#path, plain)
        }
      } catch (error) {
        this.#onError(error)
      }
    }
  }
}

/** The rotated file with the highest number that is not compressed. */
function oldestPlain(path: string): string | undefined {
  let oldest: string | undefined
  for (let n = 1; ; n++) {
    const plain = `${path}.${n}`
    if (fs.existsSync(plain)) oldest = plain
    else if (!fs.existsSync(`${plain}.gz`)) return oldest
  }
}

async function compress(path: string, plain: string): Promise<void> {
  const half = `${path}.compressing`
  const fd = fs.openSync(plain, 'r')
  const original = statIdentity(fd)!
  await pipeline(
    fs.createReadStream('', { fd }),
    zlib.createGzip(),
    fs.createWriteStream(half, { mode: fs.fstatSync(fd).mode & 0o777, flush: true }),
  )
  const compressed = statIdentity(half)!
  remember(compressed, original)
  for (let name = nameOf(path, original); name; name = nameOf(path, original)) {
    fs.renameSync(half, `${name}.gz`)
    // Under a name of its own first: if the shim rotated just now, it is another file, and goes back.
    const away = `${path}.compressed`
    fs.renameSync(name, away)
    if (statIdentity(away) === original) {
      fs.unlinkSync(away)
      return
    }
    fs.renameSync(away, name)
    fs.renameSync(nameOf(path, compressed, '.gz')!, half)
  }
  // Rotated out of sight meanwhile.
  fs.unlinkSync(half)
  originals.delete(compressed)
}

/** Under which number a file is now. */
function nameOf(path: string, identity: string, ending = ''): string | undefined {
  for (let n = 1; ; n++) {
    const name = `${path}.${n}`
    if (statIdentity(name + ending) === identity) return name + ending
    if (!fs.existsSync(name) && !fs.existsSync(`${name}.gz`)) return undefined
  }
}

/** Identities of compressed files to those of what they were made from, while somebody may still read at that place. */
const originals = new Map<string, string>()

function remember(compressed: string, original: string): void {
  originals.set(compressed, original)
  if (originals.size > 10_000) originals.delete(originals.keys().next().value!)
}

/** By what a log file is known, whether a reader opened it before it was compressed or after; undefined where there is none. */
export function identityOf(file: string | number, isCompressed: boolean): string | undefined {
  const identity = statIdentity(file)
  return identity !== undefined && isCompressed ? (originals.get(identity) ?? identity) : identity
}

/** The inode alone names nothing: the next file gets that of the one that was just removed. */
function statIdentity(file: string | number): string | undefined {
  const options = { bigint: true, throwIfNoEntry: false } as const
  const stat = typeof file === 'number' ? fs.fstatSync(file, options) : fs.statSync(file, options)
  return stat && `${stat.ino}:${stat.birthtimeNs}`
}
