import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { test } from 'node:test'
import bcrypt from 'bcryptjs'
import { parseChallenges } from '../challenge.ts'
import { Registries } from '../registries.ts'
import { folder, imageStore, keep, makeImage, startRegistry } from '../testing/kit.ts'
import { Passwords } from './passwords.ts'
import { matches, parseRights } from './rights.ts'

function passwords(t: Parameters<typeof folder>[0], users: Record<string, string>): Passwords {
  const file = path.join(folder(t), 'htpasswd')
  fs.writeFileSync(
    file,
    Object.entries(users)
      .map(([name, password]) => `${name}:${bcrypt.hashSync(password, 4)}\n`)
      .join(''),
  )
  return new Passwords(file)
}

test('an htpasswd file alone: basic credentials for everything', async t => {
  const access = { passwords: passwords(t, { ann: 'secret' }) }
  const { host, url } = await startRegistry(t, { access })
  const answer = await fetch(`${url}/v2/`)
  assert.equal(answer.status, 401)
  assert.deepEqual(parseChallenges(answer.headers.get('www-authenticate')!), [
    { scheme: 'basic', parameters: { realm: 'gantry registry' } },
  ])
  const store = imageStore(t)
  await keep(store, makeImage(1, [1000]), `${host}/app`)
  const registries = new Registries(store)
  await assert.rejects(registries.push(`${host}/app`), {
    message: 'no basic auth credentials',
    kind: 'internal',
  })
  await assert.rejects(registries.pull(`${host}/app`), {
    message: `Head "${url}/v2/app/manifests/latest": no basic auth credentials`,
    kind: 'internal',
  })
  const refreshed = { username: '<token>', identityToken: 'of another registry' }
  await assert.rejects(registries.push(`${host}/app`, { auth: refreshed }), {
    message: 'no basic auth credentials',
  })
  await assert.rejects(registries.push(`${host}/app`, { auth: { username: 'ann', password: 'wrong' } }), {
    message: 'unauthorized: authentication required',
  })
  await registries.push(`${host}/app`, { auth: { username: 'ann', password: 'secret' } })
  assert.deepEqual(await registries.login({ username: 'ann', password: 'secret', serverAddress: host }), {
    status: 'Login Succeeded',
    identityToken: '',
  })
  await assert.rejects(registries.login({ username: 'ann', password: 'no', serverAddress: host }), {
    message: `login attempt to ${url}/v2/ failed with status: 401 Unauthorized`,
  })
})

test('rights by repository, anonymous pulls, tokens', async t => {
  const token = 'a-token-for-ci'
  const access = {
    passwords: passwords(t, { ann: 'secret', bob: 'secret' }),
    rights: parseRights(
      JSON.stringify({
        anonymous: [{ repository: 'public/**', actions: ['pull'] }],
        users: {
          ann: [{ repository: '**', actions: ['pull', 'push', 'delete'] }],
          bob: [{ repository: 'bob/*', actions: ['pull', 'push'] }],
        },
        tokens: {
          ci: {
            sha256: createHash('sha256').update(token).digest('hex'),
            rights: [{ repository: 'ci/**', actions: ['pull', 'push'] }],
          },
        },
      }),
    ),
  }
  const { host, url } = await startRegistry(t, { access })
  const ann = { username: 'ann', password: 'secret' }
  const bob = { username: 'bob', password: 'secret' }
  const store = imageStore(t)
  for (const name of ['public/app', 'private/app', 'bob/app', 'ci/app'])
    await keep(store, makeImage(1, [1000]), `${host}/${name}`)
  const registries = new Registries(store)
  const puller = () => new Registries(imageStore(t))

  await registries.push(`${host}/public/app`, { auth: ann })
  await registries.push(`${host}/private/app`, { auth: ann })
  await puller().pull(`${host}/public/app`)
  await puller().pull(`${host}/public/app`, { auth: bob })
  assert.equal((await fetch(`${url}/v2/public/app/tags/list`)).status, 200)
  await assert.rejects(puller().pull(`${host}/public/app`, { auth: { ...bob, password: 'no' } }), {
    kind: 'unauthorized',
    message: `Head "${url}/v2/public/app/manifests/latest": unauthorized: incorrect username or password`,
  })
  await assert.rejects(registries.push(`${host}/bob/app`, { auth: { ...bob, password: 'no' } }), {
    kind: 'unauthorized',
    message: 'unauthorized: incorrect username or password',
  })
  await assert.rejects(puller().pull(`${host}/private/app`), { kind: 'notFound' })
  await registries.push(`${host}/bob/app`, { auth: bob })
  await assert.rejects(registries.push(`${host}/public/app`, { auth: bob }))
  await assert.rejects(registries.push(`${host}/private/app`, { auth: bob }))
  await registries.push(`${host}/ci/app`, { auth: { registryToken: token } })
  await registries.push(`${host}/ci/app`, { auth: { username: 'ci', password: token } })
  await assert.rejects(registries.push(`${host}/bob/app`, { auth: { registryToken: token } }))
  await registries.login({ ...ann, serverAddress: host })
  await assert.rejects(registries.login({ username: 'ann', password: 'no', serverAddress: host }), {
    kind: 'unauthorized',
    message: `Get "${url}/v2/": unauthorized: incorrect username or password`,
  })
  const basic = { Authorization: `Basic ${Buffer.from('bob:secret').toString('base64')}` }
  const catalog = await fetch(`${url}/v2/_catalog`, { headers: basic })
  assert.deepEqual(await catalog.json(), { repositories: ['bob/app', 'public/app'] })
  const unnamed = await fetch(`${url}/v2/_catalog`)
  assert.match(unnamed.headers.get('www-authenticate')!, /scope="registry:catalog:\*"$/)
  const refused = await fetch(`${url}/v2/bob/app/manifests/latest`, { method: 'DELETE', headers: basic })
  assert.equal(refused.status, 401)
  assert.match(
    refused.headers.get('www-authenticate')!,
    /scope="repository:bob\/app:delete",error="insufficient_scope"/,
  )
})

