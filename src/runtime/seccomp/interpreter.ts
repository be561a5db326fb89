/** Runs a seccomp filter as the kernel would: for tests. */

export interface SyscallData {
  nr: number
  /** AUDIT_ARCH_… */
  arch: number
  args?: (number | bigint)[]
}

/** The filter's answer (SECCOMP_RET_…) and how many instructions it took. Throws for a program that the kernel refuses. */
export function runFilter(program: Uint8Array, call: SyscallData): { result: number; steps: number } {
  const data = new DataView(new ArrayBuffer(64))
  data.setUint32(0, call.nr >>> 0, true)
  data.setUint32(4, call.arch >>> 0, true)
  call.args?.forEach((value, index) => {
    data.setBigUint64(16 + index * 8, BigInt.asUintN(64, BigInt(value)), true)
  })
  const view = new DataView(program.buffer, program.byteOffset, program.byteLength)
  const count = program.byteLength / 8
  let accumulator = 0
  for (let at = 0, steps = 1; ; at++, steps++) {
    if (at >= count) throw new Error(`left the program at ${at}`)
    const code = view.getUint16(at * 8, true)
    const [yes, no] = [view.getUint8(at * 8 + 2), view.getUint8(at * 8 + 3)]
    const k = view.getUint32(at * 8 + 4, true)
    const branch = (holds: boolean): void => {
      at += holds ? yes : no
    }
    switch (code) {
      case 0x20:
        accumulator = data.getUint32(k, true)
        break
      case 0x54:
        accumulator = (accumulator & k) >>> 0
        break
      case 0x05:
        at += k
        break
      case 0x15:
        branch(accumulator === k)
        break
      case 0x25:
        branch(accumulator > k)
        break
      case 0x35:
        branch(accumulator >= k)
        break
      case 0x06:
        return { result: k, steps }
      default:
        throw new Error(`no such instruction: ${code.toString(16)}`)
    }
  }
}
