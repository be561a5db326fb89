import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { appendState, readRecord, writeRecord } from './record-file.ts'
import type { ContainerRecord, ContainerState } from './types.ts'

describe('a container’s record on disk', () => {
  let folder: string
  let file: string
  const state = (exitCode: number) => ({ status: 'exited', exitCode }) as ContainerState
  const record = { version: 1, id: 'abc', name: 'one\ntwo', state: state(0) } as ContainerRecord

  beforeEach(() => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gantry-record-'))
    file = path.join(folder, 'container.json')
  })
  afterEach(() => fs.rmSync(folder, { recursive: true }))

  it('is the record with the last state that was added', () => {
    assert.equal(readRecord(folder), undefined)
    writeRecord(folder, record, false)
    assert.deepEqual(readRecord(folder), record)
    assert.ok(appendState(folder, state(1)))
    assert.ok(appendState(folder, state(2)))
    assert.deepEqual(readRecord(folder), { ...record, state: state(2) })
    writeRecord(folder, { ...record, state: state(3) }, true)
    assert.equal(readRecord(folder)!.state.exitCode, 3)
  })

  for (const [what, tail] of [
    ['half a state', '{"status":"exi'],
    ['zeros', '\0'.repeat(200)],
    ['zeros and a later state', '\0'.repeat(200) + '\n{"status":"exited","exitCode":9}\n'],
  ] as const) {
    it(`survives a power cut that left ${what}`, () => {
      writeRecord(folder, record, false)
      appendState(folder, state(1))
      fs.appendFileSync(file, tail)
      assert.equal(readRecord(folder)!.state.exitCode, tail.includes('9') ? 9 : 1)
      appendState(folder, state(2))
      assert.equal(readRecord(folder)!.state.exitCode, 2)
    })
  }

  it('was one JSON document once', () => {
    fs.writeFileSync(file, JSON.stringify(record))
    assert.deepEqual(readRecord(folder), record)
    appendState(folder, state(1))
    assert.equal(readRecord(folder)!.state.exitCode, 1)
  })

  it('cannot be read where the record itself is broken', () => {
    fs.writeFileSync(file, '{"version":1,')
    assert.throws(() => readRecord(folder), SyntaxError)
  })

  it('does not grow for ever', () => {
    writeRecord(folder, record, false)
    let added = 0
    while (appendState(folder, { ...state(1), error: 'x'.repeat(1000) })) assert.ok(++added < 1000)
    writeRecord(folder, record, false)
    assert.ok(appendState(folder, state(4)))
  })
})
