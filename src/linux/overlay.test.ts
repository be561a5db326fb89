import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { after, before, describe, test } from 'node:test'
import * as linux from './index.ts'

const skip = process.getuid?.() === 0 ? false : 'needs root: it mounts'

describe('an overlay', { skip }, () => {
  let folder = ''
  before(() => {
    folder = fs.mkdtempSync(path.join(os.tmpdir(), 'gantry-overlay-'))
  })
  after(() => fs.rmSync(folder, { recursive: true }))

  const make = (name: string): string => {
    const made = path.join(folder, name)
    fs.mkdirSync(made, { recursive: true })
    return made
  }

  /** 120 folders with long names that nobody could list in one string of 255 bytes, nor in one of 4096. */
  const lowerdirs = (): string[] =>
    Array.from({ length: 120 }, (_, index) => {
      const lower = make(path.join('l'.repeat(200), `colon:comma,${index}`))
      fs.writeFileSync(path.join(lower, `file-${index}`), `${index}`)
      fs.writeFileSync(path.join(lower, 'same'), `${index}`)
      return lower
    })

  for (const kernel of [linux.kernelVersion(), [6, 1] as [number, number]]) {
    test(`of many layers, as Linux ${kernel.join('.')} wants it`, () => {
      const fd = linux.mountOverlay({ lowerdirs: lowerdirs(), options: ['index=off'] }, kernel)
      try {
        const root = `/proc/self/fd/${fd}`
        assert.equal(fs.readFileSync(`${root}/file-119`, 'utf8'), '119')
        assert.equal(fs.readFileSync(`${root}/same`, 'utf8'), '0')
        assert.throws(() => fs.writeFileSync(`${root}/new`, ''), { code: 'EROFS' })
      } finally {
        fs.closeSync(fd)
      }
    })

    test(`that is written to, as Linux ${kernel.join('.')} wants it`, () => {
      const [upperdir, workdir] = [make(`upper-${kernel}`), make(`work-${kernel}`)]
      const before = fs.readFileSync('/proc/self/mountinfo', 'utf8')
      const fd = linux.mountOverlay({ lowerdirs: lowerdirs(), upperdir, workdir }, kernel)
      try {
        fs.writeFileSync(`/proc/self/fd/${fd}/same`, 'changed')
        assert.equal(fs.readFileSync(path.join(upperdir, 'same'), 'utf8'), 'changed')
        assert.equal(fs.readFileSync('/proc/self/mountinfo', 'utf8'), before, 'the mount is seen')
      } finally {
        fs.closeSync(fd)
      }
    })
  }

  test('of what cannot be one says why', () => {
    const lowers = lowerdirs().slice(0, 2)
    assert.throws(() => linux.mountOverlay({ lowerdirs: lowers, options: ['nonsense=1'] }, [6, 1]), {
      code: 'EINVAL',
    })
    assert.throws(() => linux.mountOverlay({ lowerdirs: ['/does/not/exist'] }, [6, 1]), { code: 'ENOENT' })
  })
})
