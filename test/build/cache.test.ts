/** What one engine built is used by another: `--cache-to`, `--cache-from`, through the real client. */
import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { CacheConfig } from '../../src/build/cache/config.ts'
import { digestOf } from '../../src/image/digest.ts'
import { cannotRunDaemon, Daemon } from '../support/daemon.ts'
import { type Beside, startGantryRegistry } from '../support/registry.ts'

const REGISTRY = '127.0.0.1:5007'

/** Two stages; what the first makes is different each time. */
const TWO_STAGES = `FROM busybox AS build
COPY in.txt /in.txt
RUN cat /proc/sys/kernel/random/uuid > /out
FROM busybox
RUN mkdir /made && rm -r /home
COPY --from=build /out /made/out
RUN echo last > /last
`

interface OciLayout {
  manifests: { digest: string }[]
}

describe('a build cache that is given away', { skip: cannotRunDaemon() }, () => {
  let giver: Daemon
  let taker: Daemon
  let registry: Beside

  before(async () => {
    giver = await Daemon.start()
    registry = await startGantryRegistry(giver, REGISTRY, path.join(giver.folder, 'registry'))
    await giver.ok('save', '-o', path.join(giver.folder, 'busybox.tar'), 'busybox')
    taker = await Daemon.start({ image: false })
    await taker.ok('load', '-i', path.join(giver.folder, 'busybox.tar'))
  })

  after(async () => {
    await registry?.stop()
    await taker?.remove()
    await giver?.remove()
  })

  const file = (name: string) => path.join(giver.folder, name)
  const build = (daemon: Daemon, context: string, ...args: string[]) =>
    daemon.dockerWith(
      { env: { BUILDX_NO_DEFAULT_ATTESTATIONS: '1' } },
      'build',
      '--progress=plain',
      ...(args.includes('-t') ? [] : ['-t', 'made']),
      ...args,
      context,
    )

  async function built(daemon: Daemon, context: string, ...args: string[]): Promise<string> {
    const { code, stderr } = await build(daemon, context, ...args)
    assert.equal(code, 0, stderr)
    return stderr
  }

  function context(dockerfile = TWO_STAGES): string {
    const folder = fs.mkdtempSync(file('context-'))
    fs.writeFileSync(path.join(folder, 'Dockerfile'), dockerfile)
    fs.writeFileSync(path.join(folder, 'in.txt'), folder)
    return folder
  }

  /** Work with an engine that knows nothing but the base image. */
  async function withTaker(work: (taker: Daemon) => Promise<void>): Promise<void> {
    await taker.docker('rmi', '-f', 'made')
    await taker.ok('builder', 'prune', '-af')
    await work(taker)
  }

  const show = (daemon: Daemon, name: string) =>
    daemon.ok('run', '--rm', '--network', 'none', 'made', 'cat', name)
  const idOf = (daemon: Daemon) => daemon.ok('inspect', '--format', '{{.Id}}', 'made')

  /** Names of steps by what became of them. */
  function steps(output: string): { cached: string[]; run: string[] } {
    const names = new Map(
      [...output.matchAll(/^#(\d+) (\[.*\d+\/\d+\] .*)$/gm)].map(([, id, name]) => [id!, name!]),
    )
    const cached = [...output.matchAll(/^#(\d+) CACHED$/gm)].flatMap(([, id]) => names.get(id!) ?? [])
    const ends = [...output.matchAll(/^#(\d+) DONE/gm)].flatMap(([, id]) => names.get(id!) ?? [])
    const isBase = (name: string) => / FROM /.test(name)
    return {
      cached: cached.filter(name => !isBase(name)).sort(),
      run: ends.filter(name => !isBase(name)).sort(),
    }
  }

  const ALL = [
    '[build 2/3] COPY in.txt /in.txt',
    '[build 3/3] RUN cat /proc/sys/kernel/random/uuid > /out',
    '[stage-1 2/4] RUN mkdir /made && rm -r /home',
    '[stage-1 3/4] COPY --from=build /out /made/out',
    '[stage-1 4/4] RUN echo last > /last',
  ]

  for (const mode of ['min', 'max']) {
    test(`a folder of the client, mode ${mode}: every step is there, the image is the same`, async () => {
      const source = context()
      const cache = file(`cache-${mode}`)
      await built(giver, source, '--cache-to', `type=local,dest=${cache},mode=${mode}`)
      await withTaker(async taker => {
        const output = await built(taker, source, '--cache-from', `type=local,src=${cache}`)
        assert.deepEqual(steps(output), { cached: ALL, run: [] }, output)
        assert.equal(await idOf(taker), await idOf(giver))
        assert.equal(await show(taker, '/made/out'), await show(giver, '/made/out'))
        assert.equal((await taker.docker('run', '--rm', 'made', 'ls', '/home')).code, 1)
        const again = await built(taker, source, '--cache-from', `type=local,src=${cache}`)
        assert.deepEqual(steps(again), { cached: ALL, run: [] }, again)
      })
    })

    test(`mode ${mode}: a step that comes later is run upon it`, async () => {
      const source = context()
      const cache = file(`later-${mode}`)
      await built(giver, source, '--cache-to', `type=local,dest=${cache},mode=${mode}`)
      const before = await show(giver, '/made/out')
      fs.appendFileSync(path.join(source, 'Dockerfile'), 'COPY --from=build /out /made/again\n')
      await withTaker(async taker => {
        const output = await built(taker, source, '--cache-from', `type=local,src=${cache}`)
        const { run } = steps(output)
        assert.ok(run.includes('[stage-1 5/5] COPY --from=build /out /made/again'), output)
        assert.equal(await show(taker, '/made/out'), before)
        // Only `max` has the first stage's files; otherwise it is run after all.
        assert.equal(
          run.some(name => name.startsWith('[build 3/3]')),
          mode === 'min',
          output,
        )
        assert.equal((await show(taker, '/made/again')) === before, mode === 'max')
      })
    })
  }

  test('a registry, in another compression, through an engine that has nothing', async () => {
    const source = context()
    const ref = `${REGISTRY}/cache:1`
    await built(giver, source, '--cache-to', `type=registry,ref=${ref},mode=max,compression=zstd`)
    const id = await idOf(giver)
    const first = await show(giver, '/made/out')
    await giver.ok('rmi', '-f', 'made')
    await giver.ok('builder', 'prune', '-af')
    const output = await built(giver, source, '--cache-from', ref)
    assert.deepEqual(steps(output), { cached: ALL, run: [] }, output)
    assert.equal(await show(giver, '/made/out'), first)
    assert.equal(await idOf(giver), id)
  })

  test('one compression that is not known is refused', async () => {
    const { code, stderr } = await build(
      giver,
      context(),
      '--cache-to',
      `type=registry,ref=${REGISTRY}/cache:2,compression=estargz`,
    )
    assert.notEqual(code, 0)
    assert.match(stderr, /unsupported compression type estargz/)
  })

  for (const [title, args] of [
    ['--cache-to type=inline', ['--cache-to', 'type=inline']],
    ['BUILDKIT_INLINE_CACHE', ['--build-arg', 'BUILDKIT_INLINE_CACHE=1']],
  ] as const) {
    test(`${title}: the image itself carries it`, async () => {
      const source = context()
      const ref = `${REGISTRY}/inline:${args.length}${title.length}`
      await built(giver, source, '-t', ref, '--push', ...args)
      await giver.ok('tag', ref, 'made')
      const first = await show(giver, '/made/out')
      await giver.ok('rmi', '-f', 'made', ref)
      await giver.ok('builder', 'prune', '-af')
      const output = await built(giver, source, '--cache-from', ref)
      assert.deepEqual(steps(output), { cached: ALL, run: [] }, output)
      assert.equal(await show(giver, '/made/out'), first)
    })
  }

  test('of an image that is here, no registry is asked', async () => {
    const source = context()
    await built(giver, source, '-t', 'nowhere.invalid/carrier', '--cache-to', 'type=inline')
    await giver.ok('builder', 'prune', '-af')
    const output = await built(giver, source, '--cache-from', 'nowhere.invalid/carrier')
    assert.deepEqual(steps(output), { cached: ALL, run: [] }, output)
  })

  test('an image without a cache is no error, nor is a cache that is not there', async () => {
    await giver.ok('tag', 'busybox', `${REGISTRY}/plain:1`)
    await giver.ok('push', `${REGISTRY}/plain:1`)
    await giver.ok('rmi', `${REGISTRY}/plain:1`)
    await giver.ok('builder', 'prune', '-af')
    const source = context()
    const caches = [
      `${REGISTRY}/plain:1`,
      `${REGISTRY}/absent:1`,
      'type=gha,url=http://127.0.0.1:1,token=none',
    ]
    const output = await built(giver, source, ...caches.flatMap(cache => ['--cache-from', cache]))
    assert.deepEqual(steps(output), { cached: [], run: ALL }, output)
    assert.match(output, /absent:1\n#\d+ ERROR: manifest unknown/)
  })

  test('ignore-error lets a build end well whose cache cannot be written', async () => {
    const source = context()
    const to = 'type=registry,ref=127.0.0.1:1/cache'
    const { code, stderr } = await build(giver, source, '--cache-to', to)
    assert.notEqual(code, 0)
    assert.match(stderr, /error writing cache/)
    await built(giver, source, '--cache-to', `${to},ignore-error=true`)
  })

  /** Change the documents of a cache in a folder, so that all digests fit again. */
  function forge(cache: string, change: (config: CacheConfig) => void): void {
    const blob = (digest: string) => path.join(cache, 'blobs/sha256', digest.replace('sha256:', ''))
    const read = (digest: string) => JSON.parse(fs.readFileSync(blob(digest), 'utf8'))
    const write = (value: unknown) => {
      const bytes = Buffer.from(JSON.stringify(value))
      const digest = digestOf(bytes)
      fs.writeFileSync(blob(digest), bytes)
      return { digest, size: bytes.length }
    }
    const place = path.join(cache, 'index.json')
    const index = JSON.parse(fs.readFileSync(place, 'utf8')) as OciLayout
    const manifest = read(index.manifests[0]!.digest)
    const config = read(manifest.config.digest)
    change(config)
    Object.assign(manifest.config, write(config))
    Object.assign(index.manifests[0]!, write(manifest))
    fs.writeFileSync(place, JSON.stringify(index))
  }

  const lies: Record<string, (cache: string) => void> = {
    'a layer has other bytes': cache => {
      for (const name of fs.readdirSync(path.join(cache, 'blobs/sha256'))) {
        const place = path.join(cache, 'blobs/sha256', name)
        const bytes = fs.readFileSync(place)
        if (bytes[0] !== 0x1f) continue // only layers are gzip
        bytes[bytes.length >> 1]! ^= 0xff
        fs.chmodSync(place, 0o644)
        fs.writeFileSync(place, bytes)
      }
    },
    'a layer is gone': cache => {
      for (const name of fs.readdirSync(path.join(cache, 'blobs/sha256'))) {
        const place = path.join(cache, 'blobs/sha256', name)
        if (fs.readFileSync(place)[0] === 0x1f) fs.rmSync(place)
      }
    },
    'a layer is another one than it says': cache =>
      forge(cache, ({ layers = [] }) => {
        for (const layer of layers) layer.annotations.diffID = `sha256:${'1'.repeat(64)}`
      }),
    'records lead nowhere': cache =>
      forge(cache, ({ records = [] }) => {
        for (const record of records) for (const result of record.layers ?? []) result.layer = 99
      }),
    'records are no list': cache =>
      forge(cache, config => {
        Object.assign(config, { records: 'none' })
      }),
  }
  for (const [title, lie] of Object.entries(lies)) {
    test(`a cache that lies is not believed: ${title}`, async () => {
      const source = context()
      const cache = fs.mkdtempSync(file('lying-'))
      await built(giver, source, '--cache-to', `type=local,dest=${cache}`)
      lie(cache)
      await withTaker(async taker => {
        const output = await built(taker, source, '--cache-from', `type=local,src=${cache}`)
        assert.deepEqual(steps(output).run, ALL, output)
        assert.equal(await show(taker, '/last'), 'last')
        assert.match(await show(taker, '/made/out'), /^[0-9a-f-]{36}$/)
        assert.deepEqual(steps(await built(taker, source)), { cached: ALL, run: [] })
      })
    })
  }
})
