/** What a power cut may take of a layer that was just unpacked, and how it comes back. The cut is played: stamps of another boot. */
import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { loadImages } from './archive/load.ts'
import { hexOf } from './digest.ts'
import { dockerArchive, needsRoot, streamOf, tarOf, temporaryStorage } from './fixtures.ts'
import { openStorage } from './storage.ts'

const LOWER = tarOf({ lower: 'one' })
const UPPER = tarOf({ upper: 'two' })

for (const driver of ['overlay2', 'vfs'] as const) {
  describe(`after a power cut, with ${driver}`, { skip: needsRoot }, () => {
    const damages: Record<string, (folder: string) => void> = {
      'a file of the layer': folder => fs.truncateSync(path.join(folder, 'fs/upper')),
      "the layer's record": folder => fs.truncateSync(path.join(folder, 'layer.json')),
    }
    for (const [what, damage] of Object.entries(damages)) {
      test(`${what} is made again`, async t => {
        const { images, root } = temporaryStorage(t, driver)
        const [loaded] = await loadImages(images, streamOf(dockerArchive([LOWER, UPPER])))
        const chain = loaded!.record.image.chain!
        const folder = path.join(root, 'snapshots', hexOf(chain))
        inAnotherBoot(root)
        damage(folder)
        const next = openStorage({ root, driver })
        assert.ok(next.snapshots.doubtful.has(chain))
        await next.images.repair()
        assert.equal(fs.readFileSync(path.join(folder, 'fs/upper'), 'utf8'), 'two')
        assert.equal(openStorage({ root, driver }).snapshots.doubtful.size, 0)
      })
    }
  })
}

describe('after a power cut', { skip: needsRoot }, () => {
  test('what was synced before is left alone', async t => {
    const { images, root } = temporaryStorage(t)
    await loadImages(images, streamOf(dockerArchive([LOWER])))
    const mark = path.join(root, 'snapshots.synced')
    for (let tries = 0; !fs.existsSync(mark) && tries < 400; tries++) await sleep(50)
    inAnotherBoot(root)
    assert.equal(openStorage({ root }).snapshots.doubtful.size, 0)
  })

  test('an image whose blob is gone too stays, and the others are repaired', async t => {
    const { images, content, root } = temporaryStorage(t)
    const [lost] = await loadImages(images, streamOf(dockerArchive([LOWER], { tags: ['lost'] })))
    const [kept] = await loadImages(images, streamOf(dockerArchive([UPPER], { tags: ['kept'] })))
    inAnotherBoot(root)
    fs.rmSync(content.path(lost!.record.image.blobs[0]!.digest))
    const next = openStorage({ root })
    await next.images.repair()
    assert.ok(next.snapshots.has(kept!.record.image.chain!))
    assert.equal(next.images.all().length, 2)
  })
})

/** As if all that is there had been unpacked before the machine was started. */
function inAnotherBoot(root: string): void {
  for (const name of fs.readdirSync(path.join(root, 'snapshots'))) {
    const file = path.join(root, 'snapshots', name, 'layer.json')
    if (!fs.existsSync(file)) continue
    const record = JSON.parse(fs.readFileSync(file, 'utf8'))
    fs.writeFileSync(file, JSON.stringify({ ...record, stamp: { ...record.stamp, boot: 'another' } }))
  }
}
