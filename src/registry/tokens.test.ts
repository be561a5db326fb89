/** Tokens that end before what they are for does. */
import assert from 'node:assert/strict'
import * as http from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { Registries } from './registries.ts'
import { defer, eager, imageStore, keep, makeImage, startRegistry } from './testing/kit.ts'

/** Before a registry that takes tokens: refuses the first token that a request of each kind in `kinds` brings. */
async function forgetful(t: TestContext, upstream: string, kinds: RegExp[]) {
  const refused: string[] = []
  const pending = new Set(kinds)
  const server = http.createServer((request, response) => {
    const what = `${request.method} ${request.url}`
    const kind = [...pending].find(pattern => pattern.test(what))
    if (kind && request.headers.authorization) {
      pending.delete(kind)
      refused.push(what)
      const scope = `repository:team/app:${request.method === 'GET' ? 'pull' : 'pull,push'}`
      const realm = `http://${host}/token`
      request.resume()
      response.writeHead(401, {
        'WWW-Authenticate': `Bearer realm="${realm}",service="gantry-registry",scope="${scope}",error="invalid_token"`,
      })
      response.end()
      return
    }
    const { method, url, headers } = request
    const forward = http.request(`http://${upstream}${url}`, { method, headers }, answer => {
      response.writeHead(answer.statusCode!, answer.headers)
      answer.pipe(response)
    })
    forward.on('error', () => response.destroy())
    request.pipe(forward)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  defer(t, () => {
    server.closeAllConnections()
    server.close()
  })
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  return { host, refused }
}

test('a token that is refused in the middle of a push or a pull is got anew', async t => {
  const everything = [{ repository: '**', actions: ['pull' as const, 'push' as const] }]
  const origin = await startRegistry(t, {
    access: { rights: { anonymous: everything } },
  })
  const kinds = [/^PATCH /, /^PUT .*\/blobs\/uploads\//, /^PUT .*\/manifests\//, /^GET .*\/blobs\//]
  const { host, refused } = await forgetful(t, origin.host, kinds)
  const store = imageStore(t)
  const image = makeImage(1, [3_000_000])
  await keep(store, image, `${host}/team/app`)
  const [pushed] = await new Registries(store, {}, eager).push(`${host}/team/app`)
  assert.equal(pushed!.digest, image.digest)
  const [pulled] = await new Registries(imageStore(t), {}, eager).pull(`${host}/team/app`)
  assert.equal(pulled!.digest, image.digest)
  assert.equal(refused.length, kinds.length)
})
