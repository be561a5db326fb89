import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import { buffer } from 'node:stream/consumers'
import { describe, test } from 'node:test'
import { knowsVolatile } from '../linux/index.ts'
import { loadImages } from './archive/load.ts'
import { dockerArchive, needsRoot, parseTar, streamOf, tarOf, temporaryStorage } from './fixtures.ts'
import { openStorage } from './storage.ts'

const BASE = tarOf({
  'etc/': {},
  'etc/group': 'g',
  'etc/passwd': 'p',
  'home/': {},
  'home/old': 'o',
  'home/kept': 'k',
  'tmp/': {},
})

for (const driver of ['overlay2', 'vfs'] as const) {
  describe(`snapshots with ${driver}`, { skip: needsRoot }, () => {
    test('a container writes on top of an image', async t => {
      const { images, snapshots, root } = temporaryStorage(t, driver)
      const upper = tarOf({ 'etc/.wh.passwd': '', 'etc/new': 'n' })
      const [loaded] = await loadImages(images, streamOf(dockerArchive([BASE, upper])))
      const snapshot = await snapshots.prepare(`${root}/containers/c`, loaded!.record.image.chain)
      const fd = snapshots.mount(snapshot)
      const at = (name: string) => `/proc/self/fd/${fd}/${name}`
      assert.deepEqual(fs.readdirSync(at('etc')).sort(), ['group', 'new'])
      fs.rmSync(at('etc/group'))
      fs.rmSync(at('home'), { recursive: true })
      fs.mkdirSync(at('home'))
      fs.writeFileSync(at('home/kept'), 'changed')
      fs.chmodSync(at('tmp'), 0o700)
      fs.writeFileSync(at('added'), 'twelve bytes')
      fs.closeSync(fd)
      const changes = await snapshots.changes(snapshot)
      assert.deepEqual(
        changes.map(({ path, kind }) => `${'CAD'[kind]} ${path}`),
        ['A /added', 'C /etc', 'D /etc/group', 'C /home', 'C /home/kept', 'D /home/old', 'C /tmp'],
      )
      const { rw, rootFs } = await snapshots.usage(snapshot)
      if (driver === 'overlay2') assert.deepEqual([rw, rootFs], [19, 19 + 5])
      const layer = await buffer(snapshots.diff(snapshot))
      const names = parseTar(layer).map(entry => entry.name)
      assert.ok(names.includes('etc/.wh.group') && names.includes('added'))

      const [next] = await loadImages(images, streamOf(dockerArchive([BASE, upper, layer], { tags: ['n'] })))
      const second = await snapshots.prepare(`${root}/containers/d`, next!.record.image.chain)
      const merged = snapshots.mount(second, { readOnly: true })
      const inside = (name: string) => fs.readdirSync(`/proc/self/fd/${merged}/${name}`).sort()
      assert.deepEqual(
        [inside('.'), inside('etc'), inside('home')],
        [['added', 'etc', 'home', 'tmp'], ['new'], ['kept']],
      )
      fs.closeSync(merged)
    })
  })
}

describe('overlay', { skip: needsRoot }, () => {
  test('only a volatile mount is told not to wait for the disk', { skip: !knowsVolatile() }, async t => {
    const { images, snapshots, root } = temporaryStorage(t, 'overlay2')
    const [loaded] = await loadImages(images, streamOf(dockerArchive([BASE])))
    for (const volatile of [false, true]) {
      const snapshot = await snapshots.prepare(`${root}/containers/${volatile}`, loaded!.record.image.chain)
      const fd = snapshots.mount(snapshot, { volatile })
      fs.writeFileSync(`/proc/self/fd/${fd}/home/new`, 'n')
      fs.closeSync(fd)
      assert.equal(fs.readFileSync(`${snapshot.upperdir}/home/new`, 'utf8'), 'n')
      // overlayfs.rst: the mark that keeps such a layer from being mounted again after a crash
      assert.equal(fs.existsSync(`${snapshot.workdir}/work/incompat/volatile`), volatile)
    }
  })

  test('holds an image without layers, and one of 300', async t => {
    const { images, snapshots, root } = temporaryStorage(t)
    const none = await snapshots.prepare(`${root}/containers/none`, undefined)
    fs.closeSync(snapshots.mount(none))
    const layers = Array.from({ length: 300 }, (_, i) => tarOf({ [`f${i}`]: String(i) }))
    const [loaded] = await loadImages(images, streamOf(dockerArchive(layers)))
    const snapshot = await snapshots.prepare(`${root}/containers/many`, loaded!.record.image.chain)
    const fd = snapshots.mount(snapshot)
    assert.equal(fs.readdirSync(`/proc/self/fd/${fd}`).length, 300)
    fs.closeSync(fd)
  })

  test('two that want the same layers share the work; a crash leaves nothing that stays', async t => {
    const { images, root } = temporaryStorage(t)
    const archive = dockerArchive([BASE])
    await Promise.all([1, 2, 3].map(() => loadImages(images, streamOf(archive))))
    assert.equal(images.all().length, 1)
    fs.mkdirSync(`${root}/snapshots/.tmp-left/fs`, { recursive: true })
    fs.writeFileSync(`${root}/ingest/.tmp-left`, '')
    const again = openStorage({ root })
    assert.equal(again.images.all().length, 1)
    assert.equal(again.snapshots.has(again.images.all()[0]!.image.chain!), true)
    assert.equal(
      fs.readdirSync(`${root}/snapshots`).some(name => name.startsWith('.tmp')),
      false,
    )
    assert.deepEqual(fs.readdirSync(`${root}/ingest`), [])
  })

  test('a layer that went missing is unpacked again from its blob', async t => {
    const { images, root } = temporaryStorage(t)
    const [loaded] = await loadImages(images, streamOf(dockerArchive([BASE])))
    const { chain, blobs } = loaded!.record.image
    fs.rmSync(`${root}/snapshots/${chain!.slice(7)}`, { recursive: true })
    const again = openStorage({ root })
    assert.equal(again.snapshots.has(chain!), false)
    assert.equal(await again.snapshots.unpack(blobs), chain)
  })
})
