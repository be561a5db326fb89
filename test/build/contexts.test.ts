/** Contexts of a client, which are sent once and whose files layers share: what comes of them is as if all had been copied. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { after, before, describe, test } from 'node:test'
import * as zlib from 'node:zlib'
import { cannotRunDaemon, Daemon } from '../support/daemon.ts'
import { memoryPeak } from '../support/memory.ts'

describe('contexts', { skip: cannotRunDaemon() }, () => {
  let daemon: Daemon
  let context: string

  before(async () => {
    daemon = await Daemon.start({ args: ['--max-layer-size', '200MiB'] })
    context = path.join(daemon.folder, 'context')
    fs.mkdirSync(path.join(context, 'site/deep'), { recursive: true })
    write('site/one', 'one')
    write('site/deep/two', 'two')
  })
  after(() => daemon?.remove())

  const write = (name: string, content: string | Buffer) =>
    fs.writeFileSync(path.join(context, name), content)

  function build(dockerfile: string, ...args: string[]) {
    write('Dockerfile', dockerfile)
    return daemon.docker('build', '--progress=plain', '--network=none', ...args, context)
  }

  async function builds(dockerfile: string, ...args: string[]): Promise<string> {
    const { code, stderr } = await build(dockerfile, ...args)
    assert.equal(code, 0, stderr)
    return stderr
  }

  const run = (image: string, command: string) =>
    daemon.ok('run', '--rm', '--network=none', image, 'sh', '-c', command)

  for (const buildkit of ['1', '0']) {
    test(`a file is itself in each place it is copied to (BuildKit ${buildkit})`, async () => {
      write(
        'Dockerfile',
        'FROM busybox\nCOPY site /a\nCOPY site /b\nRUN cp /a/one /b/one && echo changed > /a/one\n',
      )
      const env = { DOCKER_BUILDKIT: buildkit }
      const args = ['build', '--network=none', '--no-cache', '-t', 'twice', context]
      const { code, stderr } = await daemon.dockerWith({ env }, ...args)
      assert.equal(code, 0, stderr)
      assert.equal(await run('twice', 'cat /a/one /b/one /b/deep/two'), 'changed\nonetwo')
    })
  }

  test('what a container writes changes neither the layer nor the next build', async () => {
    const dockerfile = 'FROM busybox\nCOPY site /site\n'
    await builds(dockerfile, '-t', 'shared')
    assert.equal(await run('shared', 'echo more >> /site/one; chmod 700 /site/one; cat /site/one'), 'onemore')
    assert.equal(await run('shared', 'cat /site/one; stat -c %a /site/one'), 'one644')
    await builds(`${dockerfile}RUN true\n`, '-t', 'again')
    assert.equal(await run('again', 'cat /site/one'), 'one')
  })

  test('a changed byte, a new file, one that is gone, another mode', async () => {
    const dockerfile =
      'FROM busybox\nCOPY site /site\nRUN find /site -type f | sort | xargs stat -c "%n %a"; cat /site/one\n'
    await builds(dockerfile)
    write('site/one', 'eno')
    write('site/new', '')
    fs.chmodSync(path.join(context, 'site/new'), 0o755)
    fs.rmSync(path.join(context, 'site/deep'), { recursive: true })
    const output = await builds(dockerfile)
    const said = [...output.matchAll(/^#\d+ [\d.]+ (.*)$/gm)].map(([, line]) => line)
    assert.deepEqual(said, ['/site/new 755', '/site/one 644', 'eno'])
    fs.utimesSync(path.join(context, 'site/one'), 1, 1)
    const again = await builds(dockerfile)
    for (const step of ['2/3', '3/3']) assert.match(again, new RegExp(`\\[${step}\\] .*\n#\\d+ CACHED`))
  })

  test('a file takes the place of one that the image has, and keeps its folder', async () => {
    const base =
      'FROM busybox AS base\nRUN mkdir -m 700 /site && echo old > /site/one && echo kept > /site/kept\n'
    await builds(`${base}FROM base\nCOPY site /site\n`, '-t', 'placed')
    const shown = await run('placed', 'cat /site/one /site/kept; stat -c %a /site')
    assert.equal(shown, 'enokept\n700')
  })

  test('an image that is removed leaves the cache as it was, also for the next daemon', async () => {
    const dockerfile = 'FROM busybox\nCOPY site /site\nRUN echo made > /made\n'
    await builds(dockerfile, '-t', 'removed')
    await daemon.ok('rmi', '-f', 'removed')
    await daemon.stop('SIGKILL')
    await daemon.start()
    const again = await builds(dockerfile, '-t', 'removed')
    assert.equal(again.match(/CACHED/g)?.length, 3, again)
    assert.equal(await run('removed', 'cat /site/one /made'), 'enomade')
  })

  test('names that are not UTF-8 keep their bytes in a layer', async () => {
    const name = '$(printf "/odd/\\\\377")'
    await builds(
      `FROM busybox\nRUN mkdir /odd && echo odd > "${name}" && mkdir "${name}d" && echo in > "${name}d/f"\n`,
      '-t',
      'odd',
    )
    await daemon.ok('save', '-o', path.join(daemon.folder, 'odd.tar'), 'odd')
    await daemon.ok('rmi', '-f', 'odd')
    await daemon.ok('builder', 'prune', '-af')
    await daemon.ok('load', '-q', '-i', path.join(daemon.folder, 'odd.tar'))
    assert.equal(
      await run('odd', `cat "${name.replace('\\\\', '\\')}" "${name.replace('\\\\', '\\')}d/f"`),
      'odd\nin',
    )
  })

  test('archives are unpacked as they come, in any compression', async () => {
    const tar = (name: string, flag: string) =>
      execFileSync('tar', ['-C', context, `-c${flag}f`, path.join(context, name), 'site'])
    for (const [name, flag] of Object.entries({ 'a.tar': '', 'a.tgz': 'z', 'a.tbz': 'j', 'a.txz': 'J' }))
      tar(name, flag)
    const names = ['a.tar', 'a.tgz', 'a.tbz', 'a.txz']
    const lines = names.map((name, index) => `ADD ${name} /${index}/\n`).join('')
    const checks = names.map((_, index) => `cmp /0/site/one /${index}/site/one`).join(' && ')
    await builds(`FROM busybox\n${lines}RUN ${checks}\n`)
    write('cut.tgz', fs.readFileSync(path.join(context, 'a.tgz')).subarray(0, 100))
    const { code, stderr } = await build('FROM busybox\nADD cut.tgz /cut/\n')
    assert.notEqual(code, 0)
    assert.match(stderr, /ERROR: .*unexpected EOF/)
  })

  test('a bomb is stopped at the limit, without taking memory', async () => {
    // Of zeros, a thousand times larger than it looks.
    const file = path.join(context, 'bomb.tgz')
    execFileSync('sh', [
      '-c',
      'truncate -s 300M "$1/bomb" && tar -C "$1" -cf - bomb | gzip -1 > "$2"; rm "$1/bomb"',
      'x',
      daemon.folder,
      file,
    ])
    const peak = memoryPeak([daemon.pid!])
    const { code, stderr } = await build('FROM busybox\nADD bomb.tgz /bomb/\n')
    assert.notEqual(code, 0)
    assert.match(stderr, /archive is larger than the limit of 209715200 bytes/)
    assert.ok(peak() < 400, `${peak()} MB`)
    fs.rmSync(file)
  })

  test('a multi-member gzip is one archive', async () => {
    const tar = fs.readFileSync(path.join(context, 'a.tar'))
    write('two.tgz', Buffer.concat([zlib.gzipSync(tar.subarray(0, 1000)), zlib.gzipSync(tar.subarray(1000))]))
    await builds('FROM busybox\nADD two.tgz /two/\nRUN test -f /two/site/one\n')
  })
})
