/** Blobs on their way in and out. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { digestOf } from '../../image/digest.ts'
import { client, octets } from '../testing/client.ts'
import { folder, startRegistry } from '../testing/kit.ts'

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
