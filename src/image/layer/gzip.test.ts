import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { gzip } from './gzip.ts'

async function* inChunks(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let from = 0; from < bytes.length; from += size) yield bytes.subarray(from, from + size)
}

const compress = async (bytes: Buffer, size: number) =>
  Buffer.concat(await Array.fromAsync(gzip(inChunks(bytes, size)), chunk => Buffer.from(chunk)))

test('what was compressed comes back, and is the same bytes however it was cut', async () => {
  const noise = randomBytes(70_000)
  const text = Buffer.from('a line that comes again and again\n'.repeat(100_000))
  for (const bytes of [Buffer.alloc(0), Buffer.from('x'), noise, text, Buffer.concat([text, noise, text])]) {
    const whole = await compress(bytes, Math.max(1, bytes.length))
    assert.ok(gunzipSync(whole).equals(bytes), `${bytes.length} bytes`)
    assert.ok(whole.equals(await compress(bytes, 40_001)), `${bytes.length} bytes in chunks`)
  }
})

test('what repeats over the edge of a block is found again', async () => {
  const noise = randomBytes(20_000)
  const bytes = Buffer.concat([Buffer.alloc((1 << 20) - noise.length), noise, noise])
  assert.ok((await compress(bytes, 1 << 16)).length < 1.5 * noise.length)
})

test('noise is not tried for long, and text beside it still shrinks', async () => {
  const noise = randomBytes(2 << 20)
  const text = Buffer.alloc(2 << 20, 'a line that comes again and again\n')
  const bytes = Buffer.concat([noise, text, noise])
  const whole = await compress(bytes, 1 << 18)
  assert.ok(gunzipSync(whole).equals(bytes))
  assert.ok(whole.length < 2.01 * noise.length)
  assert.ok(whole.includes(noise.subarray(100_000, 130_000)), 'stored as it is')
})

test('an input that fails fails the stream', async () => {
  async function* failing(): AsyncGenerator<Buffer> {
    yield Buffer.alloc(3 << 20)
    throw new Error('no more')
  }
  await assert.rejects(Array.fromAsync(gzip(failing())), /no more/)
})
