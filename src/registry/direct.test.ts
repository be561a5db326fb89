import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import * as https from 'node:https'
import { createServer } from 'node:net'
import * as path from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { eachChunk } from './direct.ts'
import { defer, fakeServer } from './testing/kit.ts'
import { readBody, Transport } from './transport.ts'

const BYTES = randomBytes(3_000_001)
const sum = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

async function setUp(
  t: TestContext,
  listener: (request: IncomingMessage, response: ServerResponse) => void = plain,
) {
  const server = await fakeServer(t, listener)
  const transport = new Transport({ environment: {}, stallTimeout: 2000 })
  defer(t, () => transport.close())
  const get = (path = '/', more: { signal?: AbortSignal; headers?: Record<string, string> } = {}) =>
    transport.request({ method: 'GET', url: new URL(path, `http://${server.host}`), direct: true, ...more })
  return { ...server, get }
}

function plain(_: IncomingMessage, response: ServerResponse): void {
  response.writeHead(200, { 'Content-Length': BYTES.length, 'X-Twice': ['a', 'b'] })
  response.end(BYTES)
}

/** A server that says these bytes to whoever connects, and hangs up. */
async function rawServer(t: TestContext, answer: string): Promise<{ url: URL; connections: () => number }> {
  let count = 0
  const server = createServer(socket => {
    count++
    socket.on('error', () => {})
    socket.once('data', () => socket.end(answer))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  defer(t, () => server.close())
  const { port } = server.address() as { port: number }
  return { url: new URL(`http://127.0.0.1:${port}/`), connections: () => count }
}

test('one connection brings one body after the other', async t => {
  const { get, asked } = await setUp(t)
  for (let i = 0; i < 3; i++) {
    const { status, headers, body } = await get(`/${i}`, { headers: { Range: 'bytes=1-' } })
    assert.deepEqual([status, headers['x-twice']], [200, 'a, b'])
    const hash = createHash('sha256')
    await eachChunk(body, chunk => {
      hash.update(chunk)
      return undefined
    })
    assert.equal(hash.digest('hex'), sum(BYTES))
  }
  assert.deepEqual(
    asked.map(({ url, headers }) => [url, headers.range]),
    ['/0', '/1', '/2'].map(url => [url, 'bytes=1-']),
  )
  assert.equal(new Set(asked.map(({ socket }) => socket)).size, 1)
})

test('who takes slowly is waited for, and sees no chunk change meanwhile', async t => {
  const { get } = await setUp(t)
  const { body } = await get()
  const hash = createHash('sha256')
  await eachChunk(body, async chunk => {
    await sleep(1)
    hash.update(chunk)
  })
  assert.equal(hash.digest('hex'), sum(BYTES))
})

test('as a stream it is whole, and so is an empty one', async t => {
  const { get } = await setUp(t, (request, response) => {
    if (request.url === '/empty') response.writeHead(404, { 'Content-Length': 0 }).end()
    else plain(request, response)
  })
  assert.equal(sum((await readBody(await get(), BYTES.length))!), sum(BYTES))
  const empty = await get('/empty')
  assert.equal(empty.status, 404)
  assert.equal((await readBody(empty, 10))!.length, 0)
  assert.equal(await readBody(await get(), 100), undefined, 'too long')
})

test('what does not say its length is left to Node', async t => {
  const { get, asked } = await setUp(t, (_, response) => {
    response.write(BYTES.subarray(0, 10))
    response.end(BYTES.subarray(10))
  })
  for (const times of [2, 3]) {
    assert.equal(sum((await readBody(await get(), BYTES.length))!), sum(BYTES))
    assert.equal(asked.length, times, 'the second time Node is asked at once')
  }
})

test('a refusal is not asked for twice, however it is sent', async t => {
  const { get, asked } = await setUp(t, (request, response) => {
    response.writeHead(429, { 'Retry-After': '7' })
    if (request.url === '/empty') response.end()
    else {
      response.write('slow ')
      setTimeout(() => response.end('down'), 20)
    }
  })
  for (const [path, text] of [
    ['/empty', ''],
    ['/text', 'slow down'],
  ] as const) {
    const answer = await get(path)
    assert.deepEqual([answer.status, answer.headers['retry-after']], [429, '7'])
    assert.equal((await readBody(answer, 100))!.toString(), text)
  }
  assert.equal(asked.length, 2)
})

test('a body that breaks off, or goes on, fails', async t => {
  const transport = new Transport({ environment: {} })
  for (const [length, text] of [
    [100, /aborted/],
    [3, /more bytes than were announced/],
  ] as const) {
    const { url } = await rawServer(t, `HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n12345`)
    const { body } = await transport.request({ method: 'GET', url, direct: true })
    let seen = 0
    await assert.rejects(
      eachChunk(body, chunk => {
        seen += chunk.length
        return undefined
      }),
      text,
    )
    assert.ok(seen <= 5)
  }
})

test('strange answers are judged by Node', async t => {
  const transport = new Transport({ environment: {} })
  for (const answer of [
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n123456',
    'HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n12345',
    'HTTP/1.1 200 OK\r\nno field\r\n\r\n',
    'SSH-2.0-OpenSSH_9.2\r\n',
    `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`,
  ]) {
    const { url, connections } = await rawServer(t, answer)
    await assert.rejects(transport.request({ method: 'GET', url, direct: true }), { name: 'TransportError' })
    assert.equal(connections(), 2)
  }
  const refused = { method: 'GET', url: new URL('http://127.0.0.1:1/'), direct: true }
  await assert.rejects(transport.request(refused), /connection refused/)
})

test('no field smuggles in another', async t => {
  const { get, asked } = await setUp(t)
  await assert.rejects(get('/', { headers: { Authorization: 'Bearer x\r\nX-Evil: 1' } }), /Invalid character/)
  assert.equal(asked.length, 0)
})

test('a stop ends it, before and after the head', async t => {
  const { get } = await setUp(t, (request, response) => {
    if (request.url === '/head') return
    response.writeHead(200, { 'Content-Length': 1000 })
    response.write('some')
  })
  for (const path of ['/head', '/body']) {
    const controller = new AbortController()
    const work = async () => {
      const { body } = await get(path, { signal: controller.signal })
      await eachChunk(body, () => undefined)
    }
    const stopped = work()
    setTimeout(() => controller.abort(new Error('enough')), 50)
    await assert.rejects(stopped, /enough/)
  }
})

test('silence is noticed, and asked for no second time', async t => {
  const { get, asked } = await setUp(t, () => {})
  await assert.rejects(get(), /i\/o timeout/)
  assert.equal(asked.length, 1)
})

test('over TLS, to whom the certificate says', async t => {
  const certs = path.join(import.meta.dirname, 'testing/certs')
  const [cert, key] = ['server.crt', 'server.key'].map(name =>
    fs.readFileSync(path.join(certs, name), 'utf8'),
  )
  const asked: IncomingMessage[] = []
  const server = https.createServer({ cert, key }, (request, response) => {
    asked.push(request)
    plain(request, response)
  })
  await new Promise<void>(resolve => server.listen(0, 'localhost', resolve))
  const transport = new Transport({ environment: {} })
  defer(t, () => {
    transport.close()
    server.close()
  })
  const { port } = server.address() as { port: number }
  const url = new URL(`https://localhost:${port}/`)
  const ca = [cert!]
  const get = (tls: { ca?: string[] }) => transport.request({ method: 'GET', url, tls, direct: true })
  for (let i = 0; i < 2; i++) {
    const { body } = await get({ ca })
    const hash = createHash('sha256')
    await eachChunk(body, chunk => {
      hash.update(chunk)
      return undefined
    })
    assert.equal(hash.digest('hex'), sum(BYTES))
  }
  assert.equal(new Set(asked.map(({ socket }) => socket)).size, 1)
  await assert.rejects(get({}), /certificate signed by unknown authority/)
  assert.equal(asked.length, 2, 'the kept connection is for those that trust it')
})
