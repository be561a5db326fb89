import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import { test } from 'node:test'
import { silent } from '../logger.ts'
import { loadImages } from './archive/load.ts'
import { compressedLayer, withLayers } from './compressed.ts'
import { digestOf } from './digest.ts'
import { dockerArchive, needsRoot, streamOf, tarOf, temporaryStorage } from './fixtures.ts'
import { collectRegularly } from './garbage.ts'
import { parseReference } from './reference.ts'
import { removeImage } from './removal.ts'
import { openStorage, type Storage } from './storage.ts'

const LAYERS = [tarOf({ f: 'content'.repeat(1000) }), tarOf({ g: 'x'.repeat(100_000) })]

async function load({ images }: Storage, layers = LAYERS) {
  const [loaded] = await loadImages(images, streamOf(dockerArchive(layers, { tags: ['a:1'] })))
  return loaded!.record
}

/** The same image as it was pushed: a second manifest for the same id. */
async function push({ images }: Storage) {
  const { image } = images.resolve('a:1')
  const lease = images.content.lease()
  const layers = await Promise.all(image.layers.map(layer => compressedLayer(images, layer, lease)))
  const pushed = withLayers(image, layers)
  await images.put(pushed, { references: [{ ...parseReference('a'), digest: pushed.digest }] })
  lease.release()
  return pushed
}

const blobs = ({ content }: Storage) => fs.readdirSync(`${content.folder}/blobs/sha256`).length

test('what is pushed is compressed once, and has the same digest each time', { skip: needsRoot }, async t => {
  const storage = temporaryStorage(t)
  const { id } = await load(storage)
  const first = await push(storage)
  assert.notEqual(
    first.digest,
    storage.images.resolve('a:1').names.get('docker.io/library/a:1')!.descriptor.digest,
  )
  assert.ok(first.layers.every(layer => layer.mediaType.endsWith('+gzip')))
  assert.equal(storage.images.resolve('a:1').id, id)
  const again = await push(storage)
  assert.equal(again.digest, first.digest)
})

test('what cannot be made smaller is pushed as it is', { skip: needsRoot }, async t => {
  const storage = temporaryStorage(t)
  const { image } = await load(storage, [tarOf({ noise: { content: randomBytes(300_000) } }), LAYERS[0]!])
  const { layers } = await push(storage)
  assert.deepEqual(
    layers.map(({ digest }) => digest === image.layers[0]!.digest),
    [true, false],
  )
})

test('the last name of an image takes every blob with it at once', { skip: needsRoot }, async t => {
  const storage = temporaryStorage(t)
  await load(storage)
  await push(storage)
  assert.equal(blobs(storage), 7)
  removeImage(storage.images, 'a:1')
  assert.equal(blobs(storage), 0)
  assert.equal(
    fs.readdirSync(`${storage.root}/snapshots`).filter(name => /^[0-9a-f]{64}$/.test(name)).length,
    0,
  )
})

test('a name that moves to another manifest gives the old one back', { skip: needsRoot }, async t => {
  const storage = temporaryStorage(t)
  await load(storage)
  const pushed = await push(storage)
  await storage.images.put(pushed, { references: [parseReference('a:1')] })
  assert.equal(blobs(storage), 4)
})

test('a daemon killed while it removes an image leaves nothing to the next', { skip: needsRoot }, async t => {
  const storage = temporaryStorage(t)
  const record = await load(storage)
  // Killed after the index was written, before the first blob went.
  storage.content.delete = () => 0
  storage.images.forget([record.id])
  const fresh = digestOf('a layer of a pull that was cut off')
  storage.content.put(Buffer.from('a layer of a pull that was cut off'))
  assert.ok(blobs(storage) > 1)
  const next = openStorage({ root: storage.root, driver: 'overlay2' })
  const closing = new AbortController()
  collectRegularly(next.images, silent, closing.signal)
  await new Promise(setImmediate)
  closing.abort()
  assert.equal(blobs(next as Storage), 1)
  assert.ok(next.content.has(fresh), 'has its grace')
})

test('partial blobs stay for a day, unless someone asks for the space', { skip: needsRoot }, async t => {
  const { content, images } = temporaryStorage(t)
  const cut = await content.ingest({ key: 'cut' })
  await cut.write(Buffer.alloc(2 << 20))
  await cut.suspend()
  const running = await content.ingest({ key: 'running' })
  await running.write(Buffer.alloc(2 << 20))
  assert.equal(images.collectGarbage().bytes, 0)
  assert.equal(images.collectGarbage(0).bytes, 2 << 20)
  assert.equal((await running.commit()).size, 2 << 20)
})

test('images that are being unpacked keep their finished layers', { skip: needsRoot }, async t => {
  const storage = temporaryStorage(t)
  const layers = Array.from({ length: 12 }, (_, i) => tarOf({ [`f${i}`]: 'x'.repeat(200_000) }))
  const loading = load(storage, layers)
  let isDone = false
  void loading.finally(() => (isDone = true))
  while (!isDone) {
    storage.images.collectGarbage(0)
    await new Promise(setImmediate)
  }
  const { image } = await loading
  assert.ok(image.contents.every(digest => storage.content.has(digest)))
  assert.ok(image.chains.every(chain => storage.snapshots.has(chain)))
})
