/** Manifests, their lists, and what refers to them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { digestOf } from '../../image/digest.ts'
import { type Descriptor, type Index, mediaTypes } from '../../image/types.ts'
import { client, pushImage } from '../testing/client.ts'
import { makeImage, startRegistry } from '../testing/kit.ts'

test('manifests: conditions, tags that move, deletion', async t => {
  const { url } = await startRegistry(t)
  const api = client(url)
  const image = await pushImage(api, 'team/app', 1, 'latest')
  const got = await api.call('GET', '/v2/team/app/manifests/latest')
  assert.deepEqual(got.body, Buffer.from(image.manifestBytes))
  assert.equal(got.header('content-type'), image.mediaType)
  assert.equal(got.header('docker-content-digest'), image.digest)
  assert.equal(
    (
      await api.call('GET', '/v2/team/app/manifests/latest', {
        headers: { 'If-None-Match': `"${image.digest}"` },
      })
    ).status,
    304,
  )
  const head = await api.call('HEAD', `/v2/team/app/manifests/${image.digest}`)
  assert.equal(head.header('content-length'), String(image.manifestBytes.length))
  const other = await pushImage(api, 'team/app', 2, 'latest')
  assert.equal(
    (await api.call('HEAD', '/v2/team/app/manifests/latest')).header('docker-content-digest'),
    other.digest,
  )
  assert.equal((await api.call('DELETE', '/v2/team/app/manifests/latest')).status, 202)
  assert.equal((await api.call('GET', '/v2/team/app/manifests/latest')).status, 404)
  assert.equal((await api.call('GET', `/v2/team/app/manifests/${other.digest}`)).status, 200)
  assert.equal((await api.call('DELETE', `/v2/team/app/manifests/${other.digest}`)).status, 202)
  assert.equal((await api.call('GET', `/v2/team/app/manifests/${other.digest}`)).status, 404)
})

test('lists come in pages', async t => {
  const { url } = await startRegistry(t)
  const api = client(url)
  for (const tag of ['b', 'a', 'd', 'c', 'e']) await pushImage(api, `repo/${tag}`, 1, tag)
  const image = makeImage(1, [3000])
  for (const tag of ['b', 'a', 'd', 'c', 'e']) {
    await api.call('PUT', `/v2/repo/a/manifests/${tag}`, {
      body: image.manifestBytes,
      headers: { 'Content-Type': image.mediaType },
    })
  }
  const pages = async (start: string, key: string): Promise<string[][]> => {
    const all: string[][] = []
    for (let target: string | undefined = start; target; ) {
      const answer = await api.call('GET', target)
      all.push(JSON.parse(answer.body.toString())[key])
      target = /<([^>]+)>; rel="next"/.exec(answer.header('link') ?? '')?.[1]
    }
    return all
  }
  assert.deepEqual(await pages('/v2/repo/a/tags/list?n=2', 'tags'), [['a', 'b'], ['c', 'd'], ['e']])
  assert.deepEqual(await pages('/v2/repo/a/tags/list?last=c', 'tags'), [['d', 'e']])
  assert.deepEqual(await pages('/v2/repo/a/tags/list?n=0', 'tags'), [[]])
  assert.deepEqual(await pages('/v2/_catalog?n=3', 'repositories'), [
    ['repo/a', 'repo/b', 'repo/c'],
    ['repo/d', 'repo/e'],
  ])
})

test('any artifact, and what refers to it', async t => {
  const { url } = await startRegistry(t)
  const api = client(url)
  const image = await pushImage(api, 'app', 1, 'v1')
  const empty = await api.push('app', Buffer.from('{}'))
  const text = await api.push('app', Buffer.from('a bill of materials'))
  const subject = { mediaType: image.mediaType, digest: image.digest, size: image.manifestBytes.length }
  const artifact = (type: string) =>
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      artifactType: type,
      config: { mediaType: mediaTypes.ociEmpty, digest: empty, size: 2 },
      layers: [{ mediaType: 'text/plain', digest: text, size: 19 }],
      subject,
      annotations: { who: type },
    })
  for (const type of ['application/sbom', 'application/signature']) {
    const body = artifact(type)
    const answer = await api.call('PUT', `/v2/app/manifests/${digestOf(body)}`, {
      body,
      headers: { 'Content-Type': mediaTypes.ociManifest },
    })
    assert.equal(answer.status, 201)
    assert.equal(answer.header('oci-subject'), image.digest)
  }
  const list = async (query = '') => {
    const answer = await api.call('GET', `/v2/app/referrers/${image.digest}${query}`)
    assert.equal(answer.header('content-type'), mediaTypes.ociIndex)
    return {
      filtered: answer.header('oci-filters-applied'),
      index: JSON.parse(answer.body.toString()) as Index,
    }
  }
  assert.deepEqual((await list()).index.manifests.map((entry: Descriptor) => entry.artifactType).sort(), [
    'application/sbom',
    'application/signature',
  ])
  const one = await list('?artifactType=application/sbom')
  assert.equal(one.filtered, 'artifactType')
  assert.deepEqual(
    one.index.manifests.map(entry => [entry.artifactType, entry.annotations]),
    [['application/sbom', { who: 'application/sbom' }]],
  )
  const first = await api.call('GET', `/v2/app/referrers/${image.digest}?n=1`)
  const link = /<([^>]+)>; rel="next"/.exec(first.header('link')!)![1]!
  const second = await api.call('GET', link)
  assert.equal(second.header('link'), null)
  const listed = [first, second].flatMap(({ body }) => (JSON.parse(body.toString()) as Index).manifests)
  assert.deepEqual(listed.map(({ artifactType }) => artifactType).sort(), [
    'application/sbom',
    'application/signature',
  ])
  assert.match(
    (await api.call('GET', `/v2/app/referrers/${image.digest}?n=0&artifactType=x`)).body.toString(),
    /"manifests":\[\]/,
  )
  assert.deepEqual((await api.call('GET', `/v2/nothing/referrers/${image.digest}`)).status, 200)
  await api.call('DELETE', `/v2/app/manifests/${digestOf(artifact('application/sbom'))}`)
  assert.equal((await list()).index.manifests.length, 1)
})
