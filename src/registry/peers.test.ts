import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import * as fs from 'node:fs'
import { createServer } from 'node:net'
import * as path from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import bcrypt from 'bcryptjs'
import { Registries } from './registries.ts'
import { Passwords } from './server/passwords.ts'
import { defer, folder, imageStore, keep, makeImage, startRegistry } from './testing/kit.ts'

const run = promisify(execFile)
const has = (program: string) =>
  (process.env['PATH'] ?? '').split(':').some(place => fs.existsSync(path.join(place, program)))
const needs = (program: string) => (has(program) ? {} : { skip: `${program} is not installed` })

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise(resolve => server.close(resolve))
  return port
}

function htpasswd(t: TestContext): string {
  const file = path.join(folder(t), 'htpasswd')
  fs.writeFileSync(file, `ann:${bcrypt.hashSync('secret', 5)}\n`)
  return file
}

/** Debian's package of the registry that most people run. */
async function dockerRegistry(t: TestContext): Promise<string> {
  const port = await freePort()
  const config = path.join(folder(t), 'config.yml')
  fs.writeFileSync(
    config,
    `version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: ${folder(t)}}, delete: {enabled: true}}
http: {addr: "127.0.0.1:${port}"}
auth: {htpasswd: {realm: test, path: ${htpasswd(t)}}}
`,
  )
  const child = spawn('docker-registry', ['serve', config], { stdio: 'ignore' })
  defer(t, async () => {
    child.kill('SIGKILL')
    await new Promise(resolve => child.once('exit', resolve))
  })
  for (let i = 0; i < 100; i++) {
    if (await fetch(`http://127.0.0.1:${port}/v2/`).catch(() => undefined)) break
    await sleep(50)
  }
  return `127.0.0.1:${port}`
}

test('docker-registry takes and gives what we push and pull', needs('docker-registry'), async t => {
  const host = await dockerRegistry(t)
  const auth = { username: 'ann', password: 'secret' }
  for (const oci of [true, false]) {
    const image = makeImage(oci ? 1 : 2, [1_000_000, 20], oci)
    const store = imageStore(t)
    await keep(store, image, `${host}/team/app:v`)
    const registries = new Registries(store)
    await registries.login({ ...auth, serverAddress: host })
    await registries.push(`${host}/team/app:v`, { auth })
    const [pulled] = await new Registries(imageStore(t)).pull(`${host}/team/app:v`, { auth })
    assert.equal(pulled!.digest, image.digest)
  }
})

test('skopeo copies to and from our registry', needs('skopeo'), async t => {
  const { host } = await startRegistry(t, { access: { passwords: new Passwords(htpasswd(t)) } })
  const auth = { username: 'ann', password: 'secret' }
  const image = makeImage(1, [100_000])
  const store = imageStore(t)
  await keep(store, image, `${host}/a:1`)
  await new Registries(store).push(`${host}/a:1`, { auth })
  const place = folder(t)
  const tls = ['--src-tls-verify=false', '--dest-tls-verify=false']
  const creds = ['--src-creds=ann:secret', '--dest-creds=ann:secret']
  await run('skopeo', [
    '--insecure-policy',
    'copy',
    ...tls,
    ...creds,
    `docker://${host}/a:1`,
    `docker://${host}/b:2`,
  ])
  await run('skopeo', [
    '--insecure-policy',
    'copy',
    tls[0]!,
    creds[0]!,
    `docker://${host}/b:2`,
    `oci:${place}:x`,
  ])
  const { stdout } = await run('skopeo', [
    'inspect',
    '--tls-verify=false',
    '--creds=ann:secret',
    '--format={{.Digest}}',
    `docker://${host}/b:2`,
  ])
  assert.equal(stdout.trim(), image.digest)
})
