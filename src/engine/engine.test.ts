import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { after, before, describe, it } from 'node:test'
import * as linux from '../linux/index.ts'
import { appendState, readRecord } from './record-file.ts'
import { TestEngine, text, unable } from './testing.ts'

const timeout = 60_000

describe('containers', { skip: unable, timeout }, () => {
  let test: TestEngine
  before(async () => {
    test = await TestEngine.open()
  })
  after(() => test?.[Symbol.asyncDispose]())

  it('runs a command to its end and keeps what it said', async () => {
    const { id, exitCode, output } = await test.run(['sh', '-c', 'echo out; echo err >&2; exit 3'])
    assert.equal(exitCode, 3)
    assert.deepEqual(output.split('\n').sort(), ['', 'err', 'out'])
    const { stream } = await test.engine.containers.logs(id, { stderr: true })
    assert.equal(await text(stream), 'err\n')
    const [summary] = await test.engine.containers.list({ all: true, filters: { id: [id] } })
    assert.match(summary!.status, /^Exited \(3\)/)
    await test.engine.containers.remove(id)
    assert.throws(() => test.engine.containers.wait(id), /No such container/)
    assert.equal(fs.existsSync(path.join(test.options.dataRoot, 'containers', id)), false)
  })

  for (const [command, exitCode, message] of [
    ['nope', 127, /exec: "nope": executable file not found in \$PATH/],
    ['/nope', 127, /exec: "\/nope": stat \/nope: no such file or directory/],
    ['/etc', 126, /exec: "\/etc": is a directory: permission denied/],
    ['/etc/passwd', 126, /exec: "\/etc\/passwd": permission denied/],
  ] as const) {
    it(`says why ${command} does not start`, async () => {
      const id = await test.create([command])
      await assert.rejects(test.engine.containers.start(id), { kind: 'invalid', message })
      const { record } = await test.engine.containers.inspect(id)
      assert.equal(record.state.status, 'created')
      assert.equal(record.state.exitCode, exitCode)
      await test.engine.containers.remove(id)
    })
  }

  it('refuses a name that is taken, and says who has it', async () => {
    const id = await test.create(['true'], {}, { name: 'taken' })
    await assert.rejects(test.create(['true'], {}, { name: 'taken' }), {
      kind: 'conflict',
      message: `Conflict. The container name "/taken" is already in use by container "${id}". You have to remove (or rename) that container to be able to reuse that name.`,
    })
    await test.engine.containers.rename('taken', 'free')
    await test.engine.containers.remove('free')
  })

  it('stops with the stop signal, then kills', async () => {
    const polite = await test.create([
      'sh',
      '-c',
      'trap "exit 7" TERM; echo up; while :; do sleep 0.05; done',
    ])
    const stubborn = await test.create(['sh', '-c', 'trap "" TERM; echo up; while :; do sleep 0.05; done'])
    for (const id of [polite, stubborn]) {
      await test.engine.containers.start(id)
      await test.until(async () => {
        const { stream } = await test.engine.containers.logs(id, { stdout: true })
        return (await text(stream)) === 'up\n'
      })
    }
    await test.engine.containers.stop(polite)
    await test.engine.containers.stop(stubborn, { timeout: 0 })
    const codes = [polite, stubborn].map(
      async id => (await test.engine.containers.inspect(id)).record.state.exitCode,
    )
    assert.deepEqual(await Promise.all(codes), [7, 137])
    await assert.rejects(test.engine.containers.stop(polite), { kind: 'notModified' })
    await assert.rejects(test.engine.containers.kill(polite), /cannot kill container: .* is not running/)
  })

  it('pauses and goes on', async () => {
    const id = await test.create(['sleep', '100'])
    await test.engine.containers.start(id)
    await test.engine.containers.pause(id)
    await assert.rejects(test.engine.containers.pause(id), /is already paused/)
    await assert.rejects(test.engine.execs.create(id, { cmd: ['true'] }), /unpause the container before exec/)
    await test.engine.containers.unpause(id)
    await assert.rejects(test.engine.containers.remove(id), /container is running: stop the container/)
    await test.engine.containers.remove(id, { force: true })
  })

  it('runs further processes', async () => {
    const id = await test.create(['sleep', '100'], {}, { env: ['A=1'] })
    await test.engine.containers.start(id)
    const exec = async (cmd: string[], more = {}) => {
      const execId = await test.engine.execs.create(id, { cmd, attachStdout: true, ...more })
      const started = await test.engine.execs.start(execId)
      const output = await text(started!.stream)
      await test.until(() => !test.engine.execs.inspect(execId).running)
      return [output, test.engine.execs.inspect(execId).exitCode]
    }
    assert.deepEqual(await exec(['sh', '-c', 'echo $A $B; exit 4'], { env: ['B=2'] }), ['1 2\n', 4])
    assert.deepEqual(await exec(['id', '-u'], { user: 'nobody' }), ['65534\n', 0])
    const [message, code] = await exec(['nope'])
    assert.match(String(message), /^OCI runtime exec failed: .*executable file not found in \$PATH\r\n$/)
    assert.equal(code, 127)
    const { titles } = await test.engine.containers.top(id)
    assert.deepEqual(titles, ['UID', 'PID', 'PPID', 'C', 'STIME', 'TTY', 'TIME', 'CMD'])
    // One that ended is there until it was reaped.
    await test.until(async () => {
      const { processes } = await test.engine.containers.top(id)
      return processes.map(row => row.at(-1)).join() === 'sleep 100'
    })
    await test.engine.containers.remove(id, { force: true })
  })

  it('removes itself, and its anonymous volumes, when asked to', async () => {
    const id = await test.create(
      ['true'],
      { autoRemove: true, binds: ['kept:/kept'] },
      { volumes: ['/gone'] },
    )
    const removed = test.engine.containers.wait(id, 'removed')
    await test.engine.containers.start(id)
    assert.deepEqual(await removed, { exitCode: 0 })
    const { volumes } = await test.engine.volumes.list()
    assert.deepEqual(
      volumes.map(volume => volume.name),
      ['kept'],
    )
    await test.engine.volumes.remove('kept')
  })

  it('fills a new volume with what the image has there', async () => {
    const { id, output } = await test.run(['sh', '-c', 'head -1 /etc/passwd; echo new > /etc/added'], {
      binds: ['etc:/etc'],
    })
    assert.match(output, /^root:/)
    await assert.rejects(test.engine.volumes.remove('etc'), /volume is in use - \[[0-9a-f]{64}\]/)
    await test.engine.containers.remove(id)
    const second = await test.run(['cat', '/data/added'], { binds: ['etc:/data:ro'] })
    assert.equal(second.output, 'new\n')
    await test.engine.containers.remove(second.id)
    await test.engine.volumes.remove('etc')
  })

  it('restarts by policy as often as it says', async () => {
    const id = await test.create(['sh', '-c', 'exit 2'], {
      restartPolicy: { name: 'on-failure', maximumRetryCount: 2 },
    })
    await test.engine.containers.start(id)
    const state = async () => (await test.engine.containers.inspect(id)).record.state
    await test.until(async () => (await state()).status === 'exited')
    assert.equal((await state()).restartCount, 2)
    await test.engine.containers.remove(id)
  })

  it('tells the health of what it checks', async () => {
    const id = await test.create(
      ['sleep', '100'],
      {},
      {
        healthcheck: { test: ['CMD-SHELL', 'test -e /ok && echo fine'], interval: 30e6, retries: 1 },
      },
    )
    await test.engine.containers.start(id)
    const health = async () => (await test.engine.containers.inspect(id)).record.state.health!
    assert.equal((await health()).status, 'starting')
    await test.until(async () => (await health()).status === 'unhealthy')
    const exec = await test.engine.execs.create(id, { cmd: ['touch', '/ok'] })
    await test.engine.execs.start(exec, { detach: true })
    await test.until(async () => (await health()).status === 'healthy')
    assert.equal((await health()).log.at(-1)!.output, 'fine\n')
    await test.engine.containers.remove(id, { force: true })
  })

  it('takes what is typed before the start', async () => {
    const id = await test.create(['cat'], {}, { openStdin: true, stdinOnce: true })
    const { stream } = await test.engine.containers.attach(id, { stream: true, stdin: true, stdout: true })
    stream.write('early ')
    await test.engine.containers.start(id)
    stream.end('late')
    assert.equal(await text(stream), 'early late')
    await test.engine.containers.remove(id)
  })

  it('lets go of a terminal by its keys', async () => {
    const id = await test.create(['sh'], {}, { tty: true, openStdin: true })
    await test.engine.containers.start(id)
    const { stream } = await test.engine.containers.attach(id, { stream: true, stdin: true, stdout: true })
    stream.resume()
    const closed = new Promise(resolve => stream.once('close', resolve))
    stream.write(Buffer.from([16]))
    stream.write(Buffer.from([17]))
    await closed
    assert.equal((await test.engine.containers.inspect(id)).record.state.status, 'running')
    await test.engine.containers.remove(id, { force: true })
  })

  it('follows a log over its rotation', async () => {
    const id = await test.create(
      ['sh', '-c', 'i=0; while [ $i -lt 400 ]; do echo line $i; i=$((i+1)); done'],
      {
        logConfig: { type: 'json-file', options: { 'max-size': '8k', 'max-file': '9' } },
      },
    )
    const { stream } = await test.engine.containers.logs(id, { stdout: true, follow: true })
    stream.destroy()
    await test.engine.containers.start(id)
    const followed = await test.engine.containers.logs(id, { stdout: true, follow: true })
    const lines = (await text(followed.stream)).trimEnd().split('\n')
    assert.deepEqual(
      lines,
      Array.from({ length: 400 }, (_, i) => `line ${i}`),
    )
    const tail = await test.engine.containers.logs(id, { stdout: true, tail: 150 })
    assert.equal((await text(tail.stream)).trimEnd().split('\n').length, 150)
    await test.engine.containers.remove(id)
  })

  it('sees what a container changed, and makes an image of it', async () => {
    const { id } = await test.run(['sh', '-c', 'echo hi > /new; rm /etc/group'])
    const changes = await test.engine.containers.changes(id)
    assert.deepEqual(
      changes.map(({ path: name, kind }) => `${'CAD'[kind]} ${name}`),
      ['C /etc', 'D /etc/group', 'A /new'],
    )
    const image = await test.engine.containers.commit(id, {
      repository: 'changed',
      changes: ['CMD cat /new'],
    })
    await test.engine.containers.remove(id)
    const second = await test.run([], {}, { image: 'changed', cmd: undefined })
    assert.equal(second.output, 'hi\n')
    await assert.rejects(test.engine.images.remove('changed'), { kind: 'conflict' })
    await test.engine.containers.remove(second.id)
    const removals = await test.engine.images.remove('changed')
    assert.deepEqual(removals.slice(0, 2), [{ untagged: 'changed:latest' }, { deleted: image }])
  })
})

