import { closeSync } from 'node:fs'

/** The open fds that go along with a plan: its slots are indexes into them. */
export class Slots {
  readonly fds: number[] = []
  readonly #own: number[] = []

  /** The slot of an fd. */
  add(fd: number): number {
    const known = this.fds.indexOf(fd)
    return known >= 0 ? known : this.fds.push(fd) - 1
  }

  /** {@link add} of an fd that was opened for this plan and is closed with it. */
  own(fd: number): number {
    this.#own.push(fd)
    return this.add(fd)
  }

  close(): void {
    for (const fd of this.#own.splice(0)) closeSync(fd)
  }
}
