import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { test } from 'node:test'
import { digestOf } from '../../image/digest.ts'
import { type Descriptor, type Index, mediaTypes } from '../../image/types.ts'
import { folder, makeImage, startRegistry } from '../testing/kit.ts'

const octets = { 'Content-Type': 'application/octet-stream' }

/** `fetch` with a base; headers of the answer by name. */
function client(base: string) {
  const call = async (
    method: string,
    target: string,
    init: { body?: Uint8Array | string; headers?: Record<string, string> } = {},
  ) => {
    const response = await fetch(new URL(target, base), {
      method,
      redirect: 'manual',
      ...(init as RequestInit),
    })
    const body = Buffer.from(await response.arrayBuffer())
    return {
      status: response.status,
      header: (name: string) => response.headers.get(name),
      body,
      code: codeOf(body),
    }
  }
  const push = async (name: string, bytes: Uint8Array) => {
    const digest = digestOf(bytes)
    const answer = await call('POST', `/v2/${name}/blobs/uploads/?digest=${digest}`, {
      body: bytes,
      headers: octets,
    })
    assert.equal(answer.status, 201)
    return digest
  }
  return { call, push }
}

function codeOf(body: Buffer): string | undefined {
  try {
    return JSON.parse(body.toString()).errors?.[0]?.code
  } catch {
    return undefined
  }
}

async function pushImage(
  { call, push }: ReturnType<typeof client>,
  name: string,
  seed: number,
  reference: string,
) {
  const image = makeImage(seed, [3000])
  for (const bytes of image.blobs.values()) await push(name, bytes)
  const answer = await call('PUT', `/v2/${name}/manifests/${reference}`, {
    body: image.manifestBytes,
    headers: { 'Content-Type': image.mediaType },
  })
  assert.equal(answer.status, 201)
  return image
}

