/** The requirements of the OCI distribution specification, section by section, as a client meets them. */
import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { digestOf } from '../../image/digest.ts'
import { type Digest, type Index, mediaTypes } from '../../image/types.ts'
import { client, octets, pushImage } from '../testing/client.ts'
import { startRegistry } from '../testing/kit.ts'

const NAME = 'conformance/here'
const OTHER = 'conformance/there'
const uploads = `/v2/${NAME}/blobs/uploads/`

const start = async (t: TestContext) => client((await startRegistry(t)).url)
type Api = Awaited<ReturnType<typeof start>>

async function assertThere({ call }: Api, digest: Digest, bytes: Buffer): Promise<void> {
  const head = await call('HEAD', `/v2/${NAME}/blobs/${digest}`)
  assert.deepEqual(
    [head.status, head.header('content-length'), head.header('docker-content-digest'), head.body.length],
    [200, String(bytes.length), digest, 0],
  )
  const got = await call('GET', `/v2/${NAME}/blobs/${digest}`)
  assert.deepEqual([got.status, got.body], [200, bytes])
  assert.equal((await call('DELETE', `/v2/${NAME}/blobs/${digest}`)).status, 202)
  assert.equal((await call('GET', `/v2/${NAME}/blobs/${digest}`)).status, 404)
}

for (const algorithm of ['sha256', 'sha512']) {
  describe(`a blob named by ${algorithm}`, () => {
    const ways: Record<string, (api: Api, bytes: Buffer, digest: Digest) => Promise<number>> = {
      'POST alone': async ({ call }, body, digest) =>
        (await call('POST', `${uploads}?digest=${digest}`, { body, headers: octets })).status,
      'POST, then PUT': async ({ call }, body, digest) => {
        const { status, header } = await call('POST', uploads)
        assert.equal(status, 202)
        return (await call('PUT', `${header('location')}?digest=${digest}`, { body, headers: octets })).status
      },
      'POST, one PATCH without a range, PUT': async ({ call }, body, digest) => {
        const begun = await call('POST', uploads)
        const sent = await call('PATCH', begun.header('location')!, { body, headers: octets })
        assert.deepEqual([sent.status, sent.header('range')], [202, `0-${Math.max(0, body.length - 1)}`])
        return (await call('PUT', `${sent.header('location')}?digest=${digest}`)).status
      },
    }
    for (const [way, push] of Object.entries(ways)) {
      for (const [what, bytes] of Object.entries({
        'some bytes': Buffer.from('some bytes'),
        'an empty object': Buffer.from('{}'),
        nothing: Buffer.alloc(0),
      })) {
        test(`${way}: ${what}`, async t => {
          const api = await start(t)
          const digest = digestOf(bytes, algorithm)
          assert.equal(await push(api, bytes, digest), 201)
          await assertThere(api, digest, bytes)
        })
      }
      test(`${way}: other bytes than promised are refused, and not kept`, async t => {
        const api = await start(t)
        const digest = digestOf('promised', algorithm)
        assert.equal(await push(api, Buffer.from('brought'), digest), 400)
        assert.equal((await api.call('HEAD', `/v2/${NAME}/blobs/${digest}`)).status, 404)
      })
    }

    test('in chunks: those out of order are refused, and say where to go on', async t => {
      const api = await start(t)
      const bytes = Buffer.from('0123456789'.repeat(30))
      const digest = digestOf(bytes, algorithm)
      const chunk = (from: number, to: number) => ({
        body: bytes.subarray(from, to),
        headers: { ...octets, 'Content-Range': `${from}-${to - 1}` },
      })
      let location = (await api.call('POST', uploads)).header('location')!
      const early = await api.call('PATCH', location, chunk(100, 200))
      assert.deepEqual([early.status, early.code, early.header('range')], [416, 'RANGE_INVALID', '0-0'])
      for (const [from, to] of [
        [0, 100],
        [100, 200],
      ] as const) {
        const sent = await api.call('PATCH', location, chunk(from, to))
        assert.deepEqual([sent.status, sent.header('range')], [202, `0-${to - 1}`])
        location = sent.header('location')!
        const again = await api.call('PATCH', location, chunk(from, to))
        assert.deepEqual([again.status, again.header('range')], [416, `0-${to - 1}`])
        const { status, header } = await api.call('GET', location)
        assert.deepEqual(
          [status, header('range'), header('location')],
          [204, `0-${to - 1}`, new URL(location, 'http://x').pathname],
        )
      }
      const last = `${location}?digest=${digest}`
      const ahead = await api.call('PUT', last, chunk(250, 300))
      assert.deepEqual([ahead.status, ahead.header('range')], [416, '0-199'])
      const done = await api.call('PUT', last, chunk(200, 300))
      assert.deepEqual(
        [done.status, done.header('location'), done.header('docker-content-digest')],
        [201, `/v2/${NAME}/blobs/${digest}`, digest],
      )
      assert.equal((await api.call('GET', location)).status, 404)
      await assertThere(api, digest, bytes)
    })
  })
}

