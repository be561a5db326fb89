/**
 * Other people's clients against our registry, and our client against docker-registry: open, with passwords, with TLS, with both.
 *
 * Clients are taken from the PATH, two of them from Debian's packages where they are not there. Those of another root are used where the environment names it: `PEERS_ENTER` is a command that runs a
 * program there, `PEERS_ROOT` its root as a path here, `PEERS_ADDRESS` the address under which it reaches this machine, and `PEERS_DOCKER`
 * the socket of a Docker there that takes any certificate of that address.
 */
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import * as fs from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import * as path from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import bcrypt from 'bcryptjs'
import { digestOf } from '../src/image/digest.ts'
import { tarOf } from '../src/image/fixtures.ts'
import { layerBlobs } from '../src/image/stored-image.ts'
import { type Descriptor, type Image, type Index, mediaTypes } from '../src/image/types.ts'
import { Registries } from '../src/registry/registries.ts'
import { Passwords } from '../src/registry/server/passwords.ts'
import { defer, folder, imageStore, keep, makeImage, startRegistry } from '../src/registry/testing/kit.ts'
import { selfSigned } from './support/certificate.ts'
import { debianPackageOrReason, debianProgram } from './support/debian.ts'
import { eventually } from './support/eventually.ts'

const run = promisify(execFile)
const { PEERS_ENTER, PEERS_ROOT = '/', PEERS_ADDRESS = '127.0.0.1', PEERS_DOCKER, PATH = '' } = process.env

const isInstalled = (program: string) =>
  (PEERS_ENTER === undefined ? PATH.split(':') : ['usr/bin', 'usr/local/bin']).some(place =>
    fs.existsSync(path.resolve(PEERS_ENTER === undefined ? '/' : PEERS_ROOT, place, program)),
  )

/** What skopeo and buildah need beside the C library. */
const LIBRARIES = ['libgpgme11', 'libassuan0', 'libgpg-error0', 'libdevmapper1.02.1']

/** Programs that are not installed, as they come in Debian's packages; or why they cannot be had. */
const unpacked = new Map<string, ReturnType<typeof debianProgram>>()
for (const program of ['skopeo', 'buildah']) {
  if (PEERS_ENTER !== undefined || isInstalled(program)) continue
  const isFit = program !== 'buildah' || process.getuid?.() === 0
  unpacked.set(program, isFit ? debianProgram(program, LIBRARIES) : { reason: 'needs root' })
}

/** Why a test with `program` cannot run, or `false`. */
function missing(program: string): string | false {
  const found = unpacked.get(program)
  if (found) return 'reason' in found ? found.reason : false
  return isInstalled(program) ? false : `${program} is not installed`
}

const USER = { username: 'ann', password: 'secret' }

/** How a registry is to be reached. */
interface Place {
  host: string
  auth?: typeof USER
  /** Path of a folder with `ca.crt`, and of one with `config.json`, as the clients see them. */
  certs?: string
  config: string
}

/** A folder for the clients: its path here, and as they see it. */
function shared(t: TestContext): { here: string; there: string } {
  const here = fs.mkdtempSync(path.join(PEERS_ROOT, 'tmp/gantry-peers-'))
  defer(t, () => fs.rmSync(here, { recursive: true, force: true }))
  fs.mkdirSync(path.join(here, '.config/containers'), { recursive: true })
  const policy = '{"default":[{"type":"insecureAcceptAnything"}]}'
  fs.writeFileSync(path.join(here, '.config/containers/policy.json'), policy)
  return { here, there: path.join('/', path.relative(PEERS_ROOT, here)) }
}

async function peer(command: string[], env: Record<string, string> = {}): Promise<string> {
  const [program, ...args] = command
  const found = unpacked.get(program!)
  const own = found && 'file' in found ? found : { file: program!, env: {} }
  const variables = Object.entries({ ...own.env, ...env }).map(([name, value]) => `${name}=${value}`)
  const all = [...(PEERS_ENTER?.split(' ') ?? []), 'env', ...variables, own.file, ...args]
  try {
    return (await run(all[0]!, all.slice(1), { timeout: 120_000 })).stdout.trim()
  } catch (error) {
    throw new Error(`${command.join(' ')}: ${(error as { stderr?: string }).stderr ?? error}`)
  }
}

