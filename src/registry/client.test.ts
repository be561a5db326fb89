import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import type * as http from 'node:http'
import * as path from 'node:path'
import { test } from 'node:test'
import { digestOf } from '../image/digest.ts'
import { choosePlatform } from '../image/platform.ts'
import { type Index, mediaTypes } from '../image/types.ts'
import { decodeAuthHeader, encodeAuthHeader } from './auth-header.ts'
import { parseChallenges } from './challenge.ts'
import { Endpoints } from './endpoints.ts'
import { drawBar } from './progress.ts'
import { Registries } from './registries.ts'
import { parseRetryAfter } from './retry.ts'
import {
  defer,
  eager,
  fakeServer,
  folder,
  imageStore,
  keep,
  makeImage,
  startRegistry,
} from './testing/kit.ts'
import { proxyEnvironment, Transport } from './transport.ts'

const auth = { username: 'ann', password: 'secret' }
const authorizations = (asked: http.IncomingMessage[]) =>
  asked.map(request => request.headers.authorization).filter(Boolean)

test('credentials do not follow a redirect to another host', async t => {
  const image = makeImage(1, [500])
  const other = await fakeServer(t, (request, response) => {
    response.end(image.blobs.get(request.url!.slice(1) as never))
  })
  const registry = await fakeServer(t, (request, response) => {
    if (!request.headers.authorization)
      return response.writeHead(401, { 'WWW-Authenticate': 'Basic realm="x"' }).end()
    const blob = /\/blobs\/(.*)$/.exec(request.url!)
    if (blob) return response.writeHead(307, { Location: `http://${other.host}/${blob[1]}` }).end()
    const headers = {
      'Content-Type': image.mediaType,
      'Docker-Content-Digest': image.digest,
      'Content-Length': image.manifestBytes.length,
    }
    response.writeHead(200, headers).end(request.method === 'HEAD' ? undefined : image.manifestBytes)
  })
  const store = imageStore(t)
  await new Registries(store).pull(`${registry.host}/app`, { auth })
  assert.equal(store.all().length, 1)
  assert.equal(other.asked.length, 2)
  assert.deepEqual(authorizations(other.asked), [])
})

