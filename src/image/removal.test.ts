import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { loadImages } from './archive/load.ts'
import { commitImage } from './compose.ts'
import { hexOf, shortId } from './digest.ts'
import { dockerArchive, needsRoot, streamOf, tarOf, temporaryStorage } from './fixtures.ts'
import { historyOf, listImages, namesOf } from './image-list.ts'
import { type ImageRecord, ImageStore } from './image-store.ts'
import { parseReference } from './reference.ts'
import { pruneImages, removeImage } from './removal.ts'

const LAYER = tarOf({ f: 'content' })
const CONTAINER = 'c'.repeat(64)

async function load(
  images: ImageStore,
  tags: string[],
  config: object = {},
  layers = [LAYER],
): Promise<ImageRecord> {
  const [loaded] = await loadImages(images, streamOf(dockerArchive(layers, { tags, config })))
  return loaded!.record
}

describe('images have names', { skip: needsRoot }, () => {
  test('and are found by them, by id and by what an id begins with', async t => {
    const { images } = temporaryStorage(t)
    const { id, image } = await load(images, ['a:1'])
    const name = { ...parseReference('a'), digest: image.digest }
    images.tag('a:1', 'b/c')
    await images.put(image, { references: [name] })
    for (const text of ['a:1', 'b/c', id, hexOf(id), shortId(id), id.slice(0, 15), `a@${image.digest}`]) {
      assert.equal(images.resolve(text).id, id, text)
    }
    assert.throws(() => images.resolve('a'), { message: 'No such image: a:latest', kind: 'notFound' })
    assert.throws(() => images.resolve('A'), /must be lowercase/)
    assert.throws(() => images.tag('a:1', 'sha256:x'), /refusing to create an ambiguous tag/)
    const again = new ImageStore(images.content, images.snapshots)
    assert.deepEqual([...again.get(id)!.names.keys()], [...images.get(id)!.names.keys()])
  })

  test('and show them in the order of their whole names, as Docker does', async t => {
    const { images } = temporaryStorage(t)
    const record = await load(images, ['zeta/x:1'])
    for (const name of ['e.io/x:1', '10.0.0.1:5000/x', 'b']) images.tag('zeta/x:1', name)
    assert.deepEqual(namesOf(record).repoTags, ['10.0.0.1:5000/x:latest', 'b:latest', 'zeta/x:1', 'e.io/x:1'])
  })

  test('a tag moves, and leaves the old image without a name', async t => {
    const { images } = temporaryStorage(t)
    const first = await load(images, ['a'])
    const second = await load(images, ['a'], { User: 'x' })
    assert.equal(images.resolve('a').id, second.id)
    const list = (filters: Record<string, string[]>) => listImages(images, { filters }).map(each => each.id)
    assert.deepEqual(list({ dangling: ['true'] }), [first.id])
    assert.deepEqual(list({ dangling: ['false'] }), [second.id])
    assert.deepEqual(list({ reference: ['a*'] }), [second.id])
    assert.throws(() => list({ nope: [''] }), /invalid filter 'nope'/)
    const { removed, spaceReclaimed } = pruneImages(images)
    assert.deepEqual(removed, [{ deleted: first.id }])
    assert.ok(spaceReclaimed > 0)
  })

  test('rmi unties names one by one, then deletes', async t => {
    const { images, content } = temporaryStorage(t)
    const { id, image } = await load(images, ['a:1', 'b:1'])
    assert.throws(() => removeImage(images, shortId(id)), {
      message: `conflict: unable to delete ${shortId(id)} (must be forced) - image is referenced in multiple repositories`,
    })
    assert.deepEqual(removeImage(images, 'a:1'), [{ untagged: 'a:1' }])
    assert.deepEqual(removeImage(images, 'b:1'), [
      { untagged: 'b:1' },
      { deleted: id },
      { deleted: image.chain! },
    ])
    assert.equal(content.has(image.manifest.layers[0]!.digest), false)
    assert.throws(() => removeImage(images, 'b:1'), /^GantryError: No such image: b:1$/)
  })

  test('rmi respects containers', async t => {
    const { images, snapshots, root } = temporaryStorage(t)
    const { id, image } = await load(images, ['a:1'])
    const users = (isRunning: boolean) => () => [{ containerId: CONTAINER, isRunning }]
    const short = shortId(id)
    assert.throws(() => removeImage(images, 'a:1', { users: users(false) }), {
      message: `conflict: unable to remove repository reference "a:1" (must force) - container cccccccccccc is using its referenced image ${short}`,
    })
    assert.throws(() => removeImage(images, id, { users: users(false) }), {
      message: `conflict: unable to delete ${short} (must be forced) - image is being used by stopped container cccccccccccc`,
    })
    assert.throws(() => removeImage(images, id, { users: users(true), force: true }), {
      message: `conflict: unable to delete ${short} (cannot be forced) - image is being used by running container cccccccccccc`,
    })
    await snapshots.prepare(`${root}/containers/c`, image.chain)
    assert.deepEqual(removeImage(images, id, { users: users(false), force: true }), [
      { untagged: 'a:1' },
      { deleted: id },
    ])
    assert.equal(snapshots.has(image.chain!), true, 'the container still stands on it')
    await snapshots.release(`${root}/containers/c`)
    images.collectGarbage(0)
    assert.equal(snapshots.has(image.chain!), false)
  })

  test('a committed image has a parent, which cannot go before it', async t => {
    const { images, snapshots, root } = temporaryStorage(t)
    const base = await load(images, ['base'])
    const snapshot = await snapshots.prepare(`${root}/containers/c`, base.image.chain)
    const { image, release } = await commitImage(
      images,
      base.image,
      { os: 'linux', architecture: 'amd64' },
      {
        layer: snapshots.diff(snapshot),
        config: { Cmd: ['x'] },
        comment: 'why',
      },
    )
    const child = await images.put(image, { references: [parseReference('child')], parent: base.id })
    release()
    assert.deepEqual(
      historyOf(images, child).map(line => [line.comment, line.tags]),
      [['why', ['child:latest']]],
    )
    assert.throws(() => removeImage(images, base.id, { force: true }), {
      message: `conflict: unable to delete ${shortId(base.id)} (cannot be forced) - image has dependent child images`,
    })
    await snapshots.release(`${root}/containers/c`)
    removeImage(images, 'base')
    assert.equal(images.get(base.id) !== undefined, true)
    assert.deepEqual(
      removeImage(images, 'child').map(each => ('deleted' in each ? each.deleted : each.untagged)),
      ['child:latest', child.id, child.image.chain, base.id, base.image.chain],
    )
  })
})