/** For {@link PEERS_ADDRESS}. */
function certificate(t: TestContext): { cert: Buffer; key: Buffer } {
  const { cert, key } = selfSigned(folder(t), 'registry', PEERS_ADDRESS)
  return { cert: fs.readFileSync(cert), key: fs.readFileSync(key) }
}

function htpasswd(t: TestContext): string {
  const file = path.join(folder(t), 'htpasswd')
  fs.writeFileSync(file, `${USER.username}:${bcrypt.hashSync(USER.password, 5)}\n`)
  return file
}

/** An image whose layers are archives, which those who unpack can unpack. */
function realImage(): Image {
  const image = makeImage(7, [])
  const tars = ['first', 'second'].map(name =>
    tarOf({ [name]: { content: `${name}\n`.repeat(5000), mode: 0o644 } }),
  )
  const layers = tars.map(tar => ({
    digest: digestOf(tar),
    diffId: digestOf(tar),
    size: tar.length,
    mediaType: mediaTypes.ociLayer,
    open: async () => (await import('node:stream')).Readable.from([tar]),
  }))
  const config = {
    ...image.config,
    rootfs: { type: 'layers' as const, diff_ids: tars.map(tar => digestOf(tar)) },
  }
  const configBytes = Buffer.from(JSON.stringify(config))
  const manifest = {
    ...image.manifest,
    config: { mediaType: mediaTypes.ociConfig, digest: digestOf(configBytes), size: configBytes.length },
    layers: layers.map(({ digest, size, mediaType }) => ({ digest, size, mediaType })),
  }
  const manifestBytes = Buffer.from(JSON.stringify(manifest))
  return { ...image, digest: digestOf(manifestBytes), manifest, manifestBytes, config, configBytes, layers }
}

/** Client to what it does with `from`: bring it under `to`, and say the image's id or digest if it does. */
const clients: Record<string, (from: string, to: string, place: Place, work: string) => Promise<string>> = {
  async skopeo(from, to, { auth, certs }) {
    const side = (which: string) => [
      ...(certs ? [`--${which}-cert-dir=${certs}`] : [`--${which}-tls-verify=false`]),
      ...(auth ? [`--${which}-creds=${auth.username}:${auth.password}`] : []),
    ]
    const what = [`docker://${from}`, `docker://${to}`]
    await peer(['skopeo', '--insecure-policy', 'copy', ...side('src'), ...side('dest'), ...what])
    return ''
  },
  async crane(from, to, { certs, config }) {
    const env = { DOCKER_CONFIG: config, ...(certs && { SSL_CERT_FILE: `${certs}/ca.crt` }) }
    await peer(['crane', 'copy', ...(certs ? [] : ['--insecure']), from, to], env)
    return peer(['crane', 'digest', ...(certs ? [] : ['--insecure']), to], env)
  },
  buildah: (from, to, place, work) => withStorage('buildah', from, to, place, work),
  podman: (from, to, place, work) => withStorage('podman', from, to, place, work),
}

async function withStorage(
  program: string,
  from: string,
  to: string,
  { auth, certs }: Place,
  work: string,
): Promise<string> {
  const own = [program, '--storage-driver=vfs', `--root=${work}/root`, `--runroot=${work}/run`]
  const access = [
    ...(certs ? [`--cert-dir=${certs}`] : ['--tls-verify=false']),
    ...(auth ? [`--creds=${auth.username}:${auth.password}`] : []),
  ]
  // Where they look for their rules.
  const env = { HOME: work }
  const id = await peer([...own, 'pull', '-q', ...access, from], env)
  await peer([...own, 'push', '-q', ...access, id, `docker://${to}`], env)
  return `sha256:${id.replace('sha256:', '')}`
}

if (PEERS_DOCKER !== undefined) {
  clients['docker'] = async (from, to, { config }) => {
    const docker = async (...args: string[]) =>
      (
        await run('docker', args, {
          env: { ...process.env, DOCKER_HOST: PEERS_DOCKER, DOCKER_CONFIG: config },
        })
      ).stdout
    try {
      const pulled = await docker('pull', from)
      await docker('tag', from, to)
      await docker('push', to)
      return /sha256:[0-9a-f]{64}/.exec(pulled)![0]
    } finally {
      await docker('rmi', '-f', from, to).catch(() => {})
    }
  }
}

