/** What is kept, what goes, and what an operator sees. */
import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Index } from '../../image/types.ts'
import { client, pushImage } from '../testing/client.ts'
import { folder, startRegistry } from '../testing/kit.ts'
import { collect } from './collector.ts'
import { RegistryStore } from './registry-store.ts'

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

test('a blob that a push was told of stays until its manifest comes', async t => {
  const { url, server } = await startRegistry(t, { limits: { grace: 100 } })
  const { call, push } = client(url)
  const bytes = ['asked for', 'sent again', 'mounted', 'forgotten'].map(text => Buffer.from(text))
  const digests = await Promise.all(bytes.map(each => push('app', each)))
  // The clock of files is coarser than ours.
  await sleep(60)
  const between = Date.now()
  await sleep(60)
  assert.equal((await call('HEAD', `/v2/app/blobs/${digests[0]}`)).status, 200)
  await push('app', bytes[1]!)
  assert.equal((await call('POST', `/v2/app/blobs/uploads/?mount=${digests[2]}&from=app`)).status, 201)
  assert.equal((await collect(server.store, { grace: 100, now: between + 100 })).links, 1)
  const left = await Promise.all(digests.map(digest => call('GET', `/v2/app/blobs/${digest}`)))
  assert.deepEqual(
    left.map(({ status }) => status),
    [200, 200, 200, 404],
  )
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

test('one process a storage: a second one is refused, and none is harmed', async t => {
  const root = folder(t)
  const first = await startRegistry(t, { root })
  const image = await pushImage(client(first.url), 'app', 1, 'v1')
  assert.throws(() => new RegistryStore(root), {
    kind: 'conflict',
    message: /is in use by another registry$/,
  })
  await pushImage(client(first.url), 'app', 2, 'v2')
  await first.server.stop(0)
  const store = new RegistryStore(root)
  t.after(() => store.close())
  assert.deepEqual(store.repository('app')!.tags(), ['v1', 'v2'])
  assert.equal(store.repository('app')!.manifest('v1')!.digest, image.digest)
})