test('malformed requests get the codes of the specification', async t => {
  const { url } = await startRegistry(t, { limits: { manifestBytes: 1000, uploads: 2 } })
  const { call, push } = client(url)
  const blob = await push('a', Buffer.from('blob'))
  const zeros = `sha256:${'0'.repeat(64)}`
  const { header } = await call('POST', '/v2/a/blobs/uploads/')
  const upload = header('location')!
  const manifest = (value: unknown) => ({
    body: JSON.stringify(value),
    headers: { 'Content-Type': mediaTypes.ociManifest },
  })
  const config = { mediaType: mediaTypes.ociConfig, digest: blob, size: 4 }
  const good = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: [] }
  const cases: [method: string, target: string, init: object, status: number, code: string | undefined][] = [
    ['GET', '/v2/UPPER/manifests/x', {}, 400, 'NAME_INVALID'],
    ['GET', '/v2/a..b/manifests/x', {}, 400, 'NAME_INVALID'],
    ['GET', `/v2/${'a/'.repeat(130)}a/manifests/x`, {}, 400, 'NAME_INVALID'],
    ['GET', '/v2/a/manifests/-bad', {}, 400, 'TAG_INVALID'],
    ['GET', '/v2/a/manifests/sha256:123', {}, 400, 'DIGEST_INVALID'],
    ['GET', '/v2/a/blobs/sha256:xyz', {}, 400, 'DIGEST_INVALID'],
    ['GET', '/v2/a/blobs/nothing', {}, 400, 'DIGEST_INVALID'],
    ['GET', `/v2/a/blobs/${zeros}`, {}, 404, 'BLOB_UNKNOWN'],
    ['GET', `/v2/b/blobs/${blob}`, {}, 404, 'BLOB_UNKNOWN'],
    ['GET', '/v2/a/manifests/none', {}, 404, 'MANIFEST_UNKNOWN'],
    ['GET', '/v2/nowhere/tags/list', {}, 404, 'NAME_UNKNOWN'],
    ['DELETE', '/v2/a/manifests/none', {}, 404, 'MANIFEST_UNKNOWN'],
    ['DELETE', `/v2/a/blobs/${zeros}`, {}, 404, 'BLOB_UNKNOWN'],
    ['POST', '/v2/a/manifests/x', {}, 405, 'UNSUPPORTED'],
    ['GET', '/v2/a/blobs/uploads/123', {}, 404, 'BLOB_UPLOAD_INVALID'],
    ['GET', '/v2/a/blobs/uploads/00000000-0000-0000-0000-000000000000', {}, 404, 'BLOB_UPLOAD_UNKNOWN'],
    ['GET', upload.replace('/a/', '/other/'), {}, 404, 'BLOB_UPLOAD_UNKNOWN'],
    ['PATCH', upload, { body: 'x', headers: { ...octets, 'Content-Range': '5-5' } }, 416, 'RANGE_INVALID'],
    [
      'PATCH',
      upload,
      { body: 'x', headers: { ...octets, 'Content-Range': 'all of it' } },
      416,
      'RANGE_INVALID',
    ],
    ['PATCH', upload, { body: 'xy', headers: { ...octets, 'Content-Range': '0-0' } }, 400, 'SIZE_INVALID'],
    ['PATCH', upload, { body: 'x', headers: { 'Content-Type': 'text/plain' } }, 415, 'BLOB_UPLOAD_INVALID'],
    ['PUT', upload, {}, 400, 'DIGEST_INVALID'],
    ['PUT', `${upload}?digest=md5:00`, {}, 400, 'DIGEST_INVALID'],
    ['PUT', `${upload}?digest=${zeros}`, { body: 'x', headers: octets }, 400, 'DIGEST_INVALID'],
    [
      'PUT',
      '/v2/a/manifests/x',
      { body: '{', headers: { 'Content-Type': mediaTypes.ociManifest } },
      400,
      'MANIFEST_INVALID',
    ],
    [
      'PUT',
      '/v2/a/manifests/x',
      { body: '[]', headers: { 'Content-Type': mediaTypes.ociManifest } },
      400,
      'MANIFEST_INVALID',
    ],
    [
      'PUT',
      '/v2/a/manifests/x',
      manifest({ ...good, config: { ...config, size: -1 } }),
      400,
      'MANIFEST_INVALID',
    ],
    ['PUT', '/v2/a/manifests/x', manifest({ ...good, manifests: [] }), 400, 'MANIFEST_INVALID'],
    [
      'PUT',
      '/v2/a/manifests/x',
      manifest({ ...good, mediaType: mediaTypes.dockerManifest }),
      400,
      'MANIFEST_INVALID',
    ],
    ['PUT', '/v2/a/manifests/x', manifest({ ...good, schemaVersion: 1 }), 400, 'MANIFEST_INVALID'],
    [
      'PUT',
      '/v2/a/manifests/x',
      manifest({ ...good, layers: [{ ...config, digest: zeros }] }),
      404,
      'MANIFEST_BLOB_UNKNOWN',
    ],
    [
      'PUT',
      '/v2/a/manifests/x',
      manifest({ ...good, annotations: { long: 'x'.repeat(1000) } }),
      413,
      'MANIFEST_INVALID',
    ],
    ['PUT', `/v2/a/manifests/${zeros}`, manifest(good), 400, 'DIGEST_INVALID'],
    ['PUT', '/v2/a/manifests/x', manifest(good), 201, undefined],
    ['GET', '/v2/a/tags/list?n=many', {}, 400, 'PAGINATION_NUMBER_INVALID'],
    ['GET', '/v2/a/tags/list?n=-1', {}, 400, 'PAGINATION_NUMBER_INVALID'],
    ['GET', `/v2/a/blobs/${blob}`, { headers: { Range: 'bytes=4-' } }, 416, 'RANGE_INVALID'],
    ['POST', '/v2/a/blobs/uploads/?digest=nonsense', {}, 400, 'DIGEST_INVALID'],
    ['POST', `/v2/a/blobs/uploads/?mount=${zeros}&from=NO`, {}, 400, 'NAME_INVALID'],
    ['POST', '/v2/a/blobs/uploads/', {}, 202, undefined],
    ['POST', '/v2/a/blobs/uploads/', {}, 202, undefined],
    ['POST', '/v2/a/blobs/uploads/', {}, 429, 'TOOMANYREQUESTS'],
    ['GET', '/v2/a', {}, 404, undefined],
    ['GET', '/v1/search', {}, 404, undefined],
  ]
  for (const [method, target, init, status, code] of cases) {
    const answer = await call(method, target, init)
    assert.deepEqual(
      [answer.status, answer.code],
      [status, code],
      `${method} ${target} ${JSON.stringify(init)}: ${answer.body}`,
    )
  }
})

test('an upload in chunks, looked at, continued after a restart, and finished', async t => {
  const root = folder(t)
  const first = await startRegistry(t, { root })
  const bytes = Buffer.from('abcdefghij'.repeat(5000))
  let { call } = client(first.url)
  const begun = await call('POST', '/v2/up/blobs/uploads/')
  assert.equal(begun.status, 202)
  const location = begun.header('location')!
  const chunk = (from: number, to: number) => ({
    body: bytes.subarray(from, to),
    headers: { ...octets, 'Content-Range': `${from}-${to - 1}` },
  })
  assert.equal((await call('PATCH', location, chunk(0, 100))).header('range'), '0-99')
  assert.equal((await call('PATCH', location, chunk(0, 100))).status, 416)
  assert.equal((await call('PATCH', location, chunk(100, 20_000))).header('range'), '0-19999')
  await first.server.stop(0)
  const second = await startRegistry(t, { root })
  ;({ call } = client(second.url))
  const status = await call('GET', location)
  assert.deepEqual([status.status, status.header('range')], [204, '0-19999'])
  const digest = digestOf(bytes)
  const done = await call('PUT', `${location}?digest=${digest}`, chunk(20_000, bytes.length))
  assert.equal(done.status, 201, done.body.toString())
  assert.equal(done.header('location'), `/v2/up/blobs/${digest}`)
  assert.deepEqual((await call('GET', `/v2/up/blobs/${digest}`)).body, bytes)
  assert.equal((await call('GET', location)).status, 404)
  const other = (await call('POST', '/v2/up/blobs/uploads/')).header('location')!
  assert.equal((await call('DELETE', other)).status, 204)
  assert.equal((await call('DELETE', other)).status, 404)
})