const kinds = [
  ['open', false, false],
  ['with passwords', true, false],
  ['with TLS', false, true],
  ['with passwords and TLS', true, true],
] as const

for (const [client, copy] of Object.entries(clients)) {
  const skip = client === 'docker' ? false : missing(client)
  for (const [kind, withPasswords, withTls] of kinds) {
    test(`${client} pulls from and pushes to our registry, ${kind}`, { skip }, async t => {
      const tls = withTls ? certificate(t) : undefined
      const access = withPasswords ? { passwords: new Passwords(htpasswd(t)) } : {}
      const { host } = await startRegistry(t, { host: PEERS_ADDRESS, access, ...(tls && { tls }) })
      const { here, there } = shared(t)
      const token = Buffer.from(`${USER.username}:${USER.password}`).toString('base64')
      const auths = withPasswords ? { [host]: { auth: token } } : {}
      fs.writeFileSync(path.join(here, 'config.json'), JSON.stringify({ auths }))
      if (tls) fs.writeFileSync(path.join(here, 'ca.crt'), tls.cert)
      const auth = withPasswords ? { auth: USER } : {}
      const config = client === 'docker' ? here : there
      const place: Place = { host, config, ...auth, ...(tls && { certs: there }) }
      const certsDirs = tls ? [path.join(here, 'certs.d')] : []
      if (tls) {
        fs.mkdirSync(path.join(here, 'certs.d', host), { recursive: true })
        fs.copyFileSync(path.join(here, 'ca.crt'), path.join(here, 'certs.d', host, 'ca.crt'))
      }
      const settings = { certsDirs, ...(tls ? {} : { insecureRegistries: [host] }) }

      const image = realImage()
      const store = imageStore(t)
      await keep(store, image, `${host}/team/one:1`)
      const [pushed] = await new Registries(store, settings).push(`${host}/team/one:1`, auth)
      const said = await copy(`${host}/team/one:1`, `${host}/team/two:2`, place, there)
      if (said !== '')
        assert.ok([pushed!.digest, image.manifest.config.digest].includes(said as Descriptor['digest']), said)
      const others = imageStore(t)
      const [pulled] = await new Registries(others, settings).pull(`${host}/team/two:2`, auth)
      // Those that unpack may pack again; what is inside is the same.
      assert.equal(pulled!.imageId, image.manifest.config.digest)
      if (client === 'skopeo' || client === 'crane') assert.equal(pulled!.digest, pushed!.digest)
      assert.equal(layerBlobs(others.all()[0]!.image).length, 2)
    })
  }
}

const chain = PEERS_DOCKER !== undefined && isInstalled('podman') ? false : 'needs PEERS_DOCKER and podman'

test('pushed by Docker, pulled and pushed by us, pulled by Podman: one digest', { skip: chain }, async t => {
  const { host } = await startRegistry(t, { host: PEERS_ADDRESS })
  const { here, there } = shared(t)
  const settings = { certsDirs: [], insecureRegistries: [host] }
  const archive = path.join(here, 'rootfs.tar')
  fs.writeFileSync(archive, tarOf({ file: { content: 'x'.repeat(100_000), mode: 0o644 } }))
  const docker = async (...args: string[]) =>
    (await run('docker', args, { env: { ...process.env, DOCKER_HOST: PEERS_DOCKER } })).stdout
  const [first, second] = [`${host}/from/docker:1`, `${host}/from/gantry:1`]
  let digest: string
  try {
    await docker('import', archive, first)
    digest = /digest: (sha256:[0-9a-f]{64})/.exec(await docker('push', first))![1]!
  } finally {
    await docker('rmi', '-f', first).catch(() => {})
  }
  const store = imageStore(t)
  const registries = new Registries(store, settings)
  const [pulled] = await registries.pull(first)
  await store.tag(first, second)
  const [pushed] = await registries.push(second)
  const own = ['podman', '--storage-driver=vfs', `--root=${there}/root`, `--runroot=${there}/run`]
  const id = await peer([...own, 'pull', '-q', '--tls-verify=false', second])
  const theirs = await peer([...own, 'image', 'inspect', '--format={{.Digest}}', id])
  assert.deepEqual([pulled!.digest, pushed!.digest, theirs], [digest, digest, digest])
})

