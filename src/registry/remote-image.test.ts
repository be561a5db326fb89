import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Index, mediaTypes } from '../image/types.ts'
import { Registries } from './registries.ts'
import { client, pushImage } from './testing/client.ts'
import { imageStore, startRegistry } from './testing/kit.ts'

test('each pull gets the image that is best for what it asks, whatever was pulled before', async t => {
  const { host, url } = await startRegistry(t)
  const api = client(url)
  const platforms = ['arm/v6', 'arm64', 'amd64']
  const images = await Promise.all(platforms.map((_, i) => pushImage(api, 'app', i + 1, `v${i}`)))
  const index: Index = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: images.map(({ digest, mediaType, manifestBytes }, i) => {
      const [architecture = '', variant] = platforms[i]!.split('/')
      const platform = { os: 'linux', architecture, ...(variant && { variant }) }
      return { digest, mediaType, size: manifestBytes.length, platform }
    }),
  }
  const put = { body: JSON.stringify(index), headers: { 'Content-Type': mediaTypes.ociIndex } }
  assert.equal((await api.call('PUT', '/v2/app/manifests/all', put)).status, 201)
  const registries = new Registries(imageStore(t))
  const pull = async (architecture: string, variant?: string) => {
    const platform = { os: 'linux', architecture, ...(variant && { variant }) }
    const [{ imageId } = { imageId: '' }] = await registries.pull(`${host}/app:all`, { platform })
    return images.findIndex(image => image.manifest.config.digest === imageId)
  }
  // A v6 image runs on arm64 too.
  assert.equal(await pull('arm', 'v7'), 0)
  assert.equal(await pull('arm64'), 1)
  assert.equal(await pull('amd64'), 2)
  assert.equal(await pull('arm', 'v6'), 0)
  await assert.rejects(pull('s390x'), /no matching manifest for linux\/s390x in the manifest list entries/)
})

test('what is told of an image that cannot be had', async t => {
  const { host, url, server } = await startRegistry(t)
  const api = client(url)
  const image = await pushImage(api, 'app', 1, 'v1')
  const { config, layers } = image.manifest
  const told = async () => {
    const lines: string[] = []
    const onProgress = ({ status }: { status?: string }) => lines.push(status ?? '')
    const error: Error = await new Registries(imageStore(t)).pull(`${host}/app:v1`, { onProgress }).then(
      () => assert.fail('it was pulled'),
      reason => reason,
    )
    return [lines[0], error.message]
  }
  const repository = server.store.repository('app')!
  repository.unlinkBlob(layers[0]!.digest)
  assert.deepEqual(await told(), ['Pulling from app', 'unknown blob'])
  await api.push('app', image.blobs.get(layers[0]!.digest)!)
  repository.unlinkBlob(config.digest)
  assert.deepEqual(await told(), ['Pulling from app', 'error pulling image configuration: unknown blob'])
  const chart = { ...image.manifest, config: { ...layers[0]!, mediaType: 'application/vnd.example.chart' } }
  const put = { body: JSON.stringify(chart), headers: { 'Content-Type': image.mediaType } }
  assert.equal((await api.call('PUT', '/v2/app/manifests/v1', put)).status, 201)
  assert.deepEqual(await told(), ['Pulling from app', 'unsupported media type application/vnd.example.chart'])
})
