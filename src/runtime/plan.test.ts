import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { encodePlan, formatPlan, type LaunchPlan, opCodes, opName, PLAN_MAGIC, PLAN_VERSION } from './plan.ts'

const plan: LaunchPlan = {
  host: [
    { op: 'stdio', tty: false, stdin: true },
    { op: 'clone', flags: 0x20020000, cgroup: 2 },
  ],
  init: [
    { op: 'mountFs', type: 'proc', target: '/proc', attributes: 0xe, create: 1 },
    { op: 'rlimit', resource: 7, soft: 1024, hard: 2n ** 64n - 1n },
    { op: 'user', uid: 1, gid: 2, groups: [3, 4] },
    { op: 'program', argv: ['sh', '-c', 'echo "hi"'], env: [] },
    { op: 'seccomp', filter: new Uint8Array(16) },
    { op: 'keyring', name: '_ses', mayFail: true },
  ],
  parent: [],
}

describe('a launch plan', () => {
  test('reads as text, an operation a line', () => {
    assert.equal(
      formatPlan(plan),
      [
        'host     stdio stdin=true',
        'host     clone flags=0x20020000 cgroup=2',
        'init     mountFs type=proc target=/proc attributes=0xe create=1',
        'init     rlimit resource=7 soft=1024 hard=18446744073709551615',
        'init     user uid=1 gid=2 groups=[3 4]',
        'init     program argv=[sh -c "echo \\"hi\\""] env=[]',
        'init     seccomp filter=<16 bytes>',
        'init     keyring name=_ses (may fail)',
        '',
      ].join('\n'),
    )
  })

  test('travels as sections of operations with their fields in order', () => {
    const bytes = encodePlan({
      host: [],
      init: [{ op: 'writeFile', path: '/é', data: '', mayFail: true }],
      parent: [],
    })
    const expected = Buffer.concat([
      words(PLAN_MAGIC, PLAN_VERSION, 1),
      words(1, 21), // section init
      Buffer.from([11, 0, 1, 0]), // writeFile, may fail
      words(13),
      words(3),
      Buffer.from('/é\0'),
      words(0),
      Buffer.from('\0'),
    ])
    assert.deepEqual(bytes, expected)
  })

  test('leaves out nothing that was left out: a slot is then none, a string empty', () => {
    const bytes = encodePlan({ host: [{ op: 'clone', flags: 2n ** 40n }], init: [], parent: [] })
    const [flags, slot, path] = [
      [0, 0, 0, 0, 0, 1, 0, 0],
      [0xff, 0xff, 0xff, 0xff],
      [0, 0, 0, 0, 0],
    ]
    assert.deepEqual(bytes.subarray(-17), Buffer.from([...flags, ...slot, ...path]))
  })

  test('grows with its content', () => {
    const data = 'x'.repeat(1_000_000)
    assert.ok(
      encodePlan({ host: [], init: [{ op: 'program', argv: ['a'], env: [data] }], parent: [] }).includes(
        data,
      ),
    )
  })

  test('refuses a NUL, which C would take for an end', () => {
    assert.throws(
      () => encodePlan({ host: [{ op: 'unlink', path: '/a\0b' }], init: [], parent: [] }),
      RangeError,
    )
  })

  test('has the codes that the shim knows', () => {
    const header = readFileSync(new URL('../../native/shim/plan.h', import.meta.url), 'utf8')
    const known = Object.fromEntries(
      [...header.matchAll(/OP_([A-Z_]+) = (\d+)/g)].map(([, name, code]) => [
        name!.toLowerCase().replace(/_(.)/g, (_, letter) => letter.toUpperCase()),
        Number(code),
      ]),
    )
    assert.deepEqual(known, opCodes())
    assert.equal(opName(54), 'pivot')
    assert.equal(opName(9999), undefined)
  })
})

function words(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4)
  values.forEach((value, i) => {
    bytes.writeUInt32LE(value, i * 4)
  })
  return bytes
}
