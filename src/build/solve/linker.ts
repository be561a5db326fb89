/**
 * Files of a folder that never change get further names in a layer, instead of being copied: a copy of ten thousand files takes a second, as
 * many links a tenth. The folder and the layer are on one file system, and what is written to a layer's file is written to a copy: overlayfs
 * sees to that.
 *
 * The merged tree would copy, so links are made in the layer's own folder, at the end, when nobody looks at the merged tree any more. A root
 * must not show one file under two names; so a root has one layer at most that was made this way, which is marked.
 */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { hasCode, invalid } from '../../errors.ts'
import * as linux from '../../linux/index.ts'
import type { Folder } from './tree.ts'

const MARK = 'trusted.gantry.linked'
const ALL = 'all'

/** Whether a layer has files that are elsewhere too. */
export function hasLinkedFiles(upperdir: string): boolean {
  return linux.getxattr(fs.realpathSync(upperdir), MARK) !== undefined
}

/** Whether no file of a layer has attributes, so that nobody need look for them. */
export function isWithoutAttributes(upperdir: string): boolean {
  return linux.getxattr(fs.realpathSync(upperdir), MARK)?.toString() === ALL
}

interface Pending {
  /** In the layer. */
  place: string
  /** Path of the file by target name. */
  files: Map<string, string>
  times?: fs.BigIntStats
}

export class Linker {
  readonly #upperdir: string
  /** By their path in the merged tree. */
  readonly #folders = new Map<string, Pending>()

  constructor(upperdir: string) {
    this.#upperdir = upperdir
  }

  /** Where files for `to`, a folder of the merged tree, are noted: source paths by name. */
  into(to: Folder): Map<string, string> {
    const merged = to.path('')
    const known = this.#folders.get(merged)
    if (known) return known.files
    // Any change brings a folder of the layers below into this one.
    fs.chmodSync(to.at(''), Number(fs.statSync(to.at('')).mode) & 0o7777)
    const pending: Pending = { place: path.join(this.#upperdir, merged), files: new Map() }
    this.#folders.set(merged, pending)
    return pending.files
  }

  /** The folder shall have these times in the end. */
  date(to: Folder, times: fs.BigIntStats): void {
    const pending = this.#folders.get(to.path(''))
    if (pending) pending.times = times
  }

  /** Something else comes where a file was to be. */
  drop(to: Folder, name: string): void {
    this.#folders.get(to.path(''))?.files.delete(name)
  }

  has(to: Folder, name: string): boolean {
    return this.#folders.get(to.path(''))?.files.has(name) ?? false
  }

  /** `isAll`: nothing but these files and folders was put into the layer. */
  finish(isAll: boolean): void {
    let isUsed = false
    for (const { place, files, times } of this.#folders.values()) {
      for (const [name, source] of files) link(source, `${place}/${name}`)
      if (times) linux.lutimens(place, times.atimeNs, times.mtimeNs)
      isUsed ||= files.size > 0
    }
    if (isUsed) linux.setxattr(this.#upperdir, MARK, Buffer.from(isAll ? ALL : 'some'))
  }
}

function link(source: string, place: string): void {
  try {
    fs.linkSync(source, place)
  } catch (error) {
    if (hasCode(error, 'EEXIST')) {
      if (fs.lstatSync(place).isDirectory()) throw invalid(`cannot replace to directory ${place} with file`)
      fs.unlinkSync(place)
      link(source, place)
    } else if (hasCode(error, 'EMLINK', 'EXDEV')) copy(source, place)
    else throw error
  }
}

/** A file can have so many names only: 65,000 on ext4. */
function copy(source: string, place: string): void {
  const stat = fs.lstatSync(source, { bigint: true })
  fs.copyFileSync(source, place, fs.constants.COPYFILE_EXCL)
  fs.chmodSync(place, Number(stat.mode) & 0o7777)
  linux.lutimens(place, stat.atimeNs, stat.mtimeNs)
}
