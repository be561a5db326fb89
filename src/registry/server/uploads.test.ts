import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { ContentStore } from '../../image/content-store.ts'
import { digestOf } from '../../image/digest.ts'
import { folder } from '../testing/kit.ts'
import { defaultLimits } from './limits.ts'
import { RESTED_AFTER, Uploads } from './uploads.ts'

test('uploads that nobody writes to hold no file open, and go on', async t => {
  const root = folder(t)
  const content = new ContentStore(root)
  const uploads = new Uploads(root, content, defaultLimits)
  const open = () =>
    fs.readdirSync('/proc/self/fd').filter(fd => {
      try {
        return fs.readlinkSync(`/proc/self/fd/${fd}`).startsWith(root)
      } catch {
        return false
      }
    }).length
  const ids = Array.from({ length: 20 }, () => uploads.start('a'))
  for (const id of ids) await uploads.append('a', id, Readable.from([Buffer.from('first ')]))
  assert.equal(open(), 20)
  await uploads.rest(Date.now() + RESTED_AFTER / 2)
  assert.equal(open(), 20)
  await uploads.rest(Date.now() + RESTED_AFTER + 1)
  assert.equal(open(), 0)
  for (const id of ids) {
    assert.equal(await uploads.append('a', id, Readable.from([Buffer.from('second')]), { at: 6 }), 12)
    await uploads.finish('a', id, digestOf('first second'))
  }
  assert.equal(open(), 0)
})
