/** Where a build can come to, and what it can start from, through the real buildx and compose; the history and the cache that it leaves. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { cannotRunDaemon, Daemon } from '../support/daemon.ts'
import { leftovers } from '../support/leftovers.ts'

const DOCKERFILE = `FROM busybox AS one
RUN echo first > /first
FROM busybox AS two
COPY --from=one /first /taken
RUN head -c 300000 /dev/urandom > /noise
`

describe('outputs of a build', { skip: cannotRunDaemon() }, () => {
  let daemon: Daemon
  let context: string

  before(async () => {
    daemon = await Daemon.start()
    context = write({ Dockerfile: DOCKERFILE })
  })

  after(async () => {
    await daemon?.remove()
    if (daemon !== undefined) assert.deepEqual(leftovers(daemon), [])
  })

  function write(files: Record<string, string>): string {
    const folder = fs.mkdtempSync(path.join(daemon.folder, 'context-'))
    for (const [name, content] of Object.entries(files)) fs.writeFileSync(path.join(folder, name), content)
    return folder
  }

  const file = (name: string) => path.join(daemon.folder, name)
  const docker = (...args: string[]) =>
    daemon.dockerWith({ env: { BUILDX_NO_DEFAULT_ATTESTATIONS: '1' } }, ...args)
  async function ok(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await docker(...args)
    assert.equal(code, 0, `docker ${args.join(' ')}: ${stderr}`)
    return stdout.trim()
  }
  const build = (...args: string[]) => ok('buildx', 'build', ...args, context)

  test('local: the files', async () => {
    await build('-o', `type=local,dest=${file('local')}`)
    assert.equal(fs.readFileSync(file('local/taken'), 'utf8'), 'first\n')
    assert.ok(fs.existsSync(file('local/bin/busybox')))
  })

  test('tar: the files in one', async () => {
    await build('-o', `type=tar,dest=${file('files.tar')}`)
    const text = execFileSync('tar', ['-xOf', file('files.tar'), 'taken'], { encoding: 'utf8' })
    assert.equal(text, 'first\n')
  })

  test('docker: an archive that is loaded, or loaded at once', async () => {
    await build('-o', `type=docker,dest=${file('docker.tar')},name=archived:1`)
    assert.match(await ok('load', '-i', file('docker.tar')), /archived:1/)
    await build('-o', 'type=docker,name=loaded:1')
    assert.equal(await ok('images', '-q', 'archived:1'), await ok('images', '-q', 'loaded:1'))
  })

  /** Every blob of a layout has its name. */
  function checkLayout(folder: string): void {
    const blobs = path.join(folder, 'blobs/sha256')
    assert.ok(fs.readdirSync(blobs).length >= 4)
    for (const name of fs.readdirSync(blobs)) {
      const sum = execFileSync('sha256sum', [path.join(blobs, name)], { encoding: 'utf8' })
      assert.equal(sum.split(' ')[0], name)
    }
  }

  test('oci: a layout in a tar, whole each time', async () => {
    for (let round = 0; round < 5; round++) {
      await build('-o', `type=oci,dest=${file('oci.tar')},name=layout:1`)
      const folder = fs.mkdtempSync(file('layout-'))
      execFileSync('tar', ['-xf', file('oci.tar'), '-C', folder])
      checkLayout(folder)
    }
  })

  test('oci: a layout as a folder, from which others build', async () => {
    const folder = file('folder')
    await build('-o', `type=oci,dest=${folder},tar=false,name=layout:1`)
    checkLayout(folder)
    const other = write({ Dockerfile: 'FROM start\nRUN cat /taken > /again\n' })
    const images = (await ok('images', '-aq')).split('\n').sort()
    const base = `start=oci-layout://${folder}`
    const index = JSON.parse(fs.readFileSync(path.join(folder, 'index.json'), 'utf8'))
    const { digest } = index.manifests[0]
    await ok(
      'buildx',
      'build',
      '--build-context',
      `${base}@${digest}`,
      '-o',
      `type=local,dest=${file('again')}`,
      other,
    )
    assert.equal(fs.readFileSync(file('again/again'), 'utf8'), 'first\n')
    assert.deepEqual((await ok('images', '-aq')).split('\n').sort(), images, 'what was lent was kept')
  })

  test('annotations are in the manifest', async () => {
    const folder = file('annotated')
    await build('-o', `type=oci,dest=${folder},tar=false`, '--annotation', 'org.example.said=so')
    const read = (name: string) => JSON.parse(fs.readFileSync(path.join(folder, name), 'utf8'))
    const { digest } = read('index.json').manifests[0]
    assert.deepEqual(read(`blobs/${digest.replace(':', '/')}`).annotations, { 'org.example.said': 'so' })
  })

  test('several at once', async () => {
    await build('-t', 'several', '-o', 'type=image', '-o', `type=local,dest=${file('several')}`)
    assert.ok(fs.existsSync(file('several/taken')))
    assert.match(await ok('images', '-q', 'several'), /^[0-9a-f]{12}$/)
  })

  test('nothing but the cache', async () => {
    const images = await ok('images', '-aq')
    await build('--no-cache', '-o', 'type=cacheonly')
    assert.equal(await ok('images', '-aq'), images)
  })

  test('--iidfile and --metadata-file', async () => {
    await build('-t', 'named', '--iidfile', file('id'), '--metadata-file', file('metadata'))
    const id = await ok('inspect', '-f', '{{.Id}}', 'named')
    assert.equal(fs.readFileSync(file('id'), 'utf8'), id)
    const metadata = JSON.parse(fs.readFileSync(file('metadata'), 'utf8'))
    assert.equal(metadata['containerimage.config.digest'], id)
    assert.equal(metadata['image.name'], 'named')
  })

  test('a platform that cannot be run here is told', { skip: canRunArm() }, async () => {
    const other = write({ Dockerfile: 'FROM scratch\nCOPY Dockerfile /\nRUN ["/Dockerfile"]\n' })
    const { code, stderr } = await docker('build', '--platform', 'linux/arm64', other)
    assert.notEqual(code, 0)
    assert.match(stderr, /cannot run linux\/arm64 here: this host has no binfmt_misc interpreter/)
  })

  test('--squash is refused', async () => {
    const { code, stderr } = await daemon.dockerWith(
      { env: { DOCKER_BUILDKIT: '0' } },
      'build',
      '--squash',
      context,
    )
    assert.notEqual(code, 0)
    assert.match(stderr, /squash/)
  })

  test('a compression that layers are not given is refused', async () => {
    const output = `type=oci,dest=${file('small.tar')},compression=zstd`
    const { code, stderr } = await docker('buildx', 'build', '-o', output, context)
    assert.notEqual(code, 0)
    assert.match(stderr, /compression zstd for the exporter oci is not implemented/)
  })

  test('why a program cannot be started is shown', async () => {
    const wanting = write({ Dockerfile: 'FROM busybox\nRUN ["/nosuch"]\n' })
    const { stderr } = await docker('build', '--progress=plain', wanting)
    assert.match(stderr, /exec: "\/nosuch": stat \/nosuch: no such file or directory/)
  })

  test('more than a step may is allowed by name only', async () => {
    const wanting = (flag: string) => write({ Dockerfile: `FROM busybox\nRUN ${flag} true\n` })
    for (const [flag, name] of [
      ['--network=host', 'network.host'],
      ['--security=insecure', 'security.insecure'],
    ] as const) {
      const refused = await docker('build', wanting(flag))
      assert.match(refused.stderr, new RegExp(`${name.replace('.', '\\.')} is not allowed`))
      await ok('buildx', 'build', '--allow', name, wanting(flag))
    }
  })

  test('the history is listed, shown and forgotten', async () => {
    await build('-t', 'remembered')
    const [newest] = (await ok('buildx', 'history', 'ls', '--format', '{{.Ref}}')).split('\n')
    const ref = newest!.split('/').at(-1)!
    assert.match(await ok('buildx', 'history', 'inspect', ref), /Build Steps:\s+\d+\/\d+ \(\d+% cached\)/)
    const logs = await docker('buildx', 'history', 'logs', ref)
    assert.match(logs.stdout + logs.stderr, /naming to docker\.io\/library\/remembered:latest/)
    await ok('buildx', 'history', 'rm', ref)
    assert.doesNotMatch(await ok('buildx', 'history', 'ls', '--format', '{{.Ref}}'), new RegExp(ref))
    const failed = await docker('build', write({ Dockerfile: 'FROM busybox\nRUN exit 3\n' }))
    assert.notEqual(failed.code, 0)
    assert.match(await ok('buildx', 'history', 'ls'), /Error/)
  })

  test('the cache is measured, and pruned by what it is asked', async () => {
    await ok('builder', 'prune', '-af')
    const cached = write({
      Dockerfile: 'FROM busybox\nRUN --mount=type=cache,target=/c echo x > /c/x\nRUN echo y > /y\n',
    })
    await ok('build', cached)
    const du = async (...args: string[]) =>
      (await ok('buildx', 'du', ...args)).split('\n').filter(line => /\s(true|false)\s/.test(line)).length
    assert.equal(await du(), 3)
    assert.equal(await du('--filter', 'type=exec.cachemount'), 1)
    await ok('builder', 'prune', '-f', '--filter', 'until=1h')
    assert.equal(await du(), 3, 'too young')
    await ok('builder', 'prune', '-f', '--keep-storage', '1gb')
    assert.equal(await du(), 3, 'small enough')
    await ok('buildx', 'prune', '-f', '--filter', 'type=exec.cachemount')
    assert.equal(await du(), 2)
    await ok('buildx', 'prune', '-f', '--max-used-space', '1gb')
    assert.equal(await du(), 2, 'less than it may be')
    await ok('builder', 'prune', '-af')
    assert.equal(await du(), 0)
  })

  test('compose builds with arguments, secrets, labels, a target and contexts', async () => {
    const folder = write({
      'compose.yaml': `services:
  app:
    image: composed
    build:
      context: .
      target: final
      args: { WORD: said }
      labels: { made: by-compose }
      secrets: [word]
      additional_contexts: { other: ./other }
      tags: [composed:too]
      dockerfile_inline: |
        FROM busybox AS final
        ARG WORD
        RUN --mount=type=secret,id=word echo $$WORD $$(wc -c < /run/secrets/word) > /said
        COPY --from=other file /file
        FROM busybox
secrets: { word: { file: ./secret } }
`,
      secret: 'abc',
    })
    fs.mkdirSync(path.join(folder, 'other'))
    fs.writeFileSync(path.join(folder, 'other/file'), 'from beside\n')
    await ok('compose', '--project-directory', folder, '-f', path.join(folder, 'compose.yaml'), 'build')
    const said = await ok('run', '--rm', '--network', 'none', 'composed:too', 'cat', '/said', '/file')
    assert.equal(said, 'said 3\nfrom beside')
    assert.equal(await ok('inspect', '-f', '{{.Config.Labels.made}}', 'composed'), 'by-compose')
  })

  test('compose and bake hand the result of one build to the next', async () => {
    const folder = write({
      file: 'from the base\n',
      'compose.yaml': `services:
  base:
    image: handed-base
    build: { context: ., dockerfile_inline: "FROM busybox\\nCOPY file /b\\nENV SAID=yes\\n" }
  app:
    image: handed-app
    build:
      context: .
      additional_contexts: { parent: "service:base" }
      dockerfile_inline: "FROM parent\\nRUN echo $$SAID >> /b\\n"
`,
      'bake.hcl': `target "base" {
  dockerfile-inline = "FROM busybox\\nCOPY file /b\\n"
}
target "app" {
  contexts = { taken = "target:base" }
  dockerfile-inline = "FROM scratch\\nCOPY --from=taken /b /bin/busybox /\\nCMD [\\"/busybox\\", \\"cat\\", \\"/b\\"]"
  tags = ["baked"]
}
`,
    })
    await ok('compose', '--project-directory', folder, '-f', path.join(folder, 'compose.yaml'), 'build')
    const said = await ok('run', '--rm', '--network', 'none', 'handed-app', 'cat', '/b')
    assert.equal(said, 'from the base\nyes')
    const images = (await ok('images', '-aq')).split('\n').length
    const bake = { env: { BUILDX_NO_DEFAULT_ATTESTATIONS: '1', BUILDX_BAKE_ENTITLEMENTS_FS: '0' } }
    const baked = await daemon.dockerWith(
      bake,
      'buildx',
      'bake',
      '-f',
      path.join(folder, 'bake.hcl'),
      '--set',
      `*.context=${folder}`,
      'app',
    )
    assert.equal(baked.code, 0, baked.stderr)
    assert.equal(await ok('run', '--rm', '--network', 'none', 'baked'), 'from the base')
    assert.equal((await ok('images', '-aq')).split('\n').length, images + 1, 'what was lent was kept')
  })
})

/** Whether a foreign program could run: then there is nothing to tell. */
function canRunArm(): string | false {
  if (process.arch !== 'x64') return 'the host is no x86-64'
  return fs.existsSync('/proc/sys/fs/binfmt_misc/qemu-aarch64') && 'this host runs them'
}
