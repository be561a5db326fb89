import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { after, before, describe, it } from 'node:test'
import { busyboxRootfs } from '../../test/support/busybox.ts'
import { text } from '../engine/testing.ts'
import { DockerfileError, Engine, ExitError } from '../index.ts'

const skip = process.getuid?.() === 0 ? false : 'containers need root'

describe('an engine in a program', { skip }, () => {
  let root: string
  let folder: string
  let engine: Engine

  before(async () => {
    root = fs.mkdtempSync(path.join(os.tmpdir(), 'gantry-library-'))
    folder = path.join(root, 'context')
    fs.mkdirSync(folder)
    fs.writeFileSync(path.join(folder, 'greeting'), 'hello\n')
    fs.writeFileSync(
      path.join(folder, 'Dockerfile'),
      'FROM busybox\nCOPY greeting /\nARG NAME=nobody\nRUN echo "$NAME" >> /greeting\nCMD ["cat", "/greeting"]\n',
    )
    engine = await Engine.open({
      dataRoot: path.join(root, 'data'),
      execRoot: path.join(root, 'exec'),
      config: { bridge: 'none', ipForward: false },
    })
    await engine.images.import(fs.createReadStream(busyboxRootfs()), {
      repository: 'busybox',
      changes: ['CMD ["sh"]', 'ENV PATH=/bin:/sbin:/usr/bin'],
    })
  })
  after(async () => {
    await engine.close()
    fs.rmSync(root, { recursive: true, force: true })
  })

  async function output(image: string): Promise<string> {
    const { id } = await engine.containers.create({ config: { image }, host: { networkMode: 'none' } })
    await engine.containers.start(id)
    await engine.containers.wait(id)
    const { stream } = await engine.containers.logs(id, { stdout: true })
    const printed = await text(stream)
    await engine.containers.remove(id)
    return printed
  }

  it('builds a folder, and runs what it built', async () => {
    const logs: string[] = []
    const { images } = await engine.build({
      context: folder,
      tags: ['greeter', 'greeter:2'],
      buildArgs: { NAME: 'world' },
      network: 'none',
      onProgress: event => void logs.push(event.type),
    })
    assert.equal(await output('greeter:2'), 'hello\nworld\n')
    assert.equal(await output(images[0]!.imageId!), 'hello\nworld\n')
    assert.ok(logs.includes('vertex'))
  })

  it('builds from a stream, and from nothing', async () => {
    const tar = spawn('tar', ['-cz', '-C', folder, '.'], { stdio: ['ignore', 'pipe', 'inherit'] })
    await engine.build({ context: tar.stdout, tags: ['streamed'], network: 'none' })
    assert.equal(await output('streamed'), 'hello\nnobody\n')
    const { images } = await engine.build({ dockerfileText: 'FROM busybox\nCMD ["echo", "text"]\n' })
    assert.equal(await output(images[0]!.imageId!), 'text\n')
  })

  it('says what is wrong', async () => {
    await assert.rejects(engine.build({ dockerfileText: 'FROM busybox\nRUM true\n' }), DockerfileError)
    await assert.rejects(
      engine.build({ dockerfileText: 'FROM busybox\nRUN exit 7\n', network: 'none' }),
      error => error instanceof ExitError && error.exitCode === 7,
    )
    await assert.rejects(engine.build({ context: path.join(root, 'missing') }), /missing/)
    const stop = new AbortController()
    const built = engine.build({
      dockerfileText: 'FROM busybox\nRUN sleep 100\n',
      network: 'none',
      signal: stop.signal,
    })
    setTimeout(() => stop.abort(), 100)
    await assert.rejects(built, /context canceled/)
  })

  it('lets the program end when it is closed', () => {
    const script = `
      import { Engine } from ${JSON.stringify(new URL('../index.ts', import.meta.url).href)}
      const [dataRoot, execRoot] = process.argv.slice(1)
      const engine = await Engine.open({ dataRoot, execRoot, config: { bridge: 'none', ipForward: false } })
      await engine.build({ dockerfileText: 'FROM scratch\\nLABEL a=b\\n', tags: ['empty'] })
      await engine.close()
      console.log('closed')`
    const roots = ['data', 'exec'].map(name => path.join(root, `other-${name}`))
    const said = execFileSync(process.execPath, ['--input-type=module', '-e', script, ...roots], {
      encoding: 'utf8',
      timeout: 60_000,
    })
    assert.equal(said, 'closed\n')
  })

  it('cancels what it builds when it is closed', async () => {
    const building = Promise.withResolvers<void>()
    const built = engine.build({
      dockerfileText: 'FROM busybox\nRUN echo running; sleep 100\n',
      network: 'none',
      onProgress: event => event.type === 'log' && building.resolve(),
    })
    await building.promise
    await Promise.all([assert.rejects(built, /context canceled/), engine.close()])
  })
})
