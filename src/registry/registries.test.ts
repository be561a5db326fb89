import assert from 'node:assert/strict'
import { test } from 'node:test'
import { shortId } from '../image/digest.ts'
import { familiar, parseReference } from '../image/reference.ts'
import { Registries } from './registries.ts'
import { eager, folder, imageStore, keep, makeImage, Recorder, startRegistry } from './testing/kit.ts'

test('what is pushed is pulled again, byte for byte', async t => {
  const { host } = await startRegistry(t)
  for (const oci of [true, false]) {
    const image = makeImage(oci ? 1 : 2, [100_000, 5, 2_000_000], oci)
    const name = `${host}/team/app:v${oci ? 1 : 2}`
    const here = imageStore(t)
    await keep(here, image, name)
    const sent = new Recorder()
    const [pushed] = await new Registries(here).push(name, { onProgress: sent.listen })
    assert.equal(pushed!.digest, image.digest)
    const ids = image.layers.map(layer => shortId(layer.diffId)).reverse()
    assert.equal(sent.steps[0], `The push refers to repository [${host}/team/app]`)
    assert.deepEqual(
      sent.steps.slice(1, 4),
      ids.map(id => `${id}: Preparing`),
    )
    assert.deepEqual(sent.events.at(-1)!.aux, {
      Tag: pushed!.tag,
      Digest: image.digest,
      Size: image.manifestBytes.length,
    })

    const there = imageStore(t)
    const got = new Recorder()
    const registries = new Registries(there)
    const [pulled] = await registries.pull(name, { onProgress: got.listen })
    assert.equal(pulled!.digest, image.digest)
    assert.equal(pulled!.updated, true)
    const record = there.named(parseReference(name))!
    assert.deepEqual(Buffer.from(record.image.manifestBytes), Buffer.from(image.manifestBytes))
    for (const [digest, bytes] of image.blobs) assert.deepEqual(there.content.read(digest), bytes)
    assert.ok(there.named(parseReference(`${host}/team/app@${image.digest}`)))
    assert.equal(got.steps[0], `v${oci ? 1 : 2}: Pulling from team/app`)
    for (const layer of image.layers) {
      const steps = got.steps
        .filter(step => step.startsWith(shortId(layer.digest)))
        .map(step => step.split(': ')[1])
      const expected = [
        'Pulling fs layer',
        'Downloading',
        'Verifying Checksum',
        'Download complete',
        'Extracting',
        'Pull complete',
      ]
      assert.deepEqual(
        [...new Set(steps)].filter(step => step !== 'Waiting'),
        expected,
      )
    }
    assert.deepEqual(got.steps.slice(-2), [
      `Digest: ${image.digest}`,
      `Status: Downloaded newer image for ${name}`,
    ])

    const again = new Recorder()
    const [second] = await registries.pull(name, { onProgress: again.listen })
    assert.equal(second!.updated, false)
    assert.deepEqual(again.steps.slice(-2), [
      `Digest: ${image.digest}`,
      `Status: Image is up to date for ${name}`,
    ])
  }
})

test('a second push finds the layers; another repository mounts them', async t => {
  const { host, server } = await startRegistry(t)
  const image = makeImage(3, [50_000])
  const store = imageStore(t)
  await keep(store, image, `${host}/a:1`)
  const registries = new Registries(store)
  await registries.push(`${host}/a:1`)
  const id = shortId(image.layers[0]!.diffId)
  const second = new Recorder()
  await registries.push(`${host}/a:1`, { onProgress: second.listen })
  assert.ok(second.steps.includes(`${id}: Layer already exists`))
  assert.ok(store.named(parseReference(`${host}/a@${image.digest}`)), 'known by its digest')
  store.tag(`${host}/a:1`, `${host}/b:1`)
  const third = new Recorder()
  await registries.push(`${host}/b:1`, { onProgress: third.listen })
  assert.ok(third.steps.includes(`${id}: Mounted from a`), third.steps.join('\n'))
  assert.deepEqual([...server.store.names()], ['a', 'b'])
})

test('errors are said as Docker says them', async t => {
  const { host } = await startRegistry(t)
  const store = imageStore(t)
  const registries = new Registries(store, {}, eager)
  await assert.rejects(registries.pull(`${host}/no:tag`), {
    kind: 'notFound',
    message: `manifest for ${host}/no:tag not found: manifest unknown: manifest unknown`,
  })
  await assert.rejects(registries.pull('127.0.0.1:1/foo'), {
    message: 'Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused',
  })
  await assert.rejects(registries.push(`${host}/no`), {
    message: `An image does not exist locally with the tag: ${host}/no`,
  })
  await keep(store, makeImage(4, [10]), `${host}/no:one`)
  await assert.rejects(registries.push(`${host}/no:two`), { message: `tag does not exist: ${host}/no:two` })
})

test('every tag of a repository, there and back', async t => {
  const { host } = await startRegistry(t, { limits: { pageSize: 3 } })
  const store = imageStore(t)
  const names = Array.from({ length: 8 }, (_, i) => `${host}/many:t${i}`)
  for (const [i, name] of names.entries()) await keep(store, makeImage(100 + (i % 3), [1000 + (i % 3)]), name)
  const registries = new Registries(store)
  assert.equal((await registries.push(`${host}/many`, { allTags: true })).length, 8)
  const root = folder(t)
  const there = imageStore(t, root)
  const results = await new Registries(there).pull(`${host}/many`, { allTags: true })
  // Read anew: they are on the disk by now.
  const onDisk = imageStore(t, root).all()
  assert.deepEqual(results.map(result => result.reference).sort(), names)
  const tags = onDisk.flatMap(image => [...image.names.values()]).filter(({ reference }) => reference.tag)
  assert.deepEqual(tags.map(({ reference }) => familiar(reference)).sort(), names)
})
