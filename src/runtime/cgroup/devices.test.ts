import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { DeviceRule } from '../spec.ts'
import { deviceProgram } from './device-bpf.ts'
import { deviceLine, effectiveDevices } from './device-rules.ts'

const nothing: DeviceRule = { allow: false, access: 'rwm' }
const everything: DeviceRule = { allow: true, access: 'rwm' }
const rule = (allow: boolean, type: 'b' | 'c', major: number, minor: number, access: string): DeviceRule => ({
  allow,
  type,
  major,
  minor,
  access,
})

describe('the rules that matter', () => {
  test('what came before "everything" does not', () => {
    const { allowAll, rules } = effectiveDevices([rule(true, 'b', 8, 0, 'r'), nothing])
    assert.equal(allowAll, false)
    assert.ok(!rules.some(({ type, major }) => type === 'b' && major === 8))
    assert.deepEqual(effectiveDevices([nothing, everything]), { allowAll: true, rules: [] })
  })

  test('the last word on a device counts', () => {
    const lines = (...given: DeviceRule[]): string[] =>
      effectiveDevices([nothing, ...given]).rules.map(deviceLine)
    assert.ok(
      !lines(rule(true, 'c', 10, 229, 'rwm'), rule(false, 'c', 10, 229, 'rwm')).some(line =>
        line.includes('229'),
      ),
    )
    assert.ok(lines(rule(true, 'c', 10, 229, 'rwm'), rule(false, 'c', 10, 229, 'w')).includes('c 10:229 rm'))
    assert.ok(lines(rule(true, 'c', 10, 229, 'r'), rule(true, 'c', 10, 229, 'w')).includes('c 10:229 rw'))
  })

  test('a rule without numbers is for all of its kind', () => {
    const { rules } = effectiveDevices([nothing, { allow: true, type: 'b', access: 'r' }])
    assert.ok(rules.map(deviceLine).includes('b *:* rm'), 'together with the right to make nodes')
  })
})

/** Runs the few instructions that {@link deviceProgram} uses. */
function ask(program: Uint8Array, type: 'b' | 'c', major: number, minor: number, access: string): boolean {
  const bits = [...access].reduce((all, letter) => all | { m: 1, r: 2, w: 4 }[letter]!, 0)
  const context = [(bits << 16) | (type === 'b' ? 1 : 2), major, minor]
  const view = new DataView(program.buffer)
  const registers = new Array<number>(11).fill(0)
  for (let at = 0; at < program.length / 8; at++) {
    const registersByte = view.getUint8(at * 8 + 1)
    const [to, from] = [registersByte & 15, registersByte >> 4]
    const offset = view.getInt16(at * 8 + 2, true)
    const value = view.getInt32(at * 8 + 4, true)
    switch (view.getUint8(at * 8)) {
      case 0x61:
        registers[to] = context[offset / 4]!
        break
      case 0xbc:
        registers[to] = registers[from]!
        break
      case 0xb4:
        registers[to] = value
        break
      case 0x54:
        registers[to] = registers[to]! & value
        break
      case 0x74:
        registers[to] = registers[to]! >>> value
        break
      case 0x15:
        if (registers[to] === value) at += offset
        break
      case 0x55:
        if (registers[to] !== value) at += offset
        break
      case 0x5d:
        if (registers[to] !== registers[from]) at += offset
        break
      case 0x95:
        return registers[0] === 1
      default:
        assert.fail(`no such instruction at ${at}`)
    }
  }
  assert.fail('ran off the end')
}

describe('the filter of v2', () => {
  const filter = deviceProgram(effectiveDevices([nothing, rule(true, 'b', 8, 1, 'r')]))

  test('allows what a rule covers, and no more', () => {
    assert.equal(ask(filter, 'c', 1, 3, 'rw'), true)
    assert.equal(ask(filter, 'c', 136, 77, 'rw'), true)
    assert.equal(ask(filter, 'b', 8, 1, 'r'), true)
    assert.equal(ask(filter, 'b', 8, 1, 'rw'), false)
    assert.equal(ask(filter, 'b', 8, 2, 'r'), false)
    assert.equal(ask(filter, 'c', 1, 1, 'r'), false, '/dev/mem')
  })

  test('making nodes is free', () => {
    assert.equal(ask(filter, 'b', 250, 9, 'm'), true)
    assert.equal(ask(filter, 'b', 250, 9, 'rm'), false)
  })

  test('exceptions from everything', () => {
    const lenient = deviceProgram(effectiveDevices([everything, rule(false, 'b', 8, 0, 'w')]))
    assert.equal(ask(lenient, 'b', 8, 0, 'r'), true)
    assert.equal(ask(lenient, 'b', 8, 0, 'rw'), false)
    assert.equal(ask(lenient, 'c', 1, 1, 'rw'), true)
  })
})
