import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { buffer } from 'node:stream/consumers'
import { describe, test } from 'node:test'
import * as zlib from 'node:zlib'
import { digestOf } from '../digest.ts'
import { dockerArchive, needsRoot, streamOf, tarOf, temporaryFolder, temporaryStorage } from '../fixtures.ts'
import { openStorage } from '../storage.ts'
import { loadedMessages, loadImages } from './load.ts'
import { saveImages } from './save.ts'

const LAYER = tarOf({ 'etc/': {}, 'etc/hello': 'hi' })

describe('docker load', { skip: needsRoot }, () => {
  test('an archive of the old kind, in every compression', async t => {
    const archive = dockerArchive([LAYER], { tags: ['a/b:1', 'c'] })
    const packed = [
      archive,
      zlib.gzipSync(archive),
      zlib.zstdCompressSync(archive),
      execFileSync('xz', ['-c'], { input: archive }),
      execFileSync('bzip2', ['-c'], { input: archive }),
    ]
    for (const each of packed) {
      const { images, snapshots } = temporaryStorage(t)
      const loaded = await loadImages(images, streamOf(each))
      assert.deepEqual(loaded.flatMap(loadedMessages), ['Loaded image: a/b:1', 'Loaded image: c:latest'])
      assert.equal(snapshots.layerSize(loaded[0]!.record.image.chain!), 2)
    }
  })

  test('what is saved loads elsewhere with the same digests', async t => {
    const first = temporaryStorage(t)
    const big = tarOf({ big: { content: Buffer.alloc(3 << 20, 'x') } })
    await loadImages(first.images, streamOf(dockerArchive([LAYER, big], { tags: ['one:1'] })))
    await loadImages(first.images, streamOf(dockerArchive([LAYER], { tags: ['two:1'] })))
    const saved = await buffer(saveImages(first.images, ['one', 'two:1']))
    const second = temporaryStorage(t)
    const loaded = await loadImages(second.images, streamOf(saved))
    assert.deepEqual(loaded.flatMap(loadedMessages), ['Loaded image: one:1', 'Loaded image: two:1'])
    for (const { record } of loaded) {
      assert.equal(first.images.get(record.id)!.image.digest, record.image.digest)
    }
  })

  test('an OCI layout alone, with gzip layers and a platform to choose', async t => {
    const blobs: Record<string, Buffer> = {}
    const add = (bytes: Buffer) => {
      const digest = digestOf(bytes)
      blobs[`blobs/${digest.replace(':', '/')}`] = bytes
      return { digest, size: bytes.length }
    }
    const json = (value: unknown) => Buffer.from(JSON.stringify(value))
    const layer = { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', ...add(zlib.gzipSync(LAYER)) }
    const manifests = ['amd64', 's390x'].map(architecture => {
      const config = json({
        architecture,
        os: 'linux',
        rootfs: { type: 'layers', diff_ids: [digestOf(LAYER)] },
      })
      const manifest = json({ schemaVersion: 2, config: { mediaType: 'x', ...add(config) }, layers: [layer] })
      const platform = { os: 'linux', architecture }
      return { mediaType: 'application/vnd.oci.image.manifest.v1+json', ...add(manifest), platform }
    })
    const index = add(json({ schemaVersion: 2, manifests }))
    const annotations = { 'org.opencontainers.image.ref.name': 'host:5000/x:y' }
    const top = { mediaType: 'application/vnd.oci.image.index.v1+json', ...index, annotations }
    const members = Object.entries(blobs).map(([name, content]): [string, { content: Buffer }] => [
      name,
      { content },
    ])
    const archive = tarOf({
      ...Object.fromEntries(members),
      'index.json': JSON.stringify({ schemaVersion: 2, manifests: [top] }),
    })
    const { images } = temporaryStorage(t)
    const [loaded] = await loadImages(images, streamOf(archive), {
      platform: { os: 'linux', architecture: 's390x' },
    })
    assert.deepEqual(loaded!.names, ['host:5000/x:y'])
    assert.equal(loaded!.record.image.config.architecture, 's390x')
    assert.equal(loaded!.record.image.digest, manifests[1]!.digest)
  })

  const config = (diffIds: string[]) =>
    JSON.stringify({ os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: diffIds } })
  const manifest = (layers: string[]) => JSON.stringify([{ Config: 'c', RepoTags: ['x:y'], Layers: layers }])
  const wrongBlob = `blobs/sha256/${'0'.repeat(64)}`
  const broken: [what: string, archive: Buffer, message: RegExp][] = [
    ['garbage', Buffer.from('hello world'.repeat(1000)), /^archive\/tar: invalid tar header$/],
    ['cut off', dockerArchive([LAYER]).subarray(0, 3000), /^unexpected EOF$/],
    ['cut off and packed', zlib.gzipSync(dockerArchive([LAYER])).subarray(0, 200), /^unexpected EOF$/],
    ['no image', tarOf({ foo: 'bar' }), /no such file or directory$/],
    ['bad JSON', tarOf({ 'manifest.json': '[{"Config":' }), /^unexpected EOF$/],
    ['no config', tarOf({ 'manifest.json': manifest([]) }), /^open c: no such file or directory$/],
    ['no rootfs', tarOf({ c: '{}', 'manifest.json': manifest([]) }), /^invalid image JSON, no RootFS key$/],
    [
      'a layer missing',
      tarOf({ c: config([digestOf('')]), 'manifest.json': manifest(['nope']) }),
      /^open nope: no such file or directory$/,
    ],
    [
      'layers that do not match',
      tarOf({ c: config([]), l: { content: LAYER }, 'manifest.json': manifest(['l']) }),
      /^invalid manifest, layers length mismatch: expected 1, got 0$/,
    ],
    [
      'a wrong diff ID',
      dockerArchive([LAYER], { diffIds: [digestOf('')] }),
      /the image says sha256:e3b0c442/,
    ],
    ['a wrong tag', dockerArchive([LAYER], { tags: ['IMG:a'] }), /must be lowercase$/],
    [
      'a wrong blob',
      tarOf({ [wrongBlob]: { content: LAYER } }),
      /^filesystem layer verification failed for digest/,
    ],
    ['a name that climbs out', tarOf({ '../x': 'x' }), /^invalid entry name "\.\.\/x"$/],
    [
      'a layer that is cut off',
      dockerArchive([Buffer.concat([LAYER.subarray(0, 1030)])]),
      /^unexpected EOF$/,
    ],
  ]
  for (const [what, archive, message] of broken) {
    test(`refuses ${what}, and leaves nothing`, async t => {
      const { images, root, snapshots } = temporaryStorage(t)
      await assert.rejects(loadImages(images, streamOf(archive)), { message })
      await snapshots.settled()
      assert.deepEqual(images.all(), [])
      assert.deepEqual(fs.readdirSync(path.join(root, 'ingest')), [])
      assert.deepEqual(fs.readdirSync(path.join(root, 'snapshots')), ['empty'])
      assert.deepEqual(images.collectGarbage(0).bytes > 0, false)
    })
  }

  test('the archive of a real Docker, and its layout is one that others read', {
    skip: fs.existsSync('/opt/gantry-images/busybox.tar') ? false : 'no real archive here',
  }, async t => {
    const { images, root } = temporaryStorage(t)
    const [loaded] = await loadImages(images, fs.createReadStream('/opt/gantry-images/busybox.tar'))
    assert.deepEqual(loaded!.names, ['busybox:latest'])
    const index = JSON.parse(fs.readFileSync(path.join(root, 'content/index.json'), 'utf8'))
    assert.equal(
      index.manifests[0].annotations['org.opencontainers.image.ref.name'],
      'docker.io/library/busybox:latest',
    )
    assert.equal(index.manifests[0].digest, loaded!.record.image.digest)
  })

  test('a small file system that is full gives its space back', async t => {
    const folder = temporaryFolder(t)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', folder])
    try {
      const { images, snapshots, content } = openStorage({ root: folder })
      const layer = tarOf({ a: { content: Buffer.alloc(8 << 20) }, b: { content: Buffer.alloc(8 << 20) } })
      await assert.rejects(loadImages(images, streamOf(dockerArchive([layer]))), /no space left on device/i)
      await snapshots.settled()
      const { bavail, bsize } = fs.statfsSync(folder)
      assert.ok(bavail * bsize > 22 << 20, `${bavail * bsize} bytes free`)
      await loadImages(images, streamOf(dockerArchive([LAYER])))
      await content.synced()
    } finally {
      execFileSync('umount', ['-l', folder])
    }
  })
})
