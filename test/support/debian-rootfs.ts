/** A Debian 12 root file system, made once from Debian's packages. */
import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { debianPackage } from './debian.ts'

const target = path.resolve(import.meta.dirname, '../../.cache/debian-12-rootfs.tar')

/** The path of a tar of a minimal Debian 12. Needs root; takes half a minute the first time. */
export function debianRootfs(): string {
  if (fs.existsSync(target)) return target
  const debootstrap = debianPackage('debootstrap')
  const work = fs.mkdtempSync(path.join(os.tmpdir(), 'debian-rootfs-'))
  try {
    execFileSync(path.join(debootstrap, 'usr/sbin/debootstrap'), ['--variant=minbase', 'bookworm', work], {
      env: { ...process.env, DEBOOTSTRAP_DIR: path.join(debootstrap, 'usr/share/debootstrap') },
      stdio: 'pipe',
    })
    for (const file of fs.readdirSync(path.join(work, 'var/cache/apt/archives'))) {
      if (file.endsWith('.deb')) fs.rmSync(path.join(work, 'var/cache/apt/archives', file))
    }
    // Services are started by the tests, not by the packages' scripts.
    fs.writeFileSync(path.join(work, 'usr/sbin/policy-rc.d'), '#!/bin/sh\nexit 101\n', { mode: 0o755 })
    const partial = `${target}.${process.pid}`
    execFileSync('tar', ['-C', work, '--xattrs', '--numeric-owner', '-cf', partial, '.'])
    fs.renameSync(partial, target)
    return target
  } finally {
    fs.rmSync(work, { recursive: true, force: true })
  }
}

/** {@link debianRootfs}, or the reason why it cannot be had, for `test(…, { skip })`. */
export function cannotMakeDebian(): string | false {
  if (process.getuid?.() !== 0) return 'needs root'
  try {
    debianRootfs()
    return false
  } catch (error) {
    return `no Debian root file system: ${String(error).split('\n')[0]}`
  }
}
