/** Bad input gets the error that Docker gives, or a clearer one, and leaves the engine as it was. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { after, afterEach, before, beforeEach, describe, test } from 'node:test'
import * as zlib from 'node:zlib'
import { cannotRunDaemon, Daemon } from './support/daemon.ts'
import { leftovers } from './support/leftovers.ts'
import { type Entry, tarOf } from './support/tar.ts'

describe('bad input', { skip: cannotRunDaemon() }, () => {
  let daemon: Daemon
  let stateBefore: string
  before(async () => {
    daemon = await Daemon.start({ args: ['--max-layer-size', '512m'] })
  })
  beforeEach(async () => {
    stateBefore = await state()
  })
  afterEach(async () => {
    assert.equal(await state(), stateBefore, 'the engine is not as it was before')
  })
  after(async () => {
    await daemon.remove()
    assert.deepEqual(leftovers(daemon), [])
  })

  /** What must not change: containers, images, and what lies in the data root. */
  async function state(): Promise<string> {
    const names = (folder: string) => {
      const full = path.join(daemon.dataRoot, folder)
      return fs.existsSync(full) ? fs.readdirSync(full, { recursive: true }).length : 0
    }
    const listed = [await daemon.ok('ps', '-aq'), await daemon.ok('images', '-aq')]
    return JSON.stringify([...listed, names('containers'), names('content/blobs')])
  }

  const requests: [what: string, body: string, status: number, message: RegExp][] = [
    ['JSON that ends early', '{"Image":"busybox"', 400, /^invalid JSON: unexpected EOF$/],
    ['a number for a string', '{"Image":5}', 400, /cannot unmarshal number .*Image of type string/],
    [
      'a string for a number',
      '{"Image":"busybox","HostConfig":{"Memory":"5"}}',
      400,
      /cannot unmarshal string .*HostConfig\.Memory of type int64/,
    ],
    ['an object for a list', '{"Image":"busybox","Cmd":{"a":1}}', 400, /cannot unmarshal object/],
    ['a list for the request', '[]', 400, /cannot unmarshal array/],
    ['no body', '', 400, /^invalid JSON: got EOF while reading request body$/],
    ['a tail after the body', '{"Image":"busybox"} tail', 400, /^unexpected content after JSON$/],
    ['an image that is not there', '{"Image":"nosuch"}', 404, /^No such image: nosuch:latest$/],
    ['an image name that is none', '{"Image":"Bad Name"}', 400, /invalid reference format/],
    [
      'too little memory',
      '{"Image":"busybox","HostConfig":{"Memory":1}}',
      400,
      /^Minimum memory limit allowed is 6MB$/,
    ],
  ]
  for (const [what, body, status, message] of requests) {
    test(`create: ${what}`, async () => {
      const answer = await daemon.api('POST', '/containers/create', body, {
        'Content-Type': 'application/json',
      })
      assert.equal(answer.status, status)
      assert.match(answer.body.message, message)
    })
  }

  test('create: a body that is not JSON', async () => {
    const answer = await daemon.api('POST', '/containers/create', '{}', { 'Content-Type': 'text/plain' })
    assert.equal(answer.status, 400)
    assert.equal(
      answer.body.message,
      "unsupported Content-Type header (text/plain): must be 'application/json'",
    )
  })

  test('create: unknown fields are passed over', async () => {
    const { status, body } = await daemon.api('POST', '/containers/create', {
      Image: 'busybox',
      NoSuchField: 1,
    })
    assert.equal(status, 201)
    assert.equal((await daemon.api('DELETE', `/containers/${body.Id}`)).status, 204)
    const gone = await daemon.api('GET', `/containers/${body.Id}/json`)
    assert.deepEqual([gone.status, gone.body.message], [404, `No such container: ${body.Id}`])
  })

  test('create: a name that is taken, and one that is none', async () => {
    const id = await daemon.ok('create', '--name', 'taken', 'busybox')
    const second = await daemon.api('POST', '/containers/create?name=taken', { Image: 'busybox' })
    assert.equal(second.status, 409)
    assert.match(
      second.body.message,
      new RegExp(`^Conflict\\. The container name "/taken" is already in use by container "?${id}`),
    )
    await daemon.ok('rm', id)
    const { status, body } = await daemon.api('POST', '/containers/create?name=bad/name', {
      Image: 'busybox',
    })
    assert.equal(status, 400)
    assert.equal(
      body.message,
      'Invalid container name (bad/name), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed',
    )
  })

  test('an environment of 10 MB is refused at start with a reason', async () => {
    const body = {
      Image: 'busybox',
      Cmd: ['true'],
      Env: [`BIG=${'x'.repeat(10_000_000)}`],
      HostConfig: { NetworkMode: 'none' },
    }
    const created = await daemon.api('POST', '/containers/create', body)
    assert.equal(created.status, 201)
    const started = await daemon.api('POST', `/containers/${created.body.Id}/start`)
    assert.equal(started.status, 400)
    assert.match(started.body.message, /argument list too long/)
    await daemon.ok('rm', created.body.Id)
  })

  test('bytes that are not UTF-8, in output and in file names, arrive as they are', async () => {
    const run = [
      'run',
      '--name',
      'bytes',
      '--network',
      'none',
      'busybox',
      'sh',
      '-c',
      "printf 'a\\377b\\n'; printf x > $(printf '/\\376name')",
    ]
    await daemon.ok(...run)
    const { body } = await daemon.api('GET', '/containers/bytes/logs?stdout=1')
    assert.equal(body.subarray(8).toString('utf8'), 'a\ufffdb\n')
    const archive = await daemon.api('GET', '/containers/bytes/archive?path=/')
    assert.ok(archive.body.includes(Buffer.from('\xfename', 'latin1')), 'the file name was changed')
    await daemon.ok('rm', 'bytes')
  })

  test('load: archives that are none', async () => {
    const image = path.join(daemon.folder, 'busybox.tar')
    await daemon.ok('save', '-o', image, 'busybox')
    const bytes = fs.readFileSync(image)
    // A layer that the engine has is not read again, and would hide the damage.
    await daemon.ok('rmi', 'busybox')
    for (const [what, content] of Object.entries({
      garbage: Buffer.from('garbage'),
      truncated: bytes.subarray(0, bytes.length / 2),
      'a flipped byte in a layer': flip(bytes, Math.floor(bytes.length / 3)),
    })) {
      const before = await state()
      const { status, body } = await daemon.api('POST', '/images/load', content)
      assert.ok(status >= 400 || /error/.test(JSON.stringify(body)), `${what} was accepted: ${status}`)
      assert.equal(await state(), before, what)
    }
    await daemon.ok('load', '-q', '-i', image)
  })

  const outside = path.join(os.tmpdir(), `gantry-escaped-${process.pid}`)
  const up = '../'.repeat(12)
  const escapes: [what: string, entries: Entry[]][] = [
    ['a name with ..', [{ name: `${up}${outside.slice(1)}`, content: 'x' }]],
    ['an absolute name', [{ name: outside, content: 'x' }]],
    [
      'a file through a link to the outside',
      [
        { name: 'link', type: '2', link: path.dirname(outside) },
        { name: `link/${path.basename(outside)}`, content: 'x' },
      ],
    ],
    [
      'a file through a relative link to the outside',
      [
        { name: 'link', type: '2', link: `${up}${path.dirname(outside).slice(1)}` },
        { name: `link/${path.basename(outside)}`, content: 'x' },
      ],
    ],
    ['a hard link to a file outside', [{ name: 'passwd', type: '1', link: `${up}etc/passwd` }]],
  ]
  for (const [what, entries] of escapes) {
    test(`import: ${what} stays inside or is refused`, async () => {
      await daemon.api('POST', '/images/create?fromSrc=-&repo=evil&tag=latest', tarOf(entries))
      await daemon.docker('rmi', 'evil:latest')
      assert.equal(fs.existsSync(outside), false, `${outside} was written`)
    })
  }

  describe('a gzip bomb ends at the stated limit', () => {
    // Gzip members one after another are one stream: 64 MB of zeros each, for 64 kB.
    const zeros = zlib.gzipSync(Buffer.alloc(64 << 20), { level: 9 })
    const header = (size: number) => tarOf([{ name: 'bomb', size }]).subarray(0, 512)

    for (const [what, first] of [
      ['whose size is announced', header(1 << 30)],
      // 16 bytes of name in a record that goes on for ever.
      ['in the headers', tarOf([{ name: 'pax', type: 'x', size: 1 << 30 }]).subarray(0, 512)],
    ] as const) {
      test(what, async () => {
        const bomb = Buffer.concat([zlib.gzipSync(first), ...Array.from({ length: 16 }, () => zeros)])
        const { status, body } = await daemon.api(
          'POST',
          '/images/create?fromSrc=-&repo=bomb&tag=latest',
          bomb,
        )
        assert.match(`${status} ${body.message}`, /limit of 536870912 bytes|invalid tar header/)
      })
    }

    test('in a layer of an image', async () => {
      const layer = zlib.gzipSync(Buffer.concat([header(600 << 20), Buffer.alloc((600 << 20) + 1024)]), {
        level: 1,
      })
      const config = JSON.stringify({
        architecture: process.arch === 'x64' ? 'amd64' : process.arch,
        os: 'linux',
        config: {},
        rootfs: { type: 'layers', diff_ids: [`sha256:${'0'.repeat(64)}`] },
      })
      const manifest = JSON.stringify([
        { Config: 'config.json', RepoTags: ['bomb:latest'], Layers: ['layer.tar.gz'] },
      ])
      const archive = path.join(daemon.folder, 'bomb')
      fs.mkdirSync(archive)
      fs.writeFileSync(path.join(archive, 'config.json'), config)
      fs.writeFileSync(path.join(archive, 'manifest.json'), manifest)
      fs.writeFileSync(path.join(archive, 'layer.tar.gz'), layer)
      const tar = execFileSync(
        'tar',
        ['-C', archive, '-cf', '-', 'layer.tar.gz', 'config.json', 'manifest.json'],
        {
          maxBuffer: 1 << 28,
        },
      )
      const { body } = await daemon.api('POST', '/images/load', tar)
      assert.match(Buffer.isBuffer(body) ? body.toString() : JSON.stringify(body), /limit of 536870912 bytes/)
    })
  })

  test('cp: a link that is swapped while it is followed leads nowhere outside', async () => {
    const script = `mkdir /d; echo inside > /d/f; while true; do mv /d /e; ln -s /etc /d; rm /d; mv /e /d; done`
    const id = await daemon.ok('run', '-d', '--network', 'none', 'busybox', 'sh', '-c', script)
    const hostname = fs.readFileSync('/etc/passwd', 'utf8')
    for (let i = 0; i < 100; i++) {
      const { body, status } = await daemon.api('GET', `/containers/${id}/archive?path=/d/passwd`)
      if (status === 200)
        assert.equal(body.includes(hostname.slice(0, 200)), false, 'a file of the host came out')
    }
    await daemon.ok('rm', '-f', id)
  })
})

function flip(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes)
  copy[at]! ^= 0xff
  return copy
}
