/**
 * Files from Debian's packages, for tests that need real programs, without installing anything: a package is
 * downloaded once and unpacked into a folder of this repository's cache.
 */
import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import * as path from 'node:path'

const cache = path.resolve(import.meta.dirname, '../../.cache/debian')

/**
 * The folder that holds the unpacked files of the Debian package `name` (not of its dependencies).
 * Throws where apt or Debian's packages are not to be had.
 */
export function debianPackage(name: string): string {
  const folder = path.join(cache, name)
  if (fs.existsSync(folder)) return folder
  fs.mkdirSync(cache, { recursive: true })
  const work = fs.mkdtempSync(path.join(cache, '.work-'))
  try {
    try {
      apt('download', name)
    } catch {
      apt('update', '-qq')
      apt('download', name)
    }
    const archive = fs.readdirSync(work).find(file => file.endsWith('.deb'))!
    const unpacked = path.join(work, 'root')
    execFileSync('dpkg-deb', ['-x', path.join(work, archive), unpacked])
    if (!fs.existsSync(folder)) fs.renameSync(unpacked, folder)
    return folder
  } finally {
    fs.rmSync(work, { recursive: true, force: true })
  }

  function apt(...args: string[]): void {
    // The sandbox user of apt cannot write to a folder of root's.
    execFileSync('apt-get', ['-o', 'APT::Sandbox::User=root', ...args], { cwd: work, stdio: 'pipe' })
  }
}

/** {@link debianPackage}, or the reason why it cannot be had, for `test(…, { skip })`. */
export function debianPackageOrReason(name: string): { folder: string } | { reason: string } {
  try {
    return { folder: debianPackage(name) }
  } catch (error) {
    return { reason: `Debian's package ${name} is not to be had: ${String(error).split('\n')[0]}` }
  }
}

const MACHINE = process.arch === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu'

/**
 * The program `name` of the Debian package `name`, with the libraries of other packages that it needs beside the C library's;
 * or the reason why it cannot be had.
 */
export function debianProgram(
  name: string,
  libraries: string[],
): { file: string; env: Record<string, string> } | { reason: string } {
  const folders: string[] = []
  for (const one of [name, ...libraries]) {
    const unpacked = debianPackageOrReason(one)
    if ('reason' in unpacked) return unpacked
    folders.push(unpacked.folder)
  }
  const places = folders.flatMap(folder => ['usr/lib', 'lib'].map(lib => path.join(folder, lib, MACHINE)))
  return {
    file: path.join(folders[0]!, 'usr/bin', name),
    env: { LD_LIBRARY_PATH: places.filter(place => fs.existsSync(place)).join(':') },
  }
}
