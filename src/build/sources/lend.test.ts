import assert from 'node:assert/strict'
import { test } from 'node:test'
import { digestOf } from '../../image/digest.ts'
import { tarOf, temporaryStorage } from '../../image/fixtures.ts'
import { type Image, type ImageConfig, type Manifest, mediaTypes } from '../../image/types.ts'
import { lendImage } from './lend.ts'

/** An image of one layer. */
function imageOf(layer: Buffer): Image {
  const digest = digestOf(layer)
  const config: ImageConfig = {
    architecture: 'amd64',
    os: 'linux',
    config: {},
    rootfs: { type: 'layers', diff_ids: [digest] },
  }
  const configBytes = Buffer.from(JSON.stringify(config))
  const descriptor = { mediaType: mediaTypes.ociLayer, digest, size: layer.length }
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: mediaTypes.ociConfig, digest: digestOf(configBytes), size: configBytes.length },
    layers: [descriptor],
  }
  const manifestBytes = Buffer.from(JSON.stringify(manifest))
  return {
    digest: digestOf(manifestBytes),
    mediaType: mediaTypes.ociManifest,
    manifest,
    manifestBytes,
    config,
    configBytes,
    layers: [{ ...descriptor, diffId: digest, open: async () => assert.fail('it is here already') }],
  }
}

test('a lent image stays until the last build is done with it', async t => {
  const { images } = temporaryStorage(t, 'vfs')
  const layer = tarOf({ file: 'f' })
  const image = imageOf(layer)
  const lease = images.content.lease()
  images.content.put(layer, lease)

  const [first, second] = await Promise.all([
    lendImage(images, image, { lease }),
    lendImage(images, image, { lease }),
  ])
  const third = await lendImage(images, image, { lease })
  const { id } = first
  first.forget()
  first.forget()
  second.forget()
  assert.ok(images.get(id), 'the third build uses it')
  third.forget()
  assert.equal(images.get(id), undefined)

  await images.put(image, { lease })
  const owned = await lendImage(images, image, { lease })
  owned.forget()
  assert.ok(images.get(id), 'it was there before')
  lease.release()
})
