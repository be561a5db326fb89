import assert from 'node:assert/strict'
import * as http from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import { fetchArchive } from './import-source.ts'

let server: http.Server
let origin = ''
before(async () => {
  server = http.createServer((req, res) => {
    if (req.url === '/moved') res.writeHead(302, { location: '/file' }).end()
    else if (req.url === '/file') res.end('bytes')
    else res.writeHead(404).end()
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  origin = `127.0.0.1:${(server.address() as AddressInfo).port}`
})
after(() => {
  server.close()
  server.closeAllConnections()
})

const { signal } = new AbortController()

test('without a scheme, and moved', async () => {
  const chunks: Buffer[] = []
  for await (const chunk of await fetchArchive(`${origin}/moved`, signal)) chunks.push(chunk as Buffer)
  assert.equal(Buffer.concat(chunks).toString(), 'bytes')
})

test('a missing file, another scheme, nobody there', async () => {
  await assert.rejects(fetchArchive(`http://${origin}/nothing`, signal), /failed to GET .* with status 404/)
  await assert.rejects(fetchArchive('file:///etc/passwd', signal), /unsupported URL/)
  await assert.rejects(fetchArchive('http://127.0.0.1:1/', signal), { kind: 'unavailable' })
})