test('mounts: from a repository, from anywhere, from nowhere', async t => {
  const api = await start(t)
  const bytes = Buffer.from('somewhere else')
  const digest = await api.push(OTHER, bytes)
  const mount = (query: string) => api.call('POST', `${uploads}?${query}`)
  for (const from of [`&from=${OTHER}`, '']) {
    const mounted = await mount(`mount=${digest}${from}`)
    assert.deepEqual([mounted.status, mounted.header('location')], [201, `/v2/${NAME}/blobs/${digest}`])
    await assertThere(api, digest, bytes)
  }
  for (const query of [
    `mount=${digestOf('not here')}&from=${OTHER}`,
    `mount=${digest}&from=nobody/knows`,
    `mount=${digestOf('not here')}`,
  ]) {
    const begun = await mount(query)
    assert.deepEqual([begun.status, begun.header('range')], [202, '0-0'])
    assert.equal((await api.call('DELETE', begun.header('location')!)).status, 204)
  }
})

test('ranges of a blob', async t => {
  const api = await start(t)
  const bytes = Buffer.from('0123456789abcdef'.repeat(128))
  const digest = await api.push(NAME, bytes)
  const get = (range: string) => api.call('GET', `/v2/${NAME}/blobs/${digest}`, { headers: { Range: range } })
  const cases: [range: string, from: number, to: number][] = [
    ['bytes=500-1499', 500, 1500],
    ['bytes=500-', 500, 2048],
    ['bytes=-500', 1548, 2048],
    ['bytes=-5000', 0, 2048],
    ['bytes=2000-5000', 2000, 2048],
    ['bytes=0-0', 0, 1],
  ]
  for (const [range, from, to] of cases) {
    const { status, header, body } = await get(range)
    assert.deepEqual(
      [status, header('content-range'), header('content-length'), body],
      [206, `bytes ${from}-${to - 1}/2048`, String(to - from), bytes.subarray(from, to)],
      range,
    )
  }
  for (const range of ['bytes=2048-', 'bytes=5000-10000', 'bytes=500-0', 'bytes=-0']) {
    const { status, header } = await get(range)
    assert.deepEqual([status, header('content-range')], [416, 'bytes */2048'], range)
  }
})

test('tags: listed in order, cut where asked, gone at once', async t => {
  const api = await start(t)
  assert.equal((await api.call('GET', `/v2/${NAME}/tags/list`)).code, 'NAME_UNKNOWN')
  const image = await pushImage(api, NAME, 1, 'first')
  for (const tag of ['_b', 'Z', 'a', '1.0-x']) {
    const { status } = await api.call('PUT', `/v2/${NAME}/manifests/${tag}`, {
      body: image.manifestBytes,
      headers: { 'Content-Type': image.mediaType },
    })
    assert.equal(status, 201)
  }
  const list = async (query = '') => {
    const { body, header } = await api.call('GET', `/v2/${NAME}/tags/list${query}`)
    return [JSON.parse(body.toString()).tags, header('link')]
  }
  assert.deepEqual(await list(), [['1.0-x', 'Z', '_b', 'a', 'first'], null])
  const next = `</v2/${NAME}/tags/list?n=2&last=Z>; rel="next"`
  assert.deepEqual(await list('?n=2'), [['1.0-x', 'Z'], next])
  assert.deepEqual(await list('?n=2&last=a'), [['first'], null])
  assert.deepEqual(await list('?last=Zz'), [['_b', 'a', 'first'], null])
  assert.deepEqual(await list('?n=0'), [[], null])
  const remove = (reference: string) => api.call('DELETE', `/v2/${NAME}/manifests/${reference}`)
  assert.equal((await remove('Z')).status, 202)
  assert.deepEqual(await list(), [['1.0-x', '_b', 'a', 'first'], null])
  assert.equal((await api.call('HEAD', `/v2/${NAME}/manifests/${image.digest}`)).status, 200)
  assert.equal((await remove(image.digest)).status, 202)
  assert.equal((await remove(image.digest)).code, 'MANIFEST_UNKNOWN')
  assert.deepEqual(await list(), [[], null], 'a repository from which all went is still one')
})

