/** Builds that take their base from a registry, and give what they made to one. */
import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { after, before, describe, test } from 'node:test'
import bcrypt from 'bcryptjs'
import { cannotRunDaemon, Daemon } from '../support/daemon.ts'
import { type Beside, startGantryRegistry } from '../support/registry.ts'

const REGISTRY = '127.0.0.1:5006'

describe('builds and registries', { skip: cannotRunDaemon() }, () => {
  let daemon: Daemon
  let registry: Beside
  const file = (name: string) => path.join(daemon.folder, name)
  const env = () => ({ DOCKER_CONFIG: file('config'), BUILDX_NO_DEFAULT_ATTESTATIONS: '1' })

  before(async () => {
    daemon = await Daemon.start()
    fs.writeFileSync(file('htpasswd'), `ann:${bcrypt.hashSync('right', 4)}\n`)
    registry = await startGantryRegistry(daemon, REGISTRY, file('registry'), '--htpasswd', file('htpasswd'))
    const login = await as('login', '-u', 'ann', '-p', 'right', REGISTRY)
    assert.equal(login.code, 0, login.stderr)
    await daemon.ok('tag', 'busybox', `${REGISTRY}/base:1`)
    const pushed = await as('push', `${REGISTRY}/base:1`)
    assert.equal(pushed.code, 0, pushed.stderr)
  })

  after(async () => {
    await registry?.stop()
    await daemon?.remove()
  })

  const as = (...args: string[]) => daemon.dockerWith({ env: env() }, ...args)

  function build(dockerfile: string, args: string[], more: Record<string, string> = {}) {
    const context = fs.mkdtempSync(file('context-'))
    fs.writeFileSync(path.join(context, 'Dockerfile'), dockerfile)
    return daemon.dockerWith({ env: { ...env(), ...more } }, 'build', ...args, context)
  }

  for (const buildkit of ['1', '0']) {
    test(`a base that is not here is pulled (BuildKit ${buildkit})`, async () => {
      await daemon.docker('rmi', '-f', `${REGISTRY}/base:1`)
      const dockerfile = `FROM ${REGISTRY}/base:1\nRUN echo made > /made\n`
      const tag = `pulled:${buildkit}`
      const { code, stderr } = await build(dockerfile, ['-t', tag], { DOCKER_BUILDKIT: buildkit })
      assert.equal(code, 0, stderr)
      assert.equal(await daemon.ok('run', '--rm', '--network', 'none', tag, 'cat', '/made'), 'made')
    })
  }

  test('without credentials it is not', async () => {
    await daemon.docker('rmi', '-f', `${REGISTRY}/base:1`)
    const { code, stderr } = await build(`FROM ${REGISTRY}/base:1\n`, [], { DOCKER_CONFIG: file('nobody') })
    assert.notEqual(code, 0)
    assert.match(stderr, /failed to resolve source metadata for 127\.0\.0\.1:5006\/base:1/)
  })

  test('--pull takes what the registry has now', async () => {
    const context = `FROM ${REGISTRY}/base:1\nRUN cat /newer\n`
    const made = await build('FROM busybox\nRUN echo newer > /newer\n', ['-t', `${REGISTRY}/base:1`])
    assert.equal(made.code, 0, made.stderr)
    assert.equal((await as('push', `${REGISTRY}/base:1`)).code, 0)
    await daemon.ok('tag', 'busybox', `${REGISTRY}/base:1`)
    assert.notEqual((await build(context, [])).code, 0)
    const pulled = await build(context, ['--pull'])
    assert.equal(pulled.code, 0, pulled.stderr)
  })

  test('what was built is pushed', async () => {
    const name = `${REGISTRY}/made:1`
    const { code, stderr } = await build('FROM busybox\nLABEL made=yes\n', ['-t', name, '--push'])
    assert.equal(code, 0, stderr)
    await daemon.ok('rmi', '-f', name)
    const pulled = await as('pull', name)
    assert.equal(pulled.code, 0, pulled.stderr)
    assert.equal(await daemon.ok('inspect', '--format', '{{.Config.Labels.made}}', name), 'yes')
  })

  test('for several platforms an index is pushed, and the own platform is kept', async () => {
    const name = `${REGISTRY}/several:1`
    const several = 'FROM scratch\nARG TARGETARCH\nLABEL arch=$TARGETARCH\nCOPY Dockerfile /\n'
    const args = ['--platform', 'linux/amd64,linux/arm64', '-t', name]
    const pushed = await build(several, [...args, '--push'])
    assert.equal(pushed.code, 0, pushed.stderr)
    for (const arch of ['arm64', 'amd64']) {
      const pulled = await as('pull', '--platform', `linux/${arch}`, name)
      assert.equal(pulled.code, 0, pulled.stderr)
      assert.equal(await daemon.ok('inspect', '--format', '{{.Config.Labels.arch}}', name), arch)
    }
    await daemon.ok('rmi', '-f', name)
    const kept = await build(several, args)
    assert.equal(kept.code, 0, kept.stderr)
    const own = process.arch === 'x64' ? 'amd64' : process.arch
    assert.equal(await daemon.ok('inspect', '--format', '{{.Config.Labels.arch}}', name), own)
  })

  test('check=error=true makes warnings errors', async () => {
    const { code, stderr } = await build('# check=error=true\nFROM busybox AS Big\n', [])
    assert.notEqual(code, 0)
    assert.match(stderr, /lint violation found for rules: StageNameCasing/)
  })
})