test('a scope cannot be widened by what it names', async t => {
  const access = {
    passwords: passwords(t, { bob: 'secret' }),
    rights: parseRights(JSON.stringify({ users: { bob: [{ repository: 'team/*', actions: ['pull'] }] } })),
  }
  const { url } = await startRegistry(t, { access })
  const ask = async (scope: string) => {
    const answer = await fetch(`${url}/token?${new URLSearchParams({ scope, service: 'gantry-registry' })}`, {
      headers: { Authorization: `Basic ${Buffer.from('bob:secret').toString('base64')}` },
    })
    const { token } = (await answer.json()) as { token: string }
    return JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()).access
  }
  assert.deepEqual(await ask('repository:team/app:pull,push'), [
    { type: 'repository', name: 'team/app', actions: ['pull'] },
  ])
  assert.deepEqual(await ask('registry:catalog:*'), [
    { type: 'repository', name: 'team/*', actions: ['pull'] },
  ])
  for (const scope of ['repository:team/**:pull', 'repository:**:*', 'registry:other:*', 'nonsense'])
    assert.deepEqual(await ask(scope), [], scope)
})

test('a token for credentials in a form, as containerd and BuildKit ask', async t => {
  const { url } = await startRegistry(t, {
    access: {
      passwords: passwords(t, { bob: 'secret' }),
      rights: parseRights(JSON.stringify({ users: { bob: [{ repository: 'team/*', actions: ['pull'] }] } })),
    },
  })
  const post = (form: Record<string, string>) =>
    fetch(`${url}/token`, {
      method: 'POST',
      body: new URLSearchParams({ service: 'gantry-registry', ...form }),
    })
  const scope = 'repository:team/app:pull repository:team/other:pull,push'
  const password = { grant_type: 'password', username: 'bob', client_id: 'containerd-client', scope }
  const answer = await post({ ...password, password: 'secret' })
  const { access_token: token } = (await answer.json()) as { access_token: string }
  const headers = { Authorization: `Bearer ${token}` }
  assert.equal((await fetch(`${url}/v2/team/other/manifests/x`, { headers })).status, 404)
  assert.equal((await fetch(`${url}/v2/else/manifests/x`, { headers })).status, 401)
  assert.equal((await post({ ...password, password: 'wrong' })).status, 401)
  assert.equal((await post({ grant_type: 'refresh_token', refresh_token: 'x', scope })).status, 400)
  assert.equal((await fetch(`${url}/token`, { method: 'PUT' })).status, 405)
  assert.equal((await post({ ...password, password: 'x'.repeat(1 << 17) })).status, 413)
})

test('tokens of an outside server, signed with its key', async t => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const { url } = await startRegistry(t, {
    access: {
      tokenServer: {
        realm: 'https://auth.example/token',
        service: 'here',
        issuer: 'auth',
        keys: [publicKey],
      },
    },
  })
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const now = Math.floor(Date.now() / 1000)
  const good = {
    iss: 'auth',
    aud: 'here',
    sub: 'ann',
    exp: now + 60,
    access: [{ type: 'repository', name: 'a', actions: ['*'] }],
  }
  const get = async (claims: object, key = privateKey, alg = 'ES256') => {
    const text = `${encode({ alg, typ: 'JWT' })}.${encode(claims)}`
    const signature = sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' }).toString(
      'base64url',
    )
    const answer = await fetch(`${url}/v2/a/manifests/x`, {
      headers: { Authorization: `Bearer ${text}.${signature}` },
    })
    return answer.status
  }
  assert.equal(await get(good), 404)
  assert.equal(await get({ ...good, exp: now - 1 }), 401)
  assert.equal(await get({ ...good, aud: 'there' }), 401)
  assert.equal(await get({ ...good, iss: 'someone' }), 401)
  assert.equal(await get({ ...good, access: [] }), 401)
  assert.equal(await get(good, stranger.privateKey), 401)
  assert.equal(await get(good, privateKey, 'none'), 401)
  assert.equal(await get(good, privateKey, 'HS256'), 401)
  const refused = await fetch(`${url}/v2/`)
  assert.match(
    refused.headers.get('www-authenticate')!,
    /realm="https:\/\/auth\.example\/token",service="here"/,
  )
})

test('patterns of repositories', () => {
  const cases: [string, string, boolean][] = [
    ['**', 'a/b/c', true],
    ['a/*', 'a/b', true],
    ['a/*', 'a/b/c', false],
    ['a/**', 'a/b/c', true],
    ['a', 'a', true],
    ['a', 'ab', false],
    ['a.b', 'axb', false],
  ]
  for (const [pattern, name, expected] of cases)
    assert.equal(matches(pattern, name), expected, `${pattern} ${name}`)
})

test('a rights file with a mistake says where', () => {
  const cases: [unknown, RegExp][] = [
    [{ user: {} }, /unknown field "user"/],
    [{ anonymous: [{ repository: 'a', actions: ['fly'] }] }, /anonymous\[0\]\.actions/],
    [{ users: { ann: {} } }, /users\.ann is not a list/],
    [{ tokens: { ci: { sha256: 'x', rights: [] } } }, /tokens\.ci\.sha256/],
  ]
  for (const [value, expected] of cases) assert.throws(() => parseRights(JSON.stringify(value)), expected)
})
