/** Whatever is wrong with a request has a code in the specification. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mediaTypes } from '../../image/types.ts'
import { client, octets } from '../testing/client.ts'
import { startRegistry } from '../testing/kit.ts'

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
