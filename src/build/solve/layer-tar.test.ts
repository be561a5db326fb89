import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { test } from 'node:test'
import { parseTar } from '../../image/fixtures.ts'
import { FilePool } from './file-pool.ts'
import { type LayerTarResult, writeLayerTar } from './layer-tar.ts'

test('a layer of many pieces is the same tar whichever thread sums it', async t => {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'gantry-layer-tar-'))
  t.after(() => fs.rmSync(root, { recursive: true }))
  const folder = path.join(root, 'layer')
  const content = randomBytes(5_000_001)
  const long = `${'n'.repeat(120)}é`
  fs.mkdirSync(path.join(folder, 'etc'), { recursive: true })
  fs.writeFileSync(path.join(folder, 'etc/large'), content)
  fs.linkSync(path.join(folder, 'etc/large'), path.join(folder, 'second'))
  fs.symlinkSync('etc/large', path.join(folder, 'link'))
  fs.writeFileSync(path.join(folder, long), 'small')
  fs.writeFileSync(path.join(folder, 'empty'), '')

  const alone = await writeLayerTar(folder, path.join(root, 'alone'), {})
  const pool = new FilePool({ archiveLimit: 1 })
  t.after(() => pool.close())
  const jobs = ['a', 'b', 'c'].map(name =>
    pool.run<LayerTarResult>({ job: 'tar', folder, file: path.join(root, name) }),
  )
  for (const result of await Promise.all(jobs)) assert.deepEqual(result, alone)
  const bytes = fs.readFileSync(path.join(root, 'a'))
  assert.equal(alone.digest, `sha256:${createHash('sha256').update(bytes).digest('hex')}`)
  assert.equal(alone.size, bytes.length)
  assert.equal(alone.content, content.length + 'small'.length)
  assert.deepEqual(
    parseTar(bytes).map(entry => `${entry.type} ${Buffer.from(entry.name, 'latin1')}`),
    ['file empty', 'directory etc/', 'file etc/large', 'symlink link', `file ${long}`, 'link second'],
  )
})
