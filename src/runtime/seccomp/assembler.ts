/**
 * Classic BPF, as far as seccomp filters need it, with labels instead of distances. Source: seccomp(2),
 * Documentation/networking/filter.rst.
 *
 * A conditional jump reaches 255 instructions at most. Programs are assembled from the end, where every distance is known,
 * and a jump that is too far goes through a `ja` behind it.
 */

/** Offsets into `struct seccomp_data`. */
export const DATA_NR = 0
export const DATA_ARCH = 4

/** The low and high half of an argument, little-endian. */
export const argumentLow = (index: number): number => 16 + 8 * index
export const argumentHigh = (index: number): number => argumentLow(index) + 4

const LOAD = 0x20
const AND = 0x54
const JUMP = 0x05
const RETURN = 0x06
const COMPARE = { eq: 0x15, gt: 0x25, ge: 0x35 } as const

export type Comparison = keyof typeof COMPARE

/** `yes` and `no` are labels further down; left out, the next instruction. */
export type Item =
  | { label: string }
  | { load: number }
  | { and: number }
  | { return: number }
  | { if: Comparison; value: number; yes?: string; no?: string }

const MAX_REACH = 255

/** `struct sock_filter[]`. Throws for a label that is not further down. */
export function assemble(items: readonly Item[]): Uint8Array {
  const reversed: [code: number, jt: number, jf: number, k: number][] = []
  const labels = new Map<string, number>()
  /** How many instructions lie between the one that is about to be put before all others and the label. */
  const distance = (label: string | undefined): number => {
    if (label === undefined) return 0
    const at = labels.get(label)
    if (at === undefined) throw new Error(`seccomp: no label ${label} below`)
    return reversed.length - at
  }
  for (const item of items.toReversed()) {
    if ('label' in item) labels.set(item.label, reversed.length)
    else if ('load' in item) reversed.push([LOAD, 0, 0, item.load])
    else if ('and' in item) reversed.push([AND, 0, 0, item.and])
    else if ('return' in item) reversed.push([RETURN, 0, 0, item.return])
    else reversed.push(...jump(item, distance))
  }
  const program = new Uint8Array(reversed.length * 8)
  const view = new DataView(program.buffer)
  reversed.reverse().forEach(([code, jt, jf, k], index) => {
    view.setUint16(index * 8, code, true)
    view.setUint8(index * 8 + 2, jt)
    view.setUint8(index * 8 + 3, jf)
    view.setUint32(index * 8 + 4, k >>> 0, true)
  })
  return program
}

/** A conditional jump, last instruction first, with the `ja` that it needs for a target out of reach. */
function jump(
  item: Extract<Item, { if: Comparison }>,
  distance: (label: string | undefined) => number,
): [number, number, number, number][] {
  const code = COMPARE[item.if]
  const yes = distance(item.yes)
  const no = distance(item.no)
  if (yes <= MAX_REACH && no <= MAX_REACH) return [[code, yes, no, item.value]]
  if (no === 0 && item.no === undefined)
    return [
      [JUMP, 0, 0, yes],
      [code, 0, 1, item.value],
    ]
  if (yes === 0 && item.yes === undefined)
    return [
      [JUMP, 0, 0, no],
      [code, 1, 0, item.value],
    ]
  // Both far: two jumps, the condition picks one.
  return [
    [JUMP, 0, 0, no],
    [JUMP, 0, 0, yes + 1],
    [code, 0, 1, item.value],
  ]
}
