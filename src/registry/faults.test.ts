import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import * as path from 'node:path'
import { test } from 'node:test'
import { GantryError } from '../errors.ts'
import { digestOf } from '../image/digest.ts'
import type { ImageStore } from '../image/image-store.ts'
import { Registries } from './registries.ts'
import { type Fault, faultProxy, faults } from './testing/fault-proxy.ts'
import { imageStore, keep, makeImage, seeded, startRegistry } from './testing/kit.ts'

/** At length: `FAULT_ROUNDS=500`. A run that failed comes again with its `SEED`; `FAULT_LOG=1` tells every error. */
const ROUNDS = Number(process.env['FAULT_ROUNDS'] ?? 60)
const SEED = Number(process.env['SEED'] ?? Date.now() % 1_000_000)

/** Every blob is what its name says, every name leads to a whole image. */
function checkStore(root: string, store?: ImageStore): void {
  const blobs = path.join(root, 'content/blobs/sha256')
  for (const hex of readdirSync(blobs)) {
    if (hex.startsWith('.')) continue
    assert.equal(digestOf(readFileSync(path.join(blobs, hex))), `sha256:${hex}`)
  }
  for (const { image } of store?.all() ?? [])
    for (const digest of image.contents) assert.ok(store!.content.has(digest))
}

test(`${ROUNDS} pushes and pulls through a bad network end right or with a clear error`, async t => {
  t.diagnostic(`SEED=${SEED}`)
  const { host, server } = await startRegistry(t)
  const random = seeded(SEED)
  const proxy = await faultProxy(t, host, random, (): Fault | undefined =>
    random() < 0.15 ? faults[Math.floor(random() * faults.length)] : undefined,
  )
  const tuning = { baseDelay: 1, maxDelay: 5, attempts: 6, stallTimeout: 150, random }
  const ended = { right: 0, error: 0 }
  for (let round = 0; round < ROUNDS; round++) {
    const image = makeImage(
      1000 + round,
      [20_000, 300_000, 10].map(size => Math.floor(size * random()) + 1),
      round % 2 === 0,
      round % 3 === 0,
    )
    const name = `${proxy.host}/app:r${round}`
    const from = imageStore(t)
    await keep(from, image, name)
    const to = imageStore(t)
    try {
      const [pushed] = await new Registries(from, {}, tuning).push(name)
      if (round % 3 !== 0) assert.equal(pushed!.digest, image.digest)
      const [pulled] = await new Registries(to, {}, tuning).pull(name)
      assert.deepEqual([pulled!.digest, pulled!.imageId], [pushed!.digest, image.manifest.config.digest])
      ended.right++
    } catch (error) {
      assert.ok(error instanceof GantryError, `${error instanceof Error ? error.stack : error}`)
      assert.ok(error.message.length > 0)
      ended.error++
      if (process.env['FAULT_LOG']) t.diagnostic(`${round}: ${error.message}`)
    }
    checkStore(path.dirname(to.content.folder), to)
  }
  checkStore(server.store.root)
  t.diagnostic(`${ended.right} right, ${ended.error} with an error; ${JSON.stringify(proxy.done)}`)
  assert.ok(ended.right > ROUNDS / 2, 'most get through')
})
