/** Registries that ask who comes: passwords over TLS, tokens with rights, and what the client is told. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { after, before, describe, test } from 'node:test'
import bcrypt from 'bcryptjs'
import { selfSigned } from './support/certificate.ts'
import { cannotRunDaemon, Daemon } from './support/daemon.ts'
import { leftovers } from './support/leftovers.ts'
import { type Beside, startGantryRegistry } from './support/registry.ts'

/** An address of the daemon's own network that is not the loopback's: there TLS is asked for. */
const ADDRESS = '10.177.0.1'
const TLS = `${ADDRESS}:5443`
const BEARER = '127.0.0.1:5002'

describe('a registry that asks who comes', { skip: cannotRunDaemon() }, () => {
  let daemon: Daemon
  const registries: Beside[] = []
  const certs = path.join('/etc/docker/certs.d', TLS)
  const file = (name: string) => path.join(daemon.folder, name)

  before(async () => {
    daemon = await Daemon.start({ args: ['--insecure-registry', '10.178.0.0/16'] })
    daemon.inNetwork('ip', 'addr', 'add', `${ADDRESS}/32`, 'dev', 'lo')
    daemon.inNetwork('ip', 'addr', 'add', '10.178.0.1/32', 'dev', 'lo')
    const { cert, key } = selfSigned(daemon.folder, 'registry', ADDRESS)
    const line = (user: string, password: string) => `${user}:${bcrypt.hashSync(password, 4)}\n`
    fs.writeFileSync(file('htpasswd'), line('ann', 'right') + line('bob', 'reader'))
    fs.writeFileSync(
      file('rights.json'),
      JSON.stringify({
        anonymous: [{ repository: 'public/**', actions: ['pull'] }],
        users: {
          ann: [{ repository: '**', actions: ['pull', 'push'] }],
          bob: [{ repository: 'team/**', actions: ['pull'] }],
        },
      }),
    )
    const htpasswd = ['--htpasswd', file('htpasswd')]
    const tls = ['--tls-cert', cert, '--tls-key', key]
    registries.push(
      await startGantryRegistry(daemon, TLS, file('tls'), ...htpasswd, ...tls),
      await startGantryRegistry(daemon, BEARER, file('bearer'), ...htpasswd, '--rights', file('rights.json')),
      await startGantryRegistry(daemon, '10.178.0.1:5003', file('open')),
    )
  })

  after(async () => {
    fs.rmSync(certs, { recursive: true, force: true })
    for (const registry of registries) await registry.stop()
    await daemon?.remove()
    assert.deepEqual(leftovers(daemon), [])
  })

  /** The client of one person: what it logs in to is kept in a folder of its own. */
  const as = (person: string) => {
    const env = { DOCKER_CONFIG: file(`config-${person}`) }
    return (...args: string[]) => daemon.dockerWith({ env }, ...args)
  }

  async function succeeds(run: Promise<{ stdout: string; stderr: string; code: number }>): Promise<string> {
    const { stdout, stderr, code } = await run
    assert.equal(code, 0, stderr)
    return stdout
  }

  test('a certificate that nobody vouches for, until certs.d does', async () => {
    const name = `${TLS}/box:1`
    await daemon.ok('tag', 'busybox', name)
    assert.match(
      (await as('ann')('push', name)).stderr,
      /tls: failed to verify certificate: x509: certificate signed by unknown authority/,
    )
    fs.mkdirSync(certs, { recursive: true })
    fs.copyFileSync(file('registry.pem'), path.join(certs, 'ca.crt'))
    // Read when a host is first asked for, as long as the daemon lives.
    await daemon.stop()
    await daemon.start()
    assert.match((await as('nobody')('push', name)).stderr, /no basic auth credentials/)
    const wrong = await as('ann')('login', '-u', 'ann', '-p', 'wrong', TLS)
    assert.equal(wrong.code, 1)
    assert.match(
      wrong.stderr,
      /login attempt to https:\/\/10\.177\.0\.1:5443\/v2\/ failed with status: 401 Unauthorized|unauthorized/,
    )
    assert.match(await succeeds(as('ann')('login', '-u', 'ann', '-p', 'right', TLS)), /Login Succeeded/)
    const digest = /sha256:[0-9a-f]{64}/.exec(await succeeds(as('ann')('push', name)))![0]
    await daemon.ok('rmi', name)
    assert.match((await as('nobody')('pull', name)).stderr, /no basic auth credentials/)
    assert.ok((await succeeds(as('ann')('pull', name))).includes(`Digest: ${digest}`))
  })

  test('tokens, and what they are good for', async () => {
    assert.match(await succeeds(as('ann')('login', '-u', 'ann', '-p', 'right', BEARER)), /Login Succeeded/)
    assert.match(await succeeds(as('bob')('login', '-u', 'bob', '-p', 'reader', BEARER)), /Login Succeeded/)
    assert.match((await as('eve')('login', '-u', 'eve', '-p', 'x', BEARER)).stderr, /unauthorized/)
    for (const name of ['public/box', 'team/box', 'secret/box']) {
      await daemon.ok('tag', 'busybox', `${BEARER}/${name}`)
      await succeeds(as('ann')('push', `${BEARER}/${name}`))
      await daemon.ok('rmi', `${BEARER}/${name}`)
    }
    const allowed: [string, string, boolean][] = [
      ['nobody', 'public/box', true],
      ['nobody', 'team/box', false],
      ['bob', 'team/box', true],
      ['bob', 'secret/box', false],
      ['ann', 'secret/box', true],
    ]
    for (const [person, name, isAllowed] of allowed) {
      const { stderr, code } = await as(person)('pull', `${BEARER}/${name}`)
      assert.equal(code === 0, isAllowed, `${person} ${name}: ${stderr}`)
      if (!isAllowed) {
        assert.match(
          stderr,
          new RegExp(
            `pull access denied for ${BEARER}/${name}, repository does not exist or may require 'docker login'`,
          ),
        )
      }
    }
    const denied = await as('bob')('push', `${BEARER}/team/box`)
    assert.match(denied.stderr, /denied: requested access to the resource is denied/)
  })

  test('buildx asks for tokens in its own way', { skip: noBuildx() }, async () => {
    await succeeds(as('ann')('login', '-u', 'ann', '-p', 'right', BEARER))
    await daemon.ok('tag', 'busybox', `${BEARER}/team/tools:1`)
    const pushed = await succeeds(as('ann')('push', `${BEARER}/team/tools:1`))
    const digest = /sha256:[0-9a-f]{64}/.exec(pushed)![0]
    const tools = (...args: string[]) =>
      daemon.inNetwork(
        ...['env', `DOCKER_HOST=${daemon.host}`, `DOCKER_CONFIG=${file('config-ann')}`],
        ...['docker', 'buildx', 'imagetools', ...args],
      )
    tools('create', '-t', `${BEARER}/team/tools:all`, `${BEARER}/team/tools:1`)
    assert.ok(tools('inspect', '--raw', `${BEARER}/team/tools:all`).includes(digest))
  })

  test('a registry without TLS, where the daemon was told so', async () => {
    const name = '10.178.0.1:5003/box'
    await daemon.ok('tag', 'busybox', name)
    await daemon.ok('push', name)
    daemon.inNetwork('ip', 'addr', 'add', '10.179.0.1/32', 'dev', 'lo')
    registries.push(await startGantryRegistry(daemon, '10.179.0.1:5004', file('elsewhere')))
    await daemon.ok('tag', 'busybox', '10.179.0.1:5004/box')
    assert.match(
      (await daemon.docker('push', '10.179.0.1:5004/box')).stderr,
      /http: server gave HTTP response to HTTPS client/,
    )
  })
})

function noBuildx(): string | false {
  try {
    execFileSync('docker', ['buildx', 'version'], { stdio: 'pipe' })
    return false
  } catch {
    return 'needs buildx (Debian: apt-get install docker-buildx)'
  }
}
