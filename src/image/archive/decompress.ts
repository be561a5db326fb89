/** An archive from outside, in whichever compression, as its tar bytes. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { invalid, unavailable } from '../../errors.ts'
import { type Compression, decompressor, detectCompression, MAGIC_LENGTH } from '../layer/compression.ts'

/** Formats that Node cannot unpack by itself; Docker runs the same programs. */
const PROGRAMS: Partial<Record<Compression, string>> = { xz: 'xz', bzip2: 'bzip2' }

/** Reads the first bytes, then unpacks what follows. @throws GantryError `invalid` for bytes that do not unpack. */
export async function* openArchive(source: Readable): AsyncGenerator<Buffer> {
  const chunks = source[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  const head: Buffer[] = []
  let length = 0
  while (length < MAGIC_LENGTH) {
    const { done, value } = await chunks.next()
    if (done) break
    head.push(value)
    length += value.length
  }
  const compression = detectCompression(Buffer.concat(head).subarray(0, MAGIC_LENGTH))
  const all = rejoin(head, chunks)
  if (compression === 'none') yield* all
  else yield* unpack(compression, all)
}

async function* rejoin(head: Buffer[], rest: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  yield* head
  for (;;) {
    const { done, value } = await rest.next()
    if (done) return
    yield value
  }
}

async function* unpack(compression: Compression, packed: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  const stream = decompressor(compression)
  if (stream === undefined) {
    yield* unpackWith(PROGRAMS[compression]!, packed)
    return
  }
  const feeding = feed(stream, packed)
  try {
    yield* stream as AsyncIterable<Buffer>
  } catch (error) {
    throw (error as { code?: string }).code?.startsWith('Z_')
      ? invalid(
          error instanceof Error && /end of file/.test(error.message) ? 'unexpected EOF' : String(error),
        )
      : error
  }
  await feeding
}

async function feed(
  stream: NodeJS.WritableStream & { destroy(error: Error): void },
  packed: AsyncIterable<Buffer>,
) {
  try {
    for await (const chunk of packed) if (!stream.write(chunk)) await once(stream, 'drain')
    stream.end()
  } catch (error) {
    stream.destroy(error as Error)
  }
}

async function* unpackWith(program: string, packed: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const child = spawn(program, ['-dc'], { stdio: ['pipe', 'pipe', 'pipe'] })
  const missing = once(child, 'error').then(() => unavailable(`${program} is needed to unpack this archive`))
  const ended = once(child, 'close') as Promise<[number]>
  let said = ''
  child.stderr.on('data', (text: Buffer) => (said += text))
  child.stdin.on('error', () => {}) // its exit status tells
  void feed(child.stdin, packed)
  try {
    yield* child.stdout as AsyncIterable<Buffer>
    const outcome = await Promise.race([ended, missing])
    if (outcome instanceof Error) throw outcome
    if (outcome[0] !== 0) throw invalid(`${program}: ${said.trim()}`)
  } finally {
    child.kill()
  }
}