test('ranges, conditions and heads of a blob', async t => {
  const { url } = await startRegistry(t)
  const { call, push } = client(url)
  const bytes = Buffer.from('0123456789')
  const digest = await push('a', bytes)
  const get = (headers: Record<string, string>) => call('GET', `/v2/a/blobs/${digest}`, { headers })
  const cases: [headers: Record<string, string>, status: number, body: string][] = [
    [{}, 200, '0123456789'],
    [{ Range: 'bytes=3-5' }, 206, '345'],
    [{ Range: 'bytes=3-' }, 206, '3456789'],
    [{ Range: 'bytes=-2' }, 206, '89'],
    [{ Range: 'bytes=3-999' }, 206, '3456789'],
    [{ Range: 'bytes=5-3' }, 200, '0123456789'],
    [{ Range: 'bytes=0-1,4-5' }, 200, '0123456789'],
    [{ Range: 'lines=1-2' }, 200, '0123456789'],
    [{ Range: 'bytes=3-5', 'If-Range': `"${digest}"` }, 206, '345'],
    [{ Range: 'bytes=3-5', 'If-Range': '"other"' }, 200, '0123456789'],
    [{ 'If-None-Match': `"${digest}"` }, 304, ''],
  ]
  for (const [headers, status, body] of cases) {
    const answer = await get(headers)
    assert.deepEqual([answer.status, answer.body.toString()], [status, body], JSON.stringify(headers))
  }
  assert.equal((await get({ Range: 'bytes=3-5' })).header('content-range'), 'bytes 3-5/10')
  const head = await call('HEAD', `/v2/a/blobs/${digest}`)
  assert.deepEqual(
    [head.status, head.header('content-length'), head.header('docker-content-digest')],
    [200, '10', digest],
  )
  const sha512 = digestOf(bytes, 'sha512')
  assert.equal(
    (await call('POST', `/v2/a/blobs/uploads/?digest=${sha512}`, { body: bytes, headers: octets })).status,
    201,
  )
  assert.deepEqual((await call('GET', `/v2/a/blobs/${sha512}`)).body, bytes)
})

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

test('garbage goes while it serves; what is named stays', async t => {
  const { url, server } = await startRegistry(t, { limits: { grace: 0 } })
  const api = client(url)
  const kept = await pushImage(api, 'app', 1, 'kept')
  const dropped = await pushImage(api, 'app', 2, 'dropped')
  const shared = await api.push('app', Buffer.from('nobody names me'))
  await api.call('DELETE', `/v2/app/manifests/${dropped.digest}`)
  const { blobs } = await server.collect()
  assert.equal(blobs, 1 + dropped.blobs.size + 1)
  assert.equal((await api.call('HEAD', `/v2/app/blobs/${shared}`)).status, 404)
  for (const digest of kept.blobs.keys())
    assert.equal((await api.call('GET', `/v2/app/blobs/${digest}`)).status, 200)
})

test('each repository is an OCI layout that survives without its journal, and with a torn one', async t => {
  const root = folder(t)
  const first = await startRegistry(t, { root })
  const image = await pushImage(client(first.url), 'app', 1, 'v1')
  const layout = path.join(root, 'repositories/app/_oci')
  const journal = path.join(layout, 'journal.jsonl')
  const torn = fs.readFileSync(journal, 'utf8') + '{"do":"put","manifest":{"medi'
  await first.server.stop(0)
  const index = JSON.parse(fs.readFileSync(path.join(layout, 'index.json'), 'utf8')) as Index
  assert.deepEqual(
    index.manifests.map(entry => [entry.digest, entry.annotations]),
    [[image.digest, { 'org.opencontainers.image.ref.name': 'v1' }]],
  )
  assert.ok(!fs.existsSync(journal))
  fs.writeFileSync(path.join(layout, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [] }))
  fs.writeFileSync(journal, torn)
  const second = await startRegistry(t, { root })
  assert.equal(
    (await client(second.url).call('HEAD', '/v2/app/manifests/v1')).header('docker-content-digest'),
    image.digest,
  )
})

test('health and metrics', async t => {
  const { url } = await startRegistry(t)
  const { call } = client(url)
  assert.equal((await call('GET', '/healthz')).status, 200)
  await call('GET', '/v2/')
  const metrics = (await call('GET', '/metrics')).body.toString()
  assert.match(metrics, /gantry_registry_requests_total\{method="GET",path="base",status="200"\} 1\n/)
  assert.match(metrics, /gantry_registry_uploads_active 0\n/)
})
