/** The key sequence that ends an attachment and leaves the container running. moby/term: ascii.go, proxy.go */
import { invalid } from '../errors.ts'

export const DEFAULT_DETACH_KEYS = 'ctrl-p,ctrl-q'

/** `ctrl-p,ctrl-q`, `a`, `ctrl-@,x` → bytes. Raises invalid. */
export function parseDetachKeys(text: string): number[] {
  return text.split(',').map(key => {
    if (key.length === 1) return key.charCodeAt(0)
    const control = /^ctrl-([a-z@[\\\]^_])$/.exec(key)?.[1]
    if (!control) throw invalid(`invalid detach keys (${text}) provided: Unknown character: '${key}'`)
    return control >= 'a' && control <= 'z' ? control.charCodeAt(0) - 96 : control.charCodeAt(0) - 64
  })
}

/** Finds the sequence in what is typed; a beginning that does not go on is passed on as it came. */
export class DetachScanner {
  readonly #keys: number[]
  #matched = 0

  constructor(keys: number[]) {
    this.#keys = keys
  }

  /** What to pass on of `chunk` (and of what was held back), and whether the sequence is complete. */
  scan(chunk: Buffer): { bytes: Buffer; detached: boolean } {
    if (this.#matched === 0 && !chunk.includes(this.#keys[0]!)) return { bytes: chunk, detached: false }
    const out: number[] = []
    for (const byte of chunk) {
      if (byte === this.#keys[this.#matched]) {
        if (++this.#matched === this.#keys.length) return { bytes: Buffer.from(out), detached: true }
        continue
      }
      out.push(...this.#keys.slice(0, this.#matched))
      this.#matched = 0
      if (byte === this.#keys[0]) this.#matched = 1
      else out.push(byte)
    }
    return { bytes: Buffer.from(out), detached: false }
  }
}
