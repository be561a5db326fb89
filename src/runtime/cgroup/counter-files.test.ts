import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { CounterFiles } from './counter-files.ts'

describe('files of counters', () => {
  let folder: string
  before(() => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'counters-'))
  })
  after(() => fs.rmSync(folder, { recursive: true, force: true }))

  const write = (name: string, text: string): string => {
    const file = path.join(folder, name)
    fs.writeFileSync(file, text)
    return file
  }

  test('are read again each time, and what did not change is the same object', () => {
    const files = new CounterFiles()
    const file = write('stat', 'user 1\nsystem 20\n')
    const read = files.table(file)
    const first = read()
    assert.deepEqual(first, { user: 1, system: 20 })
    assert.equal(read(), first)
    write('stat', 'user 2\nsystem 20\n')
    assert.deepEqual(read(), { user: 2, system: 20 })
    files.close()
  })

  test('that are not there are as told, and not looked for again', () => {
    const files = new CounterFiles()
    const read = files.number(path.join(folder, 'later'))
    assert.equal(read(), 0)
    write('later', '7\n')
    assert.equal(read(), 0)
    assert.deepEqual(files.file(undefined, Number, 5)(), 5)
    files.close()
  })

  test('with a limit may be some readings late', () => {
    const files = new CounterFiles()
    const read = files.limit(write('max', '10\n'), undefined)
    assert.equal(read(), 10)
    write('max', 'max\n')
    const readings = Array.from({ length: 8 }, read)
    assert.equal(readings.at(-1), undefined)
    files.close()
  })

  test('are held open until they are closed', () => {
    const open = () => {
      const names = fs.readdirSync('/proc/self/fd').map(fd => `/proc/self/fd/${fd}`)
      return names.filter(name => fs.existsSync(name) && fs.readlinkSync(name).startsWith(folder)).length
    }
    const files = new CounterFiles()
    const numbers = ['a', 'b'].map(name => files.number(write(name, '1\n')))
    for (const read of [...numbers, ...numbers]) read()
    assert.equal(open(), 2)
    files.close()
    assert.equal(open(), 0)
  })
})
