import { closeSync, constants, openSync } from 'node:fs'
import { O_PATH } from '../linux/index.ts'

/** sun_path holds 108 bytes with its NUL. unix(7) */
const LONGEST = 107

/** A way to a folder's `shim.sock` that fits into a socket's address, however long the folder's path is. */
export class SocketPath {
  readonly #folder: string
  #fd: number | undefined

  constructor(folder: string) {
    this.#folder = folder
  }

  get path(): string {
    const plain = `${this.#folder}/shim.sock`
    if (Buffer.byteLength(plain) <= LONGEST) return plain
    this.#fd ??= openSync(this.#folder, O_PATH | constants.O_DIRECTORY)
    return `/proc/self/fd/${this.#fd}/shim.sock`
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = undefined
  }
}
