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
  const { ino, mode } = fs.fstatSync(fd)
  await pipeline(
    fs.createReadStream('', { fd }),
    zlib.createGzip(),
    fs.createWriteStream(half, { mode: mode & 0o777, flush: true }),
  )
  const compressed = fs.statSync(half).ino
  originals.set(compressed, ino)
  for (let name = nameOf(path, ino); name; name = nameOf(path, ino)) {
    fs.renameSync(half, `${name}.gz`)
    // Under a name of its own first: if the shim rotated just now, it is another file, and goes back.
    const away = `${path}.compressed`
    fs.renameSync(name, away)
    if (fs.statSync(away).ino === ino) {
      fs.unlinkSync(away)
      return
    }
    fs.renameSync(away, name)
    fs.renameSync(nameOf(path, compressed, '.gz')!, half)
  }
  // Rotated out of sight meanwhile.
  fs.unlinkSync(half)
}

/** Under which number a file is now. */
function nameOf(path: string, inode: number, ending = ''): string | undefined {
  for (let n = 1; ; n++) {
    const name = `${path}.${n}`
    if (fs.statSync(name + ending, { throwIfNoEntry: false })?.ino === inode) return name + ending
    if (!fs.existsSync(name) && !fs.existsSync(`${name}.gz`)) return undefined
  }
}

/** Inodes of compressed files to those of what they were made from. */
const originals = new Map<number, number>()

/** The inode by which a log file is known, whether a reader opened it before it was compressed or after. */
export function identityOf(file: string | number, isCompressed: boolean): number | undefined {
  const stat = typeof file === 'number' ? fs.fstatSync(file) : fs.statSync(file, { throwIfNoEntry: false })
  return stat && isCompressed ? (originals.get(stat.ino) ?? stat.ino) : stat?.ino
}