test('a registry that misbehaves gets a clear error, quickly', async t => {
  const cases: [what: string, answer: http.RequestListener, expected: RegExp][] = [
    [
      'redirects for ever',
      (_, response) => response.writeHead(302, { Location: '/v2/again' }).end(),
      /stopped after 10 redirects/,
    ],
    [
      'redirects to a file',
      (_, response) => response.writeHead(302, { Location: 'file:///etc/shadow' }).end(),
      /unsupported protocol scheme/,
    ],
    [
      'sends gigabytes for a manifest',
      (request, response) => {
        response.writeHead(200, { 'Content-Type': mediaTypes.ociManifest })
        if (request.method === 'HEAD') return response.end()
        const more = (): void => {
          while (!response.destroyed && response.write(Buffer.alloc(1 << 20)));
        }
        response.on('drain', more)
        more()
      },
      /larger than 4194304 bytes/,
    ],
    [
      'sends schema 1',
      (_, response) => {
        response.writeHead(200, {
          'Content-Type': 'application/vnd.docker.distribution.manifest.v1+prettyjws',
        })
        response.end(JSON.stringify({ schemaVersion: 1, fsLayers: [], history: [] }))
      },
      /schema version 1 are not supported/,
    ],
    [
      'sends a type nobody knows',
      (_, response) => {
        response
          .writeHead(200, { 'Content-Type': 'application/vnd.example.thing' })
          .end('{"schemaVersion":2}')
      },
      /unsupported manifest media type: application\/vnd\.example\.thing/,
    ],
    [
      'sends an artifact',
      (_, response) => {
        const empty = {
          mediaType: 'application/vnd.cncf.helm.config.v1+json',
          digest: digestOf('{}'),
          size: 2,
        }
        response.writeHead(200, { 'Content-Type': mediaTypes.ociManifest })
        response.end(JSON.stringify({ schemaVersion: 2, config: empty, layers: [] }))
      },
      /unsupported media type application\/vnd\.cncf\.helm\.config/,
    ],
    [
      'sends a page',
      (_, response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end('<html>'),
      /media type text\/html/,
    ],
    [
      'says so',
      (_, response) => response.writeHead(403, {}).end('{"errors":[{"code":"DENIED","message":"no"}]}'),
      /^pull access denied for 127\.0\.0\.1:\d+\/app, repository does not exist or may require 'docker login': denied: no$/,
    ],
    [
      'has had enough',
      (_, response) => response.writeHead(429, { 'Retry-After': '0' }).end(),
      /^toomanyrequests: /,
    ],
  ]
  for (const [what, answer, expected] of cases) {
    const { host } = await fakeServer(t, (request, response) => {
      if (request.url === '/v2/') response.end('{}')
      else answer(request, response)
    })
    await assert.rejects(
      new Registries(imageStore(t), {}, eager).pull(`${host}/app`),
      { message: expected },
      what,
    )
  }
})

test('a blob larger or other than announced never becomes visible', async t => {
  const image = makeImage(1, [5000])
  const layer = image.layers[0]!
  for (const lie of [
    Buffer.alloc(layer.size),
    Buffer.alloc(layer.size + 100_000),
    Buffer.alloc(layer.size - 1),
  ]) {
    const { host } = await fakeServer(t, (request, response) => {
      const blob = /\/blobs\/(.*)$/.exec(request.url!)?.[1]
      if (blob) return response.end(blob === layer.digest ? lie : image.blobs.get(blob as never))
      const headers = {
        'Content-Type': image.mediaType,
        'Docker-Content-Digest': image.digest,
        'Content-Length': image.manifestBytes.length,
      }
      response.writeHead(200, headers).end(request.method === 'HEAD' ? undefined : image.manifestBytes)
    })
    const store = imageStore(t)
    await assert.rejects(new Registries(store, {}, eager).pull(`${host}/app`))
    assert.equal(store.content.has(layer.digest), false)
    assert.deepEqual(store.all(), [])
  }
})

test('a registry behind a certificate of its own, by certs.d', async t => {
  const certs = path.join(import.meta.dirname, 'testing/certs')
  const tls = {
    cert: fs.readFileSync(path.join(certs, 'server.crt')),
    key: fs.readFileSync(path.join(certs, 'server.key')),
  }
  const { host } = await startRegistry(t, { tls })
  const local = host.replace('127.0.0.1', 'localhost')
  const certsDir = folder(t)
  const trusting = { certsDirs: [certsDir] }
  const endpoints = new Endpoints({ certsDirs: [certsDir] })
  fs.mkdirSync(path.join(certsDir, local))
  fs.copyFileSync(path.join(certs, 'server.crt'), path.join(certsDir, local, 'ca.crt'))
  assert.ok(endpoints.tlsFor(new URL(`https://${local}`)).ca!.includes(tls.cert.toString()))
  const store = imageStore(t)
  await keep(store, makeImage(1, [100]), `${local}/app`)
  await new Registries(store, trusting).push(`${local}/app`)
  // The loopback address is trusted anyway: ask once as if it were not.
  const transport = new Transport()
  defer(t, () => transport.close())
  const ask = (ca: string[] | undefined) =>
    transport.request({
      method: 'GET',
      url: new URL(`https://${local}/v2/`),
      tls: { ...(ca && { ca }), rejectUnauthorized: true },
    })
  assert.equal((await ask(endpoints.tlsFor(new URL(`https://${local}`)).ca)).status, 200)
  await assert.rejects(ask(undefined), { message: /x509: certificate signed by unknown authority$/ })
  fs.writeFileSync(path.join(certsDir, local, 'client.cert'), 'x')
  assert.throws(
    () => new Endpoints({ certsDirs: [certsDir] }).tlsFor(new URL(`https://${local}`)),
    /missing key client\.key for client certificate client\.cert/,
  )
})

test('mirrors come before Docker Hub, without its credentials', async t => {
  const image = makeImage(1, [100])
  const mirror = await fakeServer(t, (request, response) => {
    const blob = /\/blobs\/(.*)$/.exec(request.url!)?.[1]
    if (blob) return response.end(image.blobs.get(blob as never))
    const headers = {
      'Content-Type': image.mediaType,
      'Docker-Content-Digest': image.digest,
      'Content-Length': image.manifestBytes.length,
    }
    response.writeHead(200, headers).end(request.method === 'HEAD' ? undefined : image.manifestBytes)
  })
  const broken = await fakeServer(t, (_, response) => response.writeHead(500).end())
  const store = imageStore(t)
  const config = { mirrors: [`http://${broken.host}`, `http://${mirror.host}`] }
  const [pulled] = await new Registries(store, config, { ...eager, attempts: 2 }).pull('busybox', { auth })
  assert.equal(pulled!.reference, 'busybox:latest')
  assert.deepEqual(authorizations(mirror.asked), [])
  assert.ok(mirror.asked.some(({ url }) => url === '/v2/library/busybox/manifests/latest'))
})

test('the manifest of an index that fits best', () => {
  const entry = (architecture: string, variant?: string, os = 'linux') => ({
    mediaType: mediaTypes.ociManifest,
    digest: digestOf(`${os}${architecture}${variant}`),
    size: 1,
    platform: { os, architecture, ...(variant && { variant }) },
  })
  const cases: [wanted: [string, string?], offered: Index['manifests'], expected: number | undefined][] = [
    [['amd64'], [entry('arm64'), entry('amd64')], 1],
    [['amd64'], [entry('amd64', undefined, 'windows'), entry('386')], 1],
    [['arm', 'v7'], [entry('arm', 'v5'), entry('arm', 'v6')], 1],
    [['arm', 'v6'], [entry('arm', 'v7'), entry('arm', 'v5')], 1],
    [['arm64', 'v8'], [entry('arm', 'v7'), entry('arm64')], 1],
    [['aarch64'], [entry('arm64', 'v8')], 0],
    [['amd64', 'v3'], [entry('amd64'), entry('amd64', 'v2'), entry('amd64', 'v4')], 1],
    [['s390x'], [entry('amd64')], undefined],
    [
      ['amd64'],
      [
        { ...entry('amd64'), annotations: { 'vnd.docker.reference.type': 'attestation-manifest' } },
        entry('amd64'),
      ],
      1,
    ],
  ]
  for (const [[architecture, variant], offered, expected] of cases) {
    const chosen = choosePlatform(offered, {
      os: 'linux',
      architecture,
      ...(variant && { variant }),
    })
    assert.equal(chosen && offered.indexOf(chosen), expected, `${architecture} ${variant}`)
  }
})

test('challenges, well-formed and not', () => {
  const cases: [string, ReturnType<typeof parseChallenges>][] = [
    ['Basic realm="a b"', [{ scheme: 'basic', parameters: { realm: 'a b' } }]],
    [
      'Bearer realm="https://x/t?a=b,c",service=reg,scope="repository:a:pull,push"',
      [
        {
          scheme: 'bearer',
          parameters: { realm: 'https://x/t?a=b,c', service: 'reg', scope: 'repository:a:pull,push' },
        },
      ],
    ],
    [
      'Basic realm="one", Bearer realm="two"',
      [
        { scheme: 'basic', parameters: { realm: 'one' } },
        { scheme: 'bearer', parameters: { realm: 'two' } },
      ],
    ],
    [
      'Negotiate, Basic realm=x',
      [
        { scheme: 'negotiate', parameters: {} },
        { scheme: 'basic', parameters: { realm: 'x' } },
      ],
    ],
    [
      'Digest YWJj==, Basic realm="q\\"q"',
      [
        { scheme: 'digest', parameters: {} },
        { scheme: 'basic', parameters: { realm: 'q"q' } },
      ],
    ],
    ['Basic realm="never closed', [{ scheme: 'basic', parameters: {} }]],
    ['', []],
    ['"', []],
  ]
  for (const [header, expected] of cases) assert.deepEqual(parseChallenges(header), expected, header)
})

test('endpoints: insecure names and ranges, mirrors', async () => {
  const names: Record<string, string[]> = {
    'inside.example': ['192.0.2.1', '10.9.8.7'],
    'outside.example': ['192.0.2.1'],
  }
  const endpoints = new Endpoints(
    {
      mirrors: ['https://mirror.example/base'],
      insecureRegistries: ['10.0.0.0/8', 'plain.example:5000'],
    },
    async name => names[name] ?? Promise.reject(new Error('no such host')),
  )
  const urls = async (host: string) => (await endpoints.forPull(host)).map(({ url }) => url.href)
  assert.deepEqual(await urls('docker.io'), ['https://mirror.example/base/', 'https://registry-1.docker.io/'])
  for (const host of ['example.com', 'plain.example:6000', 'outside.example', '192.0.2.1']) {
    assert.deepEqual(await urls(host), [`https://${host}/`])
    assert.equal(endpoints.tlsFor(new URL(`https://${host}`)).rejectUnauthorized, true)
  }
  for (const host of ['10.1.2.3:5000', 'plain.example:5000', 'localhost:5000', 'inside.example:5000']) {
    assert.deepEqual(await urls(host), [`https://${host}/`, `http://${host}/`])
    assert.equal(endpoints.tlsFor(new URL(`https://${host}`)).rejectUnauthorized, false)
  }
  for (const bad of ['ftp://x', 'nonsense', 'https://user:pw@x', 'https://x/?q'])
    assert.throws(() => new Endpoints({ mirrors: [bad] }), { kind: 'invalid' }, bad)
})

test('small things: headers, bars, waits', () => {
  const credentials = { username: 'ann', password: 'sec:ret', serverAddress: 'host' }
  assert.deepEqual(decodeAuthHeader(encodeAuthHeader(credentials)), credentials)
  assert.deepEqual(decodeAuthHeader(Buffer.from('{"auth":"YW5uOmE6Yg=="}').toString('base64')), {
    username: 'ann',
    password: 'a:b',
  })
  for (const bad of ['%%%', 'bm90IGpzb24=', 'W10=', undefined]) assert.deepEqual(decodeAuthHeader(bad), {})
  assert.equal(drawBar(535_552, 116_667_347), `[>${' '.repeat(50)}]  535.6kB/116.7MB`)
  assert.equal(drawBar(8_091_378, 116_667_347), `[===>${' '.repeat(47)}]  8.091MB/116.7MB`)
  assert.equal(drawBar(5_243_885, 5_243_885), `[${'='.repeat(50)}>]  5.244MB/5.244MB`)
  assert.equal(parseRetryAfter('3'), 3000)
  assert.equal(parseRetryAfter('Thu, 01 Jan 1970 00:00:05 GMT', 2000), 3000)
  assert.equal(parseRetryAfter('soon'), undefined)
})

test('proxies are read from the environment, and left out for what is near', async t => {
  const image = makeImage(1, [100])
  const proxy = await fakeServer(t, (request, response) => {
    const blob = /\/blobs\/(.*)$/.exec(request.url!)?.[1]
    if (blob) return response.end(image.blobs.get(blob as never))
    const headers = {
      'Content-Type': image.mediaType,
      'Docker-Content-Digest': image.digest,
      'Content-Length': image.manifestBytes.length,
    }
    response.writeHead(200, headers).end(request.method === 'HEAD' ? undefined : image.manifestBytes)
  })
  proxy.asked.length = 0
  const config = {
    environment: { http_proxy: `http://${proxy.host}`, NO_PROXY: '10.0.0.0/8' },
    insecureRegistries: ['far.example:80'],
  }
  await new Registries(imageStore(t), config, eager).pull('far.example:80/app')
  assert.ok(
    proxy.asked.some(
      ({ url }) =>
        url === 'http://far.example/v2/app/manifests/latest' ||
        url === 'http://far.example:80/v2/app/manifests/latest',
    ),
  )
  assert.match(
    proxyEnvironment(config.environment)['NO_PROXY']!,
    /127\.0\.0\.0-127\.255\.255\.255,.*10\.0\.0\.0-10\.255\.255\.255/,
  )
  const { host } = await startRegistry(t)
  const store = imageStore(t)
  await keep(store, image, `${host}/near`)
  const before = proxy.asked.length
  await new Registries(store, config).push(`${host}/near`)
  assert.equal(proxy.asked.length, before)
})

test('a registry that answered lately is not asked again whether it is there, one that went is', async t => {
  const image = makeImage(1, [100])
  let refuses = false
  const { host, asked } = await fakeServer(t, (request, response) => {
    if (refuses) return request.socket.destroy()
    const headers = { 'Content-Type': image.mediaType, 'Content-Length': image.manifestBytes.length }
    if (request.url === '/v2/') response.end()
    else if (request.url!.includes('/manifests/')) response.writeHead(200, headers).end(image.manifestBytes)
    else response.end(image.blobs.get(image.manifest.config.digest))
  })
  const registries = new Registries(imageStore(t), {}, { ...eager, attempts: 1 })
  const inspect = () => registries.distributionInspect(`${host}/app`)
  const pings = () => asked.filter(({ url }) => url === '/v2/').length
  for (let i = 0; i < 3; i++) await inspect()
  assert.equal(pings(), 1)
  refuses = true
  await assert.rejects(inspect(), /EOF/)
  refuses = false
  await inspect()
  assert.equal(pings(), 2)
})
