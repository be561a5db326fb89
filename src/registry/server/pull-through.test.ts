import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { test } from 'node:test'
import bcrypt from 'bcryptjs'
import { Registries } from '../registries.ts'
import { eager, folder, imageStore, keep, makeImage, startRegistry } from '../testing/kit.ts'
import { createWire } from '../wire.ts'
import { Passwords } from './passwords.ts'

async function cacheOf(t: Parameters<typeof startRegistry>[0], url: string, more: object = {}) {
  const wire = createWire({})
  const upstream = {
    wire,
    endpoint: { url: new URL(`${url}/`), tls: {}, mirror: false },
    tagLifetime: 0,
    ...more,
  }
  return startRegistry(t, { upstream, limits: { grace: 0 } })
}

test('a cache fetches what it has not, follows tags, and outlives its upstream', async t => {
  const origin = await startRegistry(t)
  const cache = await cacheOf(t, origin.url)
  const store = imageStore(t)
  const publish = async (seed: number) => {
    const image = makeImage(seed, [200_000, 30])
    await keep(store, image, `${origin.host}/team/app:v`)
    await new Registries(store).push(`${origin.host}/team/app:v`)
    return image
  }
  const pull = async () =>
    (await new Registries(imageStore(t), {}, eager).pull(`${cache.host}/team/app:v`))[0]!.digest
  const first = await publish(1)
  assert.equal(await pull(), first.digest)
  for (const digest of first.blobs.keys())
    assert.ok(cache.server.store.repository('team/app')!.blobSize(digest))
  const second = await publish(2)
  assert.equal(await pull(), second.digest)
  assert.deepEqual(await (await fetch(`${cache.url}/v2/team/app/tags/list`)).json(), {
    name: 'team/app',
    tags: ['v'],
  })
  await assert.rejects(
    new Registries(imageStore(t), {}, eager).pull(`${cache.host}/team/app:none`),
    /manifest unknown/,
  )
  await assert.rejects(
    new Registries(store, {}, eager).push(await named(store, cache.host)),
    /cache of another/,
  )
  await origin.server.stop(0)
  assert.equal(await pull(), second.digest)
  assert.equal((await fetch(`${cache.url}/v2/team/app/manifests/none`)).status, 503)
})

async function named(store: ReturnType<typeof imageStore>, host: string): Promise<string> {
  await keep(store, makeImage(3, [5]), `${host}/team/app:new`)
  return `${host}/team/app:new`
}

test('many that ask for a blob at once get it from one transfer', async t => {
  const origin = await startRegistry(t)
  const cache = await cacheOf(t, origin.url)
  const store = imageStore(t)
  const image = makeImage(1, [3_000_000])
  await keep(store, image, `${origin.host}/app`)
  await new Registries(store).push(`${origin.host}/app`)
  const { digest, size } = image.layers[0]!
  const answers = await Promise.all(
    Array.from({ length: 5 }, async () =>
      Buffer.from(await (await fetch(`${cache.url}/v2/app/blobs/${digest}`)).arrayBuffer()),
    ),
  )
  for (const bytes of answers) assert.ok(bytes.equals(image.blobs.get(digest)!))
  const metrics = await (await fetch(`${origin.url}/metrics`)).text()
  assert.match(metrics, /requests_total\{method="GET",path="blob",status="200"\} 1\n/)
  const head = await fetch(`${cache.url}/v2/app/blobs/${digest}`, { method: 'HEAD' })
  assert.equal(head.headers.get('content-length'), String(size))
})

test('what was fetched long ago goes', async t => {
  const origin = await startRegistry(t)
  const cache = await cacheOf(t, origin.url, { lifetime: 0 })
  const store = imageStore(t)
  const image = makeImage(1, [3000])
  await keep(store, image, `${origin.host}/app`)
  await new Registries(store).push(`${origin.host}/app`)
  await new Registries(imageStore(t)).pull(`${cache.host}/app`)
  // The clock of files is coarser than ours.
  await new Promise(resolve => setTimeout(resolve, 20))
  const { manifests, blobs } = await cache.server.collect()
  assert.deepEqual([manifests, blobs], [1, 3])
  await new Registries(imageStore(t)).pull(`${cache.host}/app`)
})

test('a cache logs in upstream, and says who refuses', async t => {
  const file = path.join(folder(t), 'htpasswd')
  fs.writeFileSync(file, `ann:${bcrypt.hashSync('secret', 4)}\n`)
  const rights = { users: { ann: [{ repository: 'team/**', actions: ['pull' as const, 'push' as const] }] } }
  for (const access of [{ passwords: new Passwords(file) }, { passwords: new Passwords(file), rights }]) {
    const origin = await startRegistry(t, { access })
    const auth = { username: 'ann', password: 'secret' }
    const store = imageStore(t)
    const image = makeImage(1, [1000])
    await keep(store, image, `${origin.host}/team/app:v`)
    await new Registries(store).push(`${origin.host}/team/app:v`, { auth })
    const pull = async (more: object) => {
      const { host } = await cacheOf(t, origin.url, more)
      return (await new Registries(imageStore(t), {}, eager).pull(`${host}/team/app:v`))[0]!.digest
    }
    assert.equal(await pull({ auth }), image.digest)
    await assert.rejects(pull({}), /^GantryError: pull access denied for .* denied: upstream: /)
    await assert.rejects(pull({ auth: { ...auth, password: 'no' } }), /denied: upstream: .*unauthorized/)
  }
})
