/** Images go to a registry and come back, by the real docker client. */
import assert from 'node:assert/strict'
import * as path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { cannotRunDaemon, Daemon } from './support/daemon.ts'
import { leftovers } from './support/leftovers.ts'
import { loadNoise } from './support/noise.ts'
import { type Beside, startGantryRegistry } from './support/registry.ts'

const HOST = '127.0.0.1:5000'
const DIGEST = /sha256:[0-9a-f]{64}/

describe('a registry and its client', { skip: cannotRunDaemon() }, () => {
  let daemon: Daemon
  let registry: Beside
  let elsewhere: Beside

  before(async () => {
    daemon = await Daemon.start({ args: ['--insecure-registry', '10.0.0.0/8'] })
    registry = await startGantryRegistry(daemon, HOST, path.join(daemon.folder, 'registry'))
    elsewhere = await startGantryRegistry(daemon, '127.0.0.1:5001', path.join(daemon.folder, 'elsewhere'))
  })

  after(async () => {
    await registry?.stop()
    await elsewhere?.stop()
    await daemon?.remove()
    assert.deepEqual(leftovers(daemon), [])
  })

  /** The docker client in the daemon's network: some commands ask the registry themselves. */
  const inside = (...args: string[]) =>
    daemon.inNetwork(
      'env',
      `DOCKER_HOST=${daemon.host}`,
      'DOCKER_CLI_EXPERIMENTAL=enabled',
      'docker',
      ...args,
    )

  /** Push an image under `name` and forget it here. @returns its digest */
  async function publish(name: string, source = 'busybox'): Promise<string> {
    await daemon.ok('tag', source, name)
    const digest = DIGEST.exec(await daemon.ok('push', name))![0]
    await daemon.ok('rmi', name)
    return digest
  }

  test('push, rmi, pull: the lines that Docker draws, the same digest', async () => {
    const name = `${HOST}/shop/box:1`
    await daemon.ok('tag', 'busybox', name)
    const pushed = (await daemon.ok('push', name)).split('\n')
    assert.equal(pushed[0], `The push refers to repository [${HOST}/shop/box]`)
    const layer = /^([0-9a-f]{12}): Preparing$/.exec(pushed[1]!)![1]
    assert.equal(pushed.at(-2), `${layer}: Pushed`)
    const [, digest, size] = /^1: digest: (sha256:[0-9a-f]{64}) size: (\d+)$/.exec(pushed.at(-1)!)!
    const repoDigests = await daemon.ok('inspect', '-f', '{{json .RepoDigests}}', name)
    assert.deepEqual(JSON.parse(repoDigests), [`${HOST}/shop/box@${digest}`])
    assert.match(await daemon.ok('images', '--digests'), new RegExp(`^${HOST}/shop/box +1 +${digest} `, 'm'))
    const again = await daemon.ok('push', name)
    assert.match(again, new RegExp(`^${layer}: Layer already exists$`, 'm'))
    assert.match(again, new RegExp(`^1: digest: ${digest} size: ${size}$`, 'm'))
    await daemon.ok('rmi', name, 'busybox')
    const pulled = (await daemon.ok('pull', name)).split('\n')
    assert.equal(pulled[0], '1: Pulling from shop/box')
    const blob = /^([0-9a-f]{12}): Pulling fs layer$/.exec(pulled[1]!)![1]
    const steps = ['Verifying Checksum', 'Download complete', 'Pull complete']
    assert.deepEqual(pulled.slice(2), [
      ...steps.map(step => `${blob}: ${step}`),
      `Digest: ${digest}`,
      `Status: Downloaded newer image for ${name}`,
      name,
    ])
    assert.deepEqual((await daemon.ok('pull', name)).split('\n'), [
      '1: Pulling from shop/box',
      `Digest: ${digest}`,
      `Status: Image is up to date for ${name}`,
      name,
    ])
    assert.equal(await daemon.ok('pull', '-q', name), name)
    await daemon.ok('tag', name, 'busybox')
  })

  test('run fetches what is not there', async () => {
    const name = `${HOST}/shop/run:1`
    const digest = await publish(name)
    const { stdout, stderr, code } = await daemon.docker('run', '--rm', name, 'echo', 'here')
    assert.deepEqual([stdout, code], ['here\n', 0])
    assert.match(stderr, new RegExp(`^Unable to find image '${name}' locally\n1: Pulling from shop/run\n`))
    assert.match(stderr, new RegExp(`Status: Downloaded newer image for ${name}\n$`))
    await daemon.ok('rmi', name)
    assert.equal(
      await daemon.ok('run', '--rm', '-q', `${HOST}/shop/run@${digest}`, 'echo', 'digest'),
      'digest',
    )
    assert.match(
      (await daemon.docker('run', '--rm', '--pull', 'never', `${HOST}/shop/none`, 'true')).stderr,
      /No such image: 127\.0\.0\.1:5000\/shop\/none:latest/,
    )
  })

  test('by tag and digest together', async () => {
    const name = `${HOST}/shop/both:1`
    const digest = await publish(name)
    const both = `${name}@${digest}`
    const canonical = `${HOST}/shop/both@${digest}`
    assert.match(
      await daemon.ok('pull', both),
      new RegExp(`Status: Downloaded newer image for ${canonical}\n${both}$`),
    )
    const names = await daemon.ok('inspect', '-f', '{{json .RepoTags}} {{json .RepoDigests}}', both)
    assert.ok(names.includes(`"${canonical}"`), names)
    assert.ok(!names.includes(`"${name}"`), 'a digest beside the tag gives no tag')
    await daemon.ok('rmi', both)
    const wrong = `${name}@sha256:${'0'.repeat(64)}`
    assert.match((await daemon.docker('pull', wrong)).stderr, /manifest unknown/)
  })

  test('all tags at once', async () => {
    const repository = `${HOST}/shop/many`
    for (const tag of ['1', '2', 'three']) await daemon.ok('tag', 'busybox', `${repository}:${tag}`)
    const pushed = await daemon.ok('push', '-a', repository)
    for (const tag of ['1', '2', 'three']) assert.match(pushed, new RegExp(`^${tag}: digest: sha256:`, 'm'))
    await daemon.ok('rmi', `${repository}:1`, `${repository}:2`, `${repository}:three`)
    const pulled = await daemon.ok('pull', '-a', repository)
    assert.match(pulled, /^1: Pulling from shop\/many$/m)
    assert.match(pulled, new RegExp(`Status: Downloaded newer image for ${repository}\n${repository}$`))
    const tags = await daemon.ok('images', '--format', '{{.Tag}}', repository)
    assert.deepEqual(tags.split('\n').sort(), ['1', '2', 'three'])
  })

  test('what stands behind a name: manifest inspect, distribution', async () => {
    const name = `${HOST}/shop/inspect:1`
    const digest = await publish(name)
    const manifest = JSON.parse(inside('manifest', 'inspect', '--insecure', name))
    assert.match(manifest.layers[0].mediaType, /\+gzip$/)
    const { status, body } = await daemon.api('GET', `/distribution/${name}/json`)
    assert.equal(status, 200)
    assert.equal(body.Descriptor.digest, digest)
    assert.deepEqual(body.Platforms, [{ architecture: 'amd64', os: 'linux' }])
    const missing = await daemon.api('GET', `/distribution/${HOST}/shop/none:1/json`)
    assert.deepEqual([missing.status, missing.body.message], [404, 'manifest unknown: manifest unknown'])
  })

  test('an index for several platforms', async () => {
    const name = `${HOST}/shop/multi`
    const arm = await importEmpty('linux/arm64')
    await daemon.ok('tag', arm, `${name}:arm64`)
    await daemon.ok('tag', 'busybox', `${name}:amd64`)
    await daemon.ok('push', `${name}:arm64`)
    await daemon.ok('push', `${name}:amd64`)
    inside('manifest', 'create', '--insecure', `${name}:1`, `${name}:amd64`, `${name}:arm64`)
    const digest = inside('manifest', 'push', '--insecure', '--purge', `${name}:1`).trim()
    const { body } = await daemon.api('GET', `/distribution/${name}:1/json`)
    assert.deepEqual(body.Platforms.map((each: { architecture: string }) => each.architecture).sort(), [
      'amd64',
      'arm64',
    ])
    assert.equal(body.Descriptor.digest, digest)
    assert.match(await daemon.ok('pull', `${name}:1`), new RegExp(`Digest: ${digest}`))
    assert.equal(await daemon.ok('inspect', '-f', '{{.Architecture}}', `${name}:1`), 'amd64')
    await daemon.ok('pull', '--platform', 'linux/arm64', `${name}:1`)
    assert.equal(await daemon.ok('inspect', '-f', '{{.Architecture}}', `${name}:1`), 'arm64')
    await daemon.ok('pull', `${name}:1`)
    assert.equal(await daemon.ok('inspect', '-f', '{{.Architecture}}', `${name}:1`), 'amd64')
    // Could be run where the other is asked for, and is not what is asked for.
    const v6 = await importEmpty('linux/arm/v6')
    await daemon.ok('tag', v6, `${name}:v6`)
    await daemon.ok('push', `${name}:v6`)
    inside('manifest', 'create', '--insecure', `${name}:2`, `${name}:v6`, `${name}:arm64`)
    inside('manifest', 'push', '--insecure', '--purge', `${name}:2`)
    for (const [platform, architecture] of [
      ['linux/arm/v6', 'arm'],
      ['linux/arm64', 'arm64'],
      ['linux/arm/v7', 'arm'],
    ] as const) {
      await daemon.ok('pull', '--platform', platform, `${name}:2`)
      assert.equal(await daemon.ok('inspect', '-f', '{{.Architecture}}', `${name}:2`), architecture)
    }
    const none = await daemon.docker('pull', '--platform', 'linux/s390x', `${name}:1`)
    assert.match(none.stderr, /no matching manifest for linux\/s390x in the manifest list entries/)
    const wrong = await daemon.docker('push', '--platform', 'linux/s390x', `${name}:arm64`)
    assert.match(wrong.stderr, /was found but does not provide the specified platform \(linux\/s390x\)/)
    assert.equal((await daemon.docker('push', '--platform', 'linux/arm64', `${name}:arm64`)).code, 0)
  })

  async function importEmpty(platform: string): Promise<string> {
    const input = Buffer.alloc(1024)
    const { stdout, stderr, code } = await daemon.dockerWith({ input }, 'import', '--platform', platform, '-')
    assert.equal(code, 0, stderr)
    return stdout.trim()
  }

  test('load, push, pull, push elsewhere, pull: one digest', async () => {
    await loadNoise(daemon, 'noise:1', [300_000, 20, 3_000_000])
    const first = await publish(`${HOST}/shop/noise:1`, 'noise:1')
    assert.match(await daemon.ok('pull', `${HOST}/shop/noise:1`), new RegExp(`Digest: ${first}`))
    const second = await publish('127.0.0.1:5001/other/noise:2', `${HOST}/shop/noise:1`)
    assert.equal(second, first)
    await daemon.ok('rmi', '-f', `${HOST}/shop/noise:1`, 'noise:1')
    assert.match(await daemon.ok('pull', '127.0.0.1:5001/other/noise:2'), new RegExp(`Digest: ${first}`))
    const mounted = await (async () => {
      await daemon.ok('tag', '127.0.0.1:5001/other/noise:2', '127.0.0.1:5001/copy/noise:2')
      return daemon.ok('push', '127.0.0.1:5001/copy/noise:2')
    })()
    assert.equal(mounted.match(/: Mounted from other\/noise$/gm)?.length, 3)
  })

  test('images of 20 and of 300 layers', async () => {
    for (const count of [20, 300]) {
      const name = `${HOST}/shop/layers:${count}`
      await loadNoise(
        daemon,
        `layers:${count}`,
        Array.from({ length: count }, () => 2000),
      )
      const digest = await publish(name, `layers:${count}`)
      await daemon.ok('rmi', `layers:${count}`)
      assert.match(await daemon.ok('pull', name), new RegExp(`Digest: ${digest}`))
      assert.equal(await daemon.ok('inspect', '-f', '{{len .RootFS.Layers}}', name), String(count))
      await daemon.ok('create', '--name', `of-${count}`, name)
      await daemon.ok('cp', `of-${count}:/noise-${count - 1}`, path.join(daemon.folder, 'noise'))
      await daemon.ok('rm', `of-${count}`)
    }
  })

  test("names over the API: Docker's statuses and words", async () => {
    const digest = await publish(`${HOST}/shop/words:1`)
    const zeros = `sha256:${'0'.repeat(64)}`
    const create = (name: string, tag: string) =>
      `POST /images/create?fromImage=${encodeURIComponent(name)}&tag=${encodeURIComponent(tag)}`
    const cases: [request: string, status: number, message: string][] = [
      [create(`${HOST}/a`, '-x'), 400, 'invalid tag format'],
      [create(`${HOST}/a`, 'md5:00'), 400, 'invalid tag format'],
      [create(`${HOST}/a@sha256:${'0'.repeat(63)}`, '1'), 400, 'invalid checksum digest length'],
      [create(`${HOST}/A`, '1'), 400, 'invalid reference format: repository name (A) must be lowercase'],
      [
        create(`${HOST}/${'a'.repeat(256)}`, '1'),
        400,
        'repository name must not be more than 255 characters',
      ],
      [
        create(`${HOST}/none:1`, zeros),
        404,
        `manifest for ${HOST}/none@${zeros} not found: manifest unknown: manifest unknown`,
      ],
      [`POST /images/${HOST}/a/push?tag=-x`, 400, 'invalid tag format'],
      [`POST /images/${HOST}/a@${zeros}/push?tag=1`, 400, 'cannot import digest reference'],
      [
        'POST /images/A/tag?repo=x',
        404,
        'invalid reference format: repository name (library/A) must be lowercase',
      ],
      [`POST /images/none/tag?repo=x@${zeros}`, 400, 'cannot import digest reference'],
      [
        'POST /images/none/tag?repo=sha256&tag=1',
        400,
        'refusing to create an ambiguous tag using digest algorithm as name',
      ],
      [`GET /distribution/${zeros}/json`, 500, 'no manifest found for full image ID'],
      [
        'GET /images/search?term=x&limit=many',
        400,
        'invalid limit specified: strconv.Atoi: parsing "many": invalid syntax',
      ],
      [
        'GET /images/search?term=a://b&limit=200',
        400,
        'invalid repository name: repository name (a://b) should not have a scheme',
      ],
    ]
    for (const [request, status, message] of cases) {
      const [method, url] = request.split(' ') as [string, string]
      const answer = await daemon.api(method, url)
      assert.deepEqual([answer.status, answer.body.message], [status, message], request)
    }
    const lines = async (request: string) => (await daemon.api('POST', request)).body
    const byDigest = `${HOST}/shop/words@${digest}`
    const pulled = await lines(`/images/create?fromImage=${HOST}/shop/words&tag=${digest}`)
    assert.deepEqual(pulled[0], { status: 'Pulling from shop/words', id: byDigest })
    // The image is here under another name: its layers are not worth a word.
    assert.deepEqual(pulled.slice(1), [
      { status: `Digest: ${digest}` },
      { status: `Status: Downloaded newer image for ${byDigest}` },
    ])
    assert.deepEqual(await lines(`/images/${byDigest}/push`), [
      { status: `The push refers to repository [${HOST}/shop/words]` },
      { errorDetail: { message: 'cannot push a digest reference' }, error: 'cannot push a digest reference' },
    ])
    await daemon.ok('rmi', byDigest)
  })

  test("what cannot be pulled or pushed, in Docker's words", async () => {
    await publish(`${HOST}/shop/known:1`)
    const cases: [string[], RegExp][] = [
      [
        ['pull', `${HOST}/shop/known:2`],
        /^Error response from daemon: manifest for 127\.0\.0\.1:5000\/shop\/known:2 not found: manifest unknown/,
      ],
      [
        ['pull', `${HOST}/no/such`],
        /^Error response from daemon: (?:manifest for 127\.0\.0\.1:5000\/no\/such:latest|repository 127\.0\.0\.1:5000\/no\/such) not found: /,
      ],
      [
        ['pull', '127.0.0.1:1/away'],
        /^Error response from daemon: .*dial tcp 127\.0\.0\.1:1: connect: connection refused/,
      ],
      [
        ['push', `${HOST}/not/here`],
        /^(?:The push refers to repository \[127\.0\.0\.1:5000\/not\/here\]\n)?An image does not exist locally with the tag: 127\.0\.0\.1:5000\/not\/here/,
      ],
      [['push', `${HOST}/shop/layers:7`], /^tag does not exist: 127\.0\.0\.1:5000\/shop\/layers:7/],
      [['pull', `${HOST}/UPPER`], /^invalid reference format: repository name \(UPPER\) must be lowercase/],
      [['pull', '-a', `${HOST}/shop/known:1`], /^tag can't be used with --all-tags\/-a/],
      [['pull', 'registry.invalid/x'], /no such host/],
    ]
    for (const [args, expected] of cases) {
      const { stderr, code } = await daemon.docker(...args)
      assert.equal(code, 1, args.join(' '))
      assert.match(stderr, expected)
    }
  })
})
