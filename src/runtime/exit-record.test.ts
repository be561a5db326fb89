import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseExitRecord } from './exit-record.ts'

test('an exit record says how, when, and what was kept', () => {
  const text =
    'code 137\nsignal 9\ntime 1700000000.120000000\ndropped 3\nfile memory.events 11\noom_kill 1\n\nfile é 3\nä\n\n'
  assert.deepEqual(parseExitRecord(text), {
    exitCode: 137,
    signal: 9,
    exitedAt: '2023-11-14T22:13:20.12Z',
    oomKilled: true,
    files: { 'memory.events': 'oom_kill 1\n', é: 'ä\n' },
    droppedLines: 3,
  })
})

test('a container that nothing was killed in was not out of memory', () => {
  const record = parseExitRecord(
    'code 0\nsignal 0\ntime 1.000000000\nfile m 28\nunder_oom 0\noom_kill 0\nx 1\n\n',
  )
  assert.deepEqual(
    [record.oomKilled, record.signal, record.exitedAt],
    [false, undefined, '1970-01-01T00:00:01Z'],
  )
})
