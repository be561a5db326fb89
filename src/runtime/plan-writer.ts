/** The bytes of a launch plan: little-endian, in a buffer that grows. */
export class PlanWriter {
  #buffer = Buffer.allocUnsafe(16384)
  #at = 0

  #room(bytes: number): number {
    const at = this.#at
    if (at + bytes > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, at + bytes))
      this.#buffer.copy(larger, 0, 0, at)
      this.#buffer = larger
    }
    this.#at = at + bytes
    return at
  }

  u16(value: number): void {
    const at = this.#room(2)
    this.#buffer.writeUInt16LE(value, at)
  }

  u32(value: number): void {
    const at = this.#room(4)
    this.#buffer.writeUInt32LE(value, at)
  }

  /** Leave room for a length; {@link fill} writes it. */
  reserve(): number {
    return this.#room(4)
  }

  fill(at: number): void {
    this.#buffer.writeUInt32LE(this.#at - at - 4, at)
  }

  u64(value: number | bigint): void {
    const at = this.#room(8)
    if (typeof value === 'number' && value >= 0 && value <= 0xffffffff) {
      this.#buffer.writeUInt32LE(value, at)
      this.#buffer.writeUInt32LE(0, at + 4)
    } else this.#buffer.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), at)
  }

  string(value: string): void {
    if (value.includes('\0')) throw new RangeError(`a NUL in ${JSON.stringify(value)}`)
    const length = Buffer.byteLength(value)
    this.u32(length)
    const at = this.#room(length + 1)
    this.#buffer.write(value, at, 'utf8')
    this.#buffer[at + length] = 0
  }

  blob(value: Uint8Array): void {
    this.u32(value.length)
    const at = this.#room(value.length + 1)
    this.#buffer.set(value, at)
    this.#buffer[at + value.length] = 0
  }

  list<T>(items: readonly T[], each: (item: T) => void): void {
    this.u32(items.length)
    items.forEach(each)
  }

  bytes(): Buffer {
    return this.#buffer.subarray(0, this.#at)
  }
}
