import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import * as http from 'node:http'
import * as path from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseReference } from '../image/reference.ts'
import type { Manifest } from '../image/types.ts'
import { Registries } from './registries.ts'
import {
  defer,
  eager,
  fakeServer,
  folder,
  imageStore,
  keep,
  makeImage,
  Recorder,
  startRegistry,
} from './testing/kit.ts'

/** A registry with one image whose layer comes to a halt after 2 MB until `slow` is false. */
async function haltingRegistry(t: TestContext) {
  const image = makeImage(1, [3_000_000])
  const layer = image.layers[0]!
  const state = { slow: true, ranges: [] as (string | undefined)[] }
  const { host } = await fakeServer(t, (request, response) => {
    const blob = /\/blobs\/(.*)$/.exec(request.url!)?.[1]
    if (blob === layer.digest) {
      state.ranges.push(request.headers.range)
      const bytes = image.blobs.get(layer.digest)!
      const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0)
      const part = bytes.subarray(from)
      response.writeHead(from > 0 ? 206 : 200, {
        'Content-Length': part.length,
        ...(from > 0 && { 'Content-Range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` }),
      })
      if (state.slow) response.write(part.subarray(0, 2_000_000))
      else response.end(part)
      return
    }
    if (blob) return response.end(image.blobs.get(blob as never))
    const headers = {
      'Content-Type': image.mediaType,
      'Docker-Content-Digest': image.digest,
      'Content-Length': image.manifestBytes.length,
    }
    response.writeHead(200, headers).end(request.method === 'HEAD' ? undefined : image.manifestBytes)
  })
  /** Pull the rest into what is in `root`. */
  const resume = async (root: string): Promise<void> => {
    state.slow = false
    const store = imageStore(t, root)
    await new Registries(store).pull(`${host}/app`)
    assert.equal(state.ranges.length, 2)
    assert.match(state.ranges[1] ?? '', /^bytes=[1-9]\d{5,}-$/)
    assert.deepEqual(store.content.read(layer.digest), image.blobs.get(layer.digest))
  }
  return { host, resume }
}

test('a pull that was stopped goes on where it was', async t => {
  const { host, resume } = await haltingRegistry(t)
  const root = folder(t)
  const stop = new AbortController()
  const onProgress = ({ progressDetail }: { progressDetail?: { current?: number } }): void => {
    if ((progressDetail?.current ?? 0) > 0) setTimeout(() => stop.abort(new Error('Ctrl-C')), 50)
  }
  const stopped = new Registries(imageStore(t, root)).pull(`${host}/app`, { signal: stop.signal, onProgress })
  await assert.rejects(stopped, { message: 'Ctrl-C' })
  await resume(root)
})

test('a pull whose process was killed goes on where it was', async t => {
  const { host, resume } = await haltingRegistry(t)
  const root = folder(t)
  const child = spawn(
    process.execPath,
    [path.join(import.meta.dirname, 'testing/pull-child.ts'), root, `${host}/app`],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  defer(t, () => child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  // What was gathered in memory has a moment to reach the file.
  await sleep(300)
  child.kill('SIGKILL')
  await once(child, 'exit')
  await resume(root)
})

test('two pulls share one transfer; it stops only when nobody waits', async t => {
  const image = makeImage(1, [100_000])
  const layer = image.layers[0]!
  let transfers = 0
  let cut = 0
  const held: http.ServerResponse[] = []
  const { host } = await fakeServer(t, (request, response) => {
    const blob = /\/blobs\/(.*)$/.exec(request.url!)?.[1]
    if (blob === layer.digest) {
      transfers++
      response.on('close', () => (cut += response.writableFinished ? 0 : 1))
      response
        .writeHead(200, { 'Content-Length': layer.size })
        .write(image.blobs.get(layer.digest)!.subarray(0, 1000))
      held.push(response)
      return
    }
    if (blob) return response.end(image.blobs.get(blob as never))
    const headers = {
      'Content-Type': image.mediaType,
      'Docker-Content-Digest': image.digest,
      'Content-Length': image.manifestBytes.length,
    }
    response.writeHead(200, headers).end(request.method === 'HEAD' ? undefined : image.manifestBytes)
  })
  const store = imageStore(t)
  const registries = new Registries(store)
  const begin = () => {
    const controller = new AbortController()
    const recorder = new Recorder()
    const begun = Promise.withResolvers<void>()
    const done = registries.pull(`${host}/app`, {
      signal: controller.signal,
      onProgress: event => {
        recorder.listen(event)
        if (event.status === 'Downloading') begun.resolve()
      },
    })
    done.catch(() => {})
    return { controller, recorder, begun: begun.promise, done }
  }
  const first = begin()
  await first.begun
  const second = begin()
  await second.begun
  first.controller.abort(new Error('left'))
  await assert.rejects(first.done, { message: 'left' })
  held[0]!.end(image.blobs.get(layer.digest)!.subarray(1000))
  await second.done
  assert.deepEqual([transfers, cut], [1, 0])
  assert.ok(store.named(parseReference(`${host}/app:latest`)))
})

for (const plain of [false, true]) {
  const name = `an upload that was cut off goes on where the registry is${plain ? ', also one of a layer that was not whole' : ''}`
  test(name, async t => {
    const { host, server } = await startRegistry(t)
    const image = makeImage(1, [4_000_000], true, plain)
    const bodies: number[] = []
    let cut = true
    const proxy = await fakeServer(t, (request, response) => {
      const [hostname, port] = host.split(':')
      const forward = http.request(
        {
          hostname,
          port,
          method: request.method,
          path: request.url,
          headers: { ...request.headers, host: request.headers.host },
        },
        answer => {
          response.writeHead(answer.statusCode!, answer.headers)
          answer.pipe(response)
        },
      )
      forward.on('error', () => response.destroy())
      let passed = 0
      const isLayer =
        request.method === 'PATCH' && Number(request.headers['content-length'] ?? 1e9) > 1_000_000
      request.on('data', chunk => {
        passed += chunk.length
        forward.write(chunk)
        if (isLayer && cut && passed > 2_000_000) {
          cut = false
          // What was passed on has to arrive before the connection goes.
          setTimeout(() => forward.destroy(), 200)
          request.pause()
        }
      })
      request.on('end', () => forward.end())
      request.on('close', () => {
        if (isLayer) bodies.push(passed)
      })
    })
    const store = imageStore(t)
    await keep(store, image, `${proxy.host}/app`)
    await new Registries(store, {}, eager).push(`${proxy.host}/app`)
    assert.equal(bodies.length, 2)
    assert.ok(bodies[1]! < 3_000_000, `sent ${bodies}`)
    assert.equal(server.store.repository('app')!.tags().length, 1)
  })
}

test('a layer is sent while it is compressed; a registry that breaks off then gets it whole', async t => {
  const { host } = await startRegistry(t)
  const sent: string[] = []
  let broken = false
  const between = await fakeServer(t, (request, response) => {
    const { method, url, headers } = request
    if (method === 'PATCH' && (Number(headers['content-length']) || 1e9) > 10_000) {
      sent.push(headers['content-length'] ?? 'as it comes')
      if (broken && sent.length === 1) return request.socket.destroy()
    }
    const [hostname, port] = host.split(':')
    const onward = http.request({ hostname, port, method, path: url, headers }, answer => {
      response.writeHead(answer.statusCode!, answer.headers)
      answer.pipe(response)
    })
    request.pipe(onward)
  })
  for (const isBroken of [false, true]) {
    broken = isBroken
    sent.length = 0
    const image = makeImage(isBroken ? 1 : 2, [2_000_000], true, true)
    const store = imageStore(t)
    const name = `${between.host}/app:${isBroken}`
    await keep(store, image, name)
    const [pushed] = await new Registries(store, {}, eager).push(name)
    const { layers } = store.content.readJson<Manifest>(pushed!.digest)
    assert.equal(sent.shift(), 'as it comes')
    assert.deepEqual(sent, isBroken ? [String(layers[0]!.size)] : [])
    const [pulled] = await new Registries(imageStore(t)).pull(name)
    assert.equal(pulled!.digest, pushed!.digest)
  }
})
