import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { test } from 'node:test'
import { ContentStore } from './content-store.ts'
import { digestOf } from './digest.ts'
import { temporaryFolder } from './fixtures.ts'

const bytes = Buffer.from('some content that is a blob')
const digest = digestOf(bytes)

test('a blob appears when it is whole and right', async t => {
  const store = new ContentStore(temporaryFolder(t))
  const writer = await store.ingest({ digest, size: bytes.length })
  await writer.write(bytes.subarray(0, 5))
  assert.equal(store.has(digest), false)
  await writer.write(bytes.subarray(5))
  assert.deepEqual(await writer.commit(), { digest, size: bytes.length })
  assert.deepEqual(store.read(digest), bytes)
  await store.synced()
  assert.deepEqual(fs.readdirSync(path.join(store.ingestFolder, '../unsynced')), [])
})

test('wrong bytes, too many and too few leave nothing', async t => {
  const store = new ContentStore(temporaryFolder(t))
  const wrong = await store.ingest({ digest })
  await wrong.write(Buffer.from('other'))
  await assert.rejects(wrong.commit(), /verification failed for digest sha256:/)
  const many = await store.ingest({ digest, size: 3 })
  assert.throws(() => many.write(bytes), /more bytes/)
  await many.abort()
  const few = await store.ingest({ digest, size: 1000 })
  await few.write(bytes)
  await assert.rejects(few.commit(), /unexpected end of data/)
  assert.equal(store.has(digest), false)
  assert.deepEqual(fs.readdirSync(store.ingestFolder), [])
})

test('a key finds its bytes again, also in another process', async t => {
  const root = temporaryFolder(t)
  const first = await new ContentStore(root).ingest({ key: 'layer', digest })
  await first.write(bytes.subarray(0, 10))
  await first.suspend()
  const store = new ContentStore(root)
  const second = await store.ingest({ key: 'layer', digest })
  assert.equal(second.offset, 10)
  await second.write(bytes.subarray(10))
  await second.commit()
  assert.deepEqual(store.read(digest), bytes)
})

test('one writer a key at a time', async t => {
  const store = new ContentStore(temporaryFolder(t))
  const first = await store.ingest({ key: 'k' })
  const second = store.ingest({ key: 'k' })
  assert.equal(
    await Promise.race([second, new Promise(resolve => setImmediate(() => resolve('waits')))]),
    'waits',
  )
  await first.abort()
  await (await second).abort()
})

test('garbage is what neither a root nor a lease nor its youth keeps', async t => {
  const store = new ContentStore(temporaryFolder(t))
  const [root, leased, young] = ['root', 'leased', 'young'].map(text => store.put(Buffer.from(text)))
  const lease = store.lease()
  lease.add(leased!)
  assert.deepEqual(store.collect(new Set([root!])).removed, [])
  assert.deepEqual(store.collect(new Set([root!]), 0).removed, [young])
  lease.release()
  assert.deepEqual(store.collect(new Set([root!]), 0).removed, [leased])
  assert.equal(store.has(root!), true)
})

test('after a power cut a blob that did not reach the disk is gone', async t => {
  const root = temporaryFolder(t)
  const store = new ContentStore(root)
  const [good, bad] = ['good', 'bad'].map(text => store.put(Buffer.from(text)))
  fs.chmodSync(store.path(bad!), 0o600)
  fs.writeFileSync(store.path(bad!), '')
  for (const each of [good!, bad!]) {
    fs.writeFileSync(path.join(root, 'unsynced', `another-boot.${each.replace(':', '.')}`), '')
  }
  const next = new ContentStore(root)
  assert.equal(next.has(good!), true)
  assert.equal(next.has(bad!), false)
  assert.deepEqual(fs.readdirSync(path.join(root, 'unsynced')), [])
})
