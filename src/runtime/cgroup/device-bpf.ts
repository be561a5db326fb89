/**
 * The device filter of cgroup v2: an eBPF program of type BPF_PROG_TYPE_CGROUP_DEVICE that the kernel asks on mknod and open.
 * Source: bpf(2), linux/bpf.h (`struct bpf_cgroup_dev_ctx`), Documentation/bpf/standardization/instruction-set.rst.
 */
import type { EffectiveDevices } from './device-rules.ts'

const TYPES = { b: 1, c: 2 } as const
const ACCESS: Record<string, number> = { m: 1, r: 2, w: 4 }
const EVERY_ACCESS = 7

/** Operation codes: class | operation | operand. */
const LOAD_WORD = 0x61 // BPF_LDX | BPF_MEM | BPF_W
const MOVE = 0xbc // BPF_ALU | BPF_MOV | BPF_X
const MOVE_CONSTANT = 0xb4 // BPF_ALU | BPF_MOV | BPF_K
const AND_CONSTANT = 0x54 // BPF_ALU | BPF_AND | BPF_K
const SHIFT_RIGHT = 0x74 // BPF_ALU | BPF_RSH | BPF_K
const JUMP_IF_EQUAL = 0x15 // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_IF_OTHER = 0x55 // BPF_JMP | BPF_JNE | BPF_K
const JUMP_IF_REGISTERS_DIFFER = 0x5d // BPF_JMP | BPF_JNE | BPF_X
const EXIT = 0x95

type Instruction = { code: number; to?: number; from?: number; offset?: number; value?: number }

const RESULT = 0
const CONTEXT = 1
const TYPE = 2
const WANTED = 3
const MAJOR = 4
const MINOR = 5
const SCRATCH = 1 // the context is not needed any more

const verdict = (allow: boolean): Instruction[] => [
  { code: MOVE_CONSTANT, to: RESULT, value: allow ? 1 : 0 },
  { code: EXIT },
]

/** `struct bpf_insn[]`: answers 1 to allow, 0 for EPERM. */
export function deviceProgram(devices: EffectiveDevices): Uint8Array {
  const program: Instruction[] = [
    { code: LOAD_WORD, to: TYPE, from: CONTEXT, offset: 0 },
    { code: MOVE, to: WANTED, from: TYPE },
    { code: AND_CONSTANT, to: TYPE, value: 0xffff },
    { code: SHIFT_RIGHT, to: WANTED, value: 16 },
    { code: LOAD_WORD, to: MAJOR, from: CONTEXT, offset: 4 },
    { code: LOAD_WORD, to: MINOR, from: CONTEXT, offset: 8 },
    ...devices.rules.flatMap(ruleInstructions),
    ...verdict(devices.allowAll),
  ]
  return encode(program)
}

function ruleInstructions(rule: EffectiveDevices['rules'][number]): Instruction[] {
  const mask = [...rule.access].reduce((bits, letter) => bits | (ACCESS[letter] ?? 0), 0)
  const checks: Instruction[] = [
    { code: JUMP_IF_OTHER, to: TYPE, value: TYPES[rule.type] },
    ...(mask === EVERY_ACCESS ? [] : accessChecks(mask, rule.allow)),
    ...(rule.major < 0 ? [] : [{ code: JUMP_IF_OTHER, to: MAJOR, value: rule.major }]),
    ...(rule.minor < 0 ? [] : [{ code: JUMP_IF_OTHER, to: MINOR, value: rule.minor }]),
  ]
  const body = [...checks, ...verdict(rule.allow)]
  // A check that fails goes on behind this rule.
  return body.map((instruction, index) => {
    const isJump = (instruction.code & 0x07) === 0x05 && instruction.code !== EXIT
    return isJump ? { ...instruction, offset: body.length - index - 1 } : instruction
  })
}

/** Allowed is what asks for nothing more than the rule has; forbidden what asks for any of it. */
function accessChecks(mask: number, allow: boolean): Instruction[] {
  return [
    { code: MOVE, to: SCRATCH, from: WANTED },
    { code: AND_CONSTANT, to: SCRATCH, value: mask },
    allow
      ? { code: JUMP_IF_REGISTERS_DIFFER, to: SCRATCH, from: WANTED }
      : { code: JUMP_IF_EQUAL, to: SCRATCH, value: 0 },
  ]
}

function encode(program: Instruction[]): Uint8Array {
  const bytes = new Uint8Array(program.length * 8)
  const view = new DataView(bytes.buffer)
  program.forEach(({ code, to = 0, from = 0, offset = 0, value = 0 }, index) => {
    view.setUint8(index * 8, code)
    view.setUint8(index * 8 + 1, (from << 4) | to)
    view.setInt16(index * 8 + 2, offset, true)
    view.setInt32(index * 8 + 4, value, true)
  })
  return bytes
}
