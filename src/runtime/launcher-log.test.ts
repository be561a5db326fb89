import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { describe, test } from 'node:test'
import * as linux from '../linux/index.ts'
import { folder, readLog, shell, skip, withLauncher } from './launcher-testing.ts'

describe('a container’s log', { skip }, () => {
  withLauncher()

  test('is escaped as docker escapes it', async () => {
    const bytes =
      'q"b\\\\\\\\\\ttab cr\\r nul\\000 bel\\007 esc\\033 del\\177 <>&\\n é 漢 \\342\\200\\250\\342\\200\\251 😀\\nbad \\377\\376 \\300\\257 \\355\\240\\200 \\364\\220\\200\\200 \\342\\202 x\\ntrunc \\342\\202\\nno newline'
    const { log } = await shell(`printf '${bytes}'`, { log: { attrs: Buffer.from('{"a":"b"}') } })
    assert.deepEqual(
      log
        .replace(/"time":"[^"]*"/g, 'T')
        .trimEnd()
        .split('\n'),
      [
        String.raw`{"log":"q\"b\\\\\u0009tab cr\r nul\u0000 bel\u0007 esc\u001b del${'\x7f'} \u003c\u003e\u0026\n","stream":"stdout","attrs":{"a":"b"},T}`,
        String.raw`{"log":" é 漢 \u2028\u2029 😀\n","stream":"stdout","attrs":{"a":"b"},T}`,
        String.raw`{"log":"bad \ufffd\ufffd \ufffd\ufffd \ufffd\ufffd\ufffd \ufffd\ufffd\ufffd\ufffd \ufffd\ufffd x\n","stream":"stdout","attrs":{"a":"b"},T}`,
        String.raw`{"log":"trunc \ufffd\ufffd\n","stream":"stdout","attrs":{"a":"b"},T}`,
        '{"log":"no newline","stream":"stdout","attrs":{"a":"b"},T}',
      ],
    )
  })

  test('cuts long lines after 16 KiB', async () => {
    const repeat = (count: number, letter: string) => `head -c ${count} /dev/zero | tr "\\0" ${letter}; echo;`
    const { log } = await shell(repeat(16384, 'a') + repeat(16383, 'b') + repeat(40000, 'c'), {
      mounts: [{ op: 'mknod', path: '/dev/zero', mode: linux.S_IFCHR | 0o666, major: 1, minor: 5 }],
    })
    const lines = log
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line))
    assert.deepEqual(
      lines.map(line => line.log.length),
      [16384, 1, 16384, 16384, 16384, 40000 - 2 * 16384 + 1],
    )
    assert.equal(lines[3].time, lines[5].time)
  })

  test('rotates, and a reader that follows the names loses nothing', async () => {
    const { record } = await shell('i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done', {
      log: { maxSize: 40_000, maxFiles: 50 },
    })
    const names = fs
      .readdirSync(folder)
      .filter(name => name.startsWith('log'))
      .sort((a, b) => Number(b.split('.')[1] ?? 0) - Number(a.split('.')[1] ?? 0))
    assert.ok(names.length > 3)
    const lines = names.flatMap(name => readLog(name).trimEnd().split('\n')).filter(line => line)
    assert.deepEqual(
      lines.map(line => JSON.parse(line).log),
      Array.from({ length: 3000 }, (_, i) => `line ${i}\n`),
    )
    for (const name of names) {
      assert.ok(fs.statSync(path.join(folder, name)).size < 41_000)
      fs.rmSync(path.join(folder, name))
    }
    assert.equal(record.droppedLines, 0)
  })

  test('keeps no more files than asked', async () => {
    await shell('i=0; while [ $i -lt 1000 ]; do echo line $i; i=$((i+1)); done', {
      log: { maxSize: 10_000, maxFiles: 2 },
    })
    assert.deepEqual(
      fs
        .readdirSync(folder)
        .filter(name => name.startsWith('log'))
        .sort(),
      ['log', 'log.1'],
    )
    fs.rmSync(path.join(folder, 'log.1'))
  })

  test('a full disk stops nobody and leaves only whole lines', async () => {
    const full = path.join(folder, 'full')
    fs.mkdirSync(full)
    linux.mount('tmpfs', full, 'tmpfs', 0, 'size=64k')
    try {
      const { record, stdout } = await shell(
        'i=0; while [ $i -lt 5000 ]; do echo line $i; i=$((i+1)); done',
        { log: { path: path.join(full, 'log') } },
      ).catch(error => {
        // the helper reads the log from its usual place
        assert.match(String(error), /ENOENT/)
        return { record: undefined, stdout: '' }
      })
      assert.equal(stdout || record, record)
      const log = fs.readFileSync(path.join(full, 'log'), 'utf8')
      assert.ok(log.length > 60_000)
      for (const line of log.trimEnd().split('\n')) JSON.parse(line)
      assert.ok(log.endsWith('\n'))
    } finally {
      linux.umount(full, linux.MNT_DETACH)
      fs.rmdirSync(full)
    }
  })

  test('a ring hands over every line while the disk keeps up', async () => {
    for (const format of [1, 2]) {
      const settings = { log: { format, ring: 1 << 20, maxSize: 40_000, maxFiles: 50 } }
      const { record } = await shell(
        'i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done',
        settings,
      )
      const names = fs.readdirSync(folder).filter(name => name.startsWith('log'))
      const number = (name: string) => Number(name.split('.')[1] ?? 0)
      const all = names
        .sort((a, b) => number(b) - number(a))
        .map(name => readLog(name))
        .join('')
      assert.deepEqual(
        all.match(/line \d+/g),
        Array.from({ length: 3000 }, (_, i) => `line ${i}`),
      )
      assert.ok(names.length > 1)
      assert.equal(record.droppedLines, 0)
      for (const name of names) fs.rmSync(path.join(folder, name))
    }
  })

  test('binary records', async () => {
    await shell('echo one; echo two >&2', { log: { format: 2 } })
    const bytes = fs.readFileSync(path.join(folder, 'log'))
    const records: [number, string][] = []
    for (let at = 0; at < bytes.length; at += bytes.readUInt32LE(at)) {
      const length = bytes.readUInt32LE(at)
      assert.equal(bytes.readUInt32LE(at + length - 4), length)
      records.push([bytes[at + 12]!, bytes.toString('utf8', at + 14, at + length - 4)])
    }
    assert.deepEqual(records.sort(), [
      [1, 'one'],
      [2, 'two'],
    ])
  })
})