describe('an engine that comes back', { skip: unable, timeout }, () => {
  it('adopts what runs, settles what ended, and starts what its policy says', async () => {
    await using test = await TestEngine.open()
    const running = await test.create([
      'sh',
      '-c',
      'trap "exit 9" TERM; echo up; while :; do sleep 0.05; done',
    ])
    const ending = await test.create(['sh', '-c', 'sleep 0.3; exit 5'])
    const always = await test.create(['sh', '-c', 'sleep 0.2'], {
      restartPolicy: { name: 'always', maximumRetryCount: 0 },
    })
    const removing = await test.create(['sleep', '0.3'], { autoRemove: true })
    const stopped = await test.create(['sleep', '100'], {
      restartPolicy: { name: 'unless-stopped', maximumRetryCount: 0 },
    })
    for (const id of [running, ending, always, removing, stopped]) await test.engine.containers.start(id)
    await test.engine.containers.stop(stopped, { timeout: 0 })
    await test.engine.close()
    await new Promise(resolve => setTimeout(resolve, 700))
    await test.reopen()
    const status = async (id: string) => (await test.engine.containers.inspect(id)).record.state
    assert.equal((await status(running)).status, 'running')
    assert.equal((await status(ending)).exitCode, 5)
    assert.ok(['running', 'restarting'].includes((await status(always)).status))
    assert.equal((await status(stopped)).status, 'exited')
    await assert.rejects(test.engine.containers.inspect(removing), /No such container/)
    await test.engine.containers.stop(running)
    assert.equal((await status(running)).exitCode, 9)
    await test.engine.containers.remove(always, { force: true })
  })

  it('takes a lost exec-root for a reboot', async () => {
    await using test = await TestEngine.open()
    const id = await test.create(['true'])
    await test.engine.containers.start(id)
    await test.until(async () => (await test.engine.containers.inspect(id)).record.state.status === 'exited')
    await test.engine.close()
    const folder = path.join(test.options.dataRoot, 'containers', id)
    const record = readRecord(folder)!
    appendState(folder, { ...record.state, status: 'running' })
    await test.reopen()
    const { state } = (await test.engine.containers.inspect(id)).record
    assert.deepEqual([state.status, state.exitCode], ['exited', 255])
  })

  it('sweeps what was half made', async () => {
    await using test = await TestEngine.open()
    await test.engine.close()
    const half = path.join(test.options.dataRoot, 'containers', 'f'.repeat(64))
    fs.mkdirSync(path.join(half, 'layer', 'upper'), { recursive: true })
    await test.reopen()
    assert.equal(fs.existsSync(half), false)
    assert.deepEqual(await test.engine.containers.list({ all: true }), [])
  })

  it('takes back what a start that was cut off had mounted', async () => {
    await using test = await TestEngine.open()
    const id = await test.create(['true'], { ipcMode: 'shareable' })
    await test.engine.close()
    const memory = path.join(test.options.dataRoot, 'containers', id, 'shm')
    fs.mkdirSync(memory)
    linux.mount('shm', memory, 'tmpfs', 0, '')
    await test.reopen()
    assert.doesNotMatch(fs.readFileSync('/proc/self/mountinfo', 'utf8'), new RegExp(memory))
  })

  it('is alone on its data root', async () => {
    await using test = await TestEngine.open()
    const { Engine } = await import('./engine.ts')
    await assert.rejects(Engine.open(test.options), /is in use by another engine/)
  })
})
