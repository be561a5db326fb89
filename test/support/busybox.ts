/** The image that tests run: Debian's static busybox with a link for each of its applets. */
import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { debianPackage } from './debian.ts'

const passwd = `root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
www-data:x:33:33:www-data:/var/www:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
`
const group = `root:x:0:
daemon:x:1:
www-data:x:33:
users:x:100:
nobody:x:65534:
`

const target = path.resolve(import.meta.dirname, '../../.cache/busybox-rootfs.tar')

/**
 * The path of a tar of busybox's root file system, the same bytes every time: for `docker import` with
 * {@link busyboxChanges}, into Gantry and into any other engine.
 */
export function busyboxRootfs(): string {
  if (fs.existsSync(target)) return target
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'busybox-'))
  try {
    for (const folder of 'bin etc tmp dev proc sys root home var/www usr/bin usr/sbin sbin'.split(' ')) {
      fs.mkdirSync(path.join(root, folder), { recursive: true, mode: 0o755 })
    }
    fs.chmodSync(path.join(root, 'tmp'), 0o1777)
    const binary = findBusybox()
    fs.copyFileSync(binary, path.join(root, 'bin/busybox'))
    fs.chmodSync(path.join(root, 'bin/busybox'), 0o755)
    for (const applet of execFileSync(binary, ['--list'], { encoding: 'utf8' }).trim().split('\n')) {
      if (applet !== 'busybox') fs.symlinkSync('busybox', path.join(root, 'bin', applet))
    }
    fs.writeFileSync(path.join(root, 'etc/passwd'), passwd, { mode: 0o644 })
    fs.writeFileSync(path.join(root, 'etc/group'), group, { mode: 0o644 })
    fs.mkdirSync(path.dirname(target), { recursive: true })
    const partial = `${target}.${process.pid}`
    // One order, one owner, one time: the same files make the same bytes.
    execFileSync('tar', [
      ...['-C', root, '--sort=name', '--owner=0', '--group=0', '--numeric-owner', '--mtime=@1700000000'],
      ...['--format=gnu', '-cf', partial, '.'],
    ])
    fs.renameSync(partial, target)
    return target
  } finally {
    fs.rmSync(root, { recursive: true, force: true })
  }
}

/** The `-c` arguments that make {@link busyboxRootfs} an image. */
export const busyboxChanges = [
  ...['-c', 'CMD ["sh"]'],
  ...['-c', 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
]

function findBusybox(): string {
  const folder = debianPackage('busybox-static')
  return ['bin/busybox', 'usr/bin/busybox']
    .map(file => path.join(folder, file))
    .find(file => fs.existsSync(file))!
}