test('manifests of every kind are given back as they came', async t => {
  const api = await start(t)
  const image = await pushImage(api, NAME, 1, 'image')
  const empty = await api.push(NAME, Buffer.from('{}'))
  const config = { mediaType: mediaTypes.ociEmpty, digest: empty, size: 2 }
  const child = { mediaType: image.mediaType, digest: image.digest, size: image.manifestBytes.length }
  const manifest = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: [] }
  const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [child] }
  const inner = JSON.stringify(index)
  const kinds: Record<string, { mediaType: string; [field: string]: unknown }> = {
    'without layers': manifest,
    'with unknown fields': { ...manifest, 'org.example.more': { deep: [1, 2] } },
    'with data in a descriptor': { ...manifest, config: { ...config, data: 'e30=' } },
    'with layers that are elsewhere': {
      ...manifest,
      layers: [
        {
          mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
          digest: digestOf('elsewhere'),
          size: 123,
          urls: ['https://store.example/blob'],
        },
      ],
    },
    'an index': index,
    'an empty index': { ...index, manifests: [] },
    'an index of an index': {
      ...index,
      manifests: [{ mediaType: mediaTypes.ociIndex, digest: digestOf(inner), size: inner.length }],
    },
    "a list of Docker's": { ...index, mediaType: mediaTypes.dockerManifestList },
    'large, for its annotations': {
      ...manifest,
      annotations: Object.fromEntries(Array.from({ length: 390 }, (_, i) => [`n-${i}`, 'A'.repeat(10_000)])),
    },
    'of a kind that nobody knows yet': { mediaType: 'application/vnd.example.new+json', parts: [1] },
  }
  for (const [what, document] of Object.entries(kinds)) {
    const body = Buffer.from(`${JSON.stringify(document, null, 1)}\n`)
    const bytes = what === 'an index' ? Buffer.from(inner) : body
    for (const algorithm of ['sha256', 'sha512']) {
      const digest = digestOf(bytes, algorithm)
      for (const reference of algorithm === 'sha256' ? [digest, 'tag'] : [digest]) {
        const put = await api.call('PUT', `/v2/${NAME}/manifests/${reference}`, {
          body: bytes,
          headers: { 'Content-Type': document.mediaType },
        })
        assert.deepEqual(
          [put.status, put.header('docker-content-digest')],
          [201, digest],
          `${what}: ${put.body}`,
        )
        for (const method of ['GET', 'HEAD']) {
          const got = await api.call(method, `/v2/${NAME}/manifests/${reference}`, {
            headers: { Accept: document.mediaType },
          })
          assert.deepEqual(
            [got.status, got.header('content-type'), got.header('docker-content-digest')],
            [200, document.mediaType, digest],
          )
          assert.equal(got.header('content-length'), String(bytes.length))
          assert.deepEqual(got.body, method === 'GET' ? bytes : Buffer.alloc(0))
        }
      }
    }
  }
})

test('referrers: known before their subject, found by kind, answered also where there are none', async t => {
  const api = await start(t)
  const empty = await api.push(NAME, Buffer.from('{}'))
  const config = { mediaType: mediaTypes.ociEmpty, digest: empty, size: 2 }
  const subject = { mediaType: mediaTypes.ociManifest, digest: digestOf('yet to come'), size: 11 }
  const base = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: [config], subject }
  const documents = [
    { ...base, artifactType: 'application/a', annotations: { who: 'a' } },
    // Without a type of its own, that of its config counts.
    { ...base, config: { ...config, mediaType: 'application/of-config' } },
    {
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests: [],
      artifactType: 'application/index',
      subject,
    },
  ]
  for (const document of documents) {
    const body = JSON.stringify(document)
    const put = await api.call('PUT', `/v2/${NAME}/manifests/${digestOf(body)}`, {
      body,
      headers: { 'Content-Type': document.mediaType },
    })
    assert.deepEqual([put.status, put.header('oci-subject')], [201, subject.digest])
  }
  const list = async (query = '', digest = subject.digest) => {
    const { status, header, body } = await api.call('GET', `/v2/${NAME}/referrers/${digest}${query}`)
    assert.deepEqual([status, header('content-type')], [200, mediaTypes.ociIndex])
    assert.equal(header('oci-filters-applied'), query === '' ? null : 'artifactType')
    return (JSON.parse(body.toString()) as Index).manifests
  }
  assert.deepEqual((await list()).map(({ artifactType }) => artifactType).sort(), [
    'application/a',
    'application/index',
    'application/of-config',
  ])
  const [found, ...others] = await list('?artifactType=application%2Fa')
  const body = JSON.stringify(documents[0])
  assert.deepEqual(others, [])
  assert.deepEqual(found, {
    mediaType: mediaTypes.ociManifest,
    digest: digestOf(body),
    size: body.length,
    artifactType: 'application/a',
    annotations: { who: 'a' },
  })
  assert.deepEqual(await list('?artifactType=application/none'), [])
  assert.deepEqual(await list('', digestOf('nobody refers to me')), [])
  assert.equal((await api.call('GET', `/v2/${NAME}/referrers/nonsense`)).code, 'DIGEST_INVALID')
})