const registry = debianPackageOrReason('docker-registry')

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
}

/** Debian's package of the registry that most people run. */
async function dockerRegistry(
  t: TestContext,
  program: string,
  tls: { cert: Buffer; key: Buffer } | undefined,
): Promise<string> {
  const place = folder(t)
  const port = await freePort()
  const files =
    tls && Object.entries(tls).map(([name, bytes]) => [name, path.join(place, name), bytes] as const)
  for (const [, file, bytes] of files ?? []) fs.writeFileSync(file, bytes)
  const [cert, key] = (files ?? []).map(([, file]) => file)
  fs.writeFileSync(
    path.join(place, 'config.yml'),
    `version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: ${place}/data}, delete: {enabled: true}}
http: {addr: "127.0.0.1:${port}"${tls ? `, tls: {certificate: ${cert}, key: ${key}}` : ''}}
auth: {htpasswd: {realm: test, path: ${htpasswd(t)}}}
`,
  )
  const child = spawn(program, ['serve', path.join(place, 'config.yml')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  child.stderr.on('data', chunk => (said += chunk))
  const gone = new Promise(resolve => child.once('exit', resolve))
  defer(t, async () => {
    child.kill('SIGKILL')
    await gone
  })
  await eventually(async () => {
    if (child.exitCode !== null) throw new Error(said)
    const answer = await fetch(`http://127.0.0.1:${port}/v2/`).catch(() => undefined)
    assert.ok(answer !== undefined, said)
  })
  return `127.0.0.1:${port}`
}

for (const withTls of [false, true]) {
  const name = `docker-registry takes and gives what we push and pull, with passwords${withTls ? ' and TLS' : ''}`
  test(name, { skip: 'reason' in registry ? registry.reason : false }, async t => {
    if ('reason' in registry) return
    const program = path.join(registry.folder, 'usr/bin/docker-registry')
    const tls = withTls ? certificate(t) : undefined
    const host = await dockerRegistry(t, program, tls)
    const auth = USER
    const store = imageStore(t)
    const registries = new Registries(store)
    await registries.login({ ...auth, serverAddress: host })
    await assert.rejects(registries.login({ ...auth, password: 'wrong', serverAddress: host }), /401/)
    const images = [true, false].map((oci, i) => makeImage(i + 1, [1_000_000, 20], oci))
    for (const [i, image] of images.entries()) {
      await keep(store, image, `${host}/team/app:v${i}`)
      const [pushed] = await registries.push(`${host}/team/app:v${i}`, { auth })
      assert.equal(pushed!.digest, image.digest)
      const [pulled] = await new Registries(imageStore(t)).pull(`${host}/team/app:v${i}`, { auth })
      assert.equal(pulled!.digest, image.digest)
    }
    await assert.rejects(
      new Registries(imageStore(t)).pull(`${host}/team/app:v0`),
      /no basic auth credentials/,
    )

    const [first, second] = images
    const entry = (image: Image, architecture: string) => ({
      mediaType: image.mediaType,
      digest: image.digest,
      size: image.manifestBytes.length,
      platform: { os: 'linux', architecture },
    })
    const index: Index = {
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests: [entry(first!, 'amd64'), entry(second!, 'arm64')],
    }
    const bytes = Buffer.from(JSON.stringify(index))
    const reference = { domain: host, path: 'team/app', tag: 'all' }
    await registries.withRepository(reference, 'pull,push', { auth }, repository =>
      repository.putManifest('all', bytes, mediaTypes.ociIndex),
    )
    for (const [architecture, image] of [
      ['amd64', first],
      ['arm64', second],
    ] as const) {
      const [pulled] = await new Registries(imageStore(t)).pull(`${host}/team/app:all`, {
        auth,
        platform: { os: 'linux', architecture },
      })
      assert.deepEqual([pulled!.digest, pulled!.imageId], [digestOf(bytes), image!.manifest.config.digest])
    }
  })
}
