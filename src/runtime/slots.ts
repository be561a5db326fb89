/** The open fds that go along with a plan: its slots are indexes into them. */
export class Slots {
  readonly fds: number[] = []

  /** The slot of an fd. */
  add(fd: number): number {
    const known = this.fds.indexOf(fd)
    return known >= 0 ? known : this.fds.push(fd) - 1
  }
}
