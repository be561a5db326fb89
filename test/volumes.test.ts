/** Volumes: named, anonymous, from the image, bound, in memory; and that none is removed while it is used. */
import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { before, describe, test } from 'node:test'
import { cannotRunDaemon } from './support/daemon.ts'
import { suiteDaemon } from './support/suite.ts'

describe('volumes', { skip: cannotRunDaemon() }, () => {
  const daemon = suiteDaemon()
  before(async () => {
    // An image with content below a VOLUME, owned and protected in its own way.
    const line =
      'mkdir -p /data/sub; echo seed > /data/file; chmod 640 /data/file; chown 33:100 /data/file; chmod 1777 /data; ln -s file /data/link'
    await daemon.ok('run', '--name', 'seed', '--network', 'none', 'busybox', 'sh', '-c', line)
    await daemon.ok('commit', '-c', 'VOLUME /data', 'seed', 'seeded')
    await daemon.ok('rm', 'seed')
  })

  const run = (flags: string[], line: string, image = 'busybox') =>
    daemon.docker('run', '--rm', '--network', 'none', ...flags, image, 'sh', '-c', line)

  test('a named volume keeps what was written, and is not removed while a container has it', async () => {
    await daemon.ok('volume', 'create', '--label', 'a=b', 'kept')
    await run(['-v', 'kept:/v'], 'echo hello > /v/f')
    assert.equal(
      (await run(['--mount', 'type=volume,src=kept,dst=/v,readonly'], 'cat /v/f; touch /v/g')).stdout,
      'hello\n',
    )
    await daemon.ok('create', '--name', 'holder', '-v', 'kept:/v', 'busybox')
    const refused = await daemon.docker('volume', 'rm', 'kept')
    assert.match(refused.stderr, /remove kept: volume is in use - \[[0-9a-f]{64}\]/)
    await daemon.ok('rm', '-v', 'holder')
    assert.equal(
      await daemon.ok('volume', 'ls', '-q', '-f', 'label=a=b'),
      'kept',
      'rm -v took a named volume',
    )
    await daemon.ok('volume', 'rm', 'kept')
  })

  test("the image's content is copied into a new volume, with owners and modes", async () => {
    const list = 'stat -c "%n %a %u:%g %F" /data /data/file /data/link /data/sub; cat /data/link'
    const { stdout } = await run(['-v', 'fresh:/data'], list, 'seeded')
    assert.equal(
      stdout,
      '/data 1777 0:0 directory\n/data/file 640 33:100 regular file\n/data/link 777 0:0 symbolic link\n/data/sub 755 0:0 directory\nseed\n',
    )
    await run(['-v', 'fresh:/data'], 'echo changed > /data/file', 'seeded')
    assert.equal((await run(['-v', 'fresh:/data'], 'cat /data/file', 'seeded')).stdout, 'changed\n')
    assert.equal(
      (await run(['--mount', 'type=volume,src=empty,dst=/data,volume-nocopy'], 'ls /data', 'seeded')).stdout,
      '',
    )
    await daemon.ok('volume', 'rm', 'fresh', 'empty')
  })

  test('anonymous volumes go with their container where that was asked for', async () => {
    const before = await daemon.ok('volume', 'ls', '-q')
    await daemon.ok('run', '--name', 'anonymous', '--network', 'none', 'seeded', 'true')
    assert.notEqual(await daemon.ok('volume', 'ls', '-q'), before)
    await daemon.ok('rm', '-v', 'anonymous')
    assert.equal(await daemon.ok('volume', 'ls', '-q'), before)
    await run([], 'true', 'seeded')
    assert.equal(await daemon.ok('volume', 'ls', '-q'), before, '--rm left an anonymous volume')
  })

  test('binds: read-only, missing sources, files', async () => {
    const folder = path.join(daemon.folder, 'bound')
    fs.mkdirSync(folder)
    fs.writeFileSync(path.join(folder, 'f'), 'from the host\n')
    assert.equal((await run(['-v', `${folder}:/b`], 'cat /b/f; echo out > /b/g')).stdout, 'from the host\n')
    assert.equal(fs.readFileSync(path.join(folder, 'g'), 'utf8'), 'out\n')
    assert.match((await run(['-v', `${folder}:/b:ro`], 'touch /b/h')).stderr, /Read-only file system/)
    assert.equal((await run(['-v', `${folder}/f:/etc/motd:ro`], 'cat /etc/motd')).stdout, 'from the host\n')
    const missing = await run(['--mount', `type=bind,src=${folder}/none,dst=/b`], 'true')
    assert.equal(missing.code, 125)
    assert.match(missing.stderr, /bind source path does not exist/)
    await run(['-v', `${folder}/made:/b`], 'true')
    assert.ok(fs.statSync(path.join(folder, 'made')).isDirectory())
  })

  test('tmpfs: size and mode', async () => {
    const { stdout } = await run(
      ['--tmpfs', '/t:size=1m,mode=1700'],
      'df -k /t | tail -1; stat -c %a /t; dd if=/dev/zero of=/t/f bs=1M count=2 2>&1',
    )
    assert.match(stdout, /1024 /)
    assert.match(stdout, /^1700$/m)
    assert.match(stdout, /No space left/)
    assert.equal(
      (await run(['--mount', 'type=tmpfs,dst=/t,tmpfs-size=2m,tmpfs-mode=0711'], 'stat -c %a /t')).stdout,
      '711\n',
    )
  })

  test('backup and restore by --volumes-from, as any tutorial has it', async () => {
    await daemon.ok(
      'run',
      '--name',
      'store',
      '--network',
      'none',
      '-v',
      '/dbdata',
      'busybox',
      'sh',
      '-c',
      'echo precious > /dbdata/rows',
    )
    const backup = path.join(daemon.folder, 'backup')
    fs.mkdirSync(backup)
    await run(['--volumes-from', 'store', '-v', `${backup}:/backup`], 'tar cf /backup/backup.tar /dbdata')
    await daemon.ok('run', '--name', 'store2', '--network', 'none', '-v', '/dbdata', 'busybox', 'true')
    await run(
      ['--volumes-from', 'store2', '-v', `${backup}:/backup`],
      'cd /dbdata && tar xf /backup/backup.tar --strip 1',
    )
    assert.equal(
      (await run(['--volumes-from', 'store2:ro'], 'cat /dbdata/rows; touch /dbdata/x')).stdout,
      'precious\n',
    )
    await daemon.ok('rm', '-v', 'store', 'store2')
  })

  test("subpaths stay inside their volume, and an image's tree can be mounted", async () => {
    await run(['-v', 'sub:/v'], 'mkdir -p /v/a/b; echo deep > /v/a/b/f; ln -s /etc /v/out')
    assert.equal(
      (await run(['--mount', 'type=volume,src=sub,dst=/s,volume-subpath=a/b'], 'cat /s/f')).stdout,
      'deep\n',
    )
    const out = await run(['--mount', 'type=volume,src=sub,dst=/s,volume-subpath=out'], 'ls /s')
    assert.notEqual(out.code, 0, 'a link led out of the volume')
    const up = await run(['--mount', 'type=volume,src=sub,dst=/s,volume-subpath=../..'], 'ls /s')
    assert.notEqual(up.code, 0)
    const image = await run(['--mount', 'type=image,src=seeded,dst=/i'], 'cat /i/data/file; touch /i/x')
    assert.equal(image.stdout, 'seed\n')
    await daemon.ok('volume', 'rm', 'sub')
  })

  test('the local driver mounts what its options say', async () => {
    await daemon.ok(
      'volume',
      'create',
      '-o',
      'type=tmpfs',
      '-o',
      'device=tmpfs',
      '-o',
      'o=size=1m,uid=33',
      'memory',
    )
    assert.match(
      (await run(['-v', 'memory:/m'], 'df -k /m | tail -1; stat -c %u /m')).stdout,
      /1024[\s\S]*^33$/m,
    )
    const folder = path.join(daemon.folder, 'device')
    fs.mkdirSync(folder)
    await daemon.ok('volume', 'create', '-o', 'type=none', '-o', `device=${folder}`, '-o', 'o=bind', 'bound')
    await run(['-v', 'bound:/m'], 'echo through > /m/f')
    assert.equal(fs.readFileSync(path.join(folder, 'f'), 'utf8'), 'through\n')
    await daemon.ok('volume', 'rm', 'memory', 'bound')
    assert.ok(fs.existsSync(path.join(folder, 'f')), 'removing a volume removed what it only pointed at')
  })

  test('prune takes anonymous volumes, and named ones only when told', async () => {
    await daemon.ok('volume', 'create', 'named')
    await daemon.ok('volume', 'create')
    await daemon.ok('volume', 'prune', '-f')
    assert.equal(await daemon.ok('volume', 'ls', '-q'), 'named')
    await daemon.ok('volume', 'prune', '-f', '-a')
    assert.equal(await daemon.ok('volume', 'ls', '-q'), '')
  })
})
