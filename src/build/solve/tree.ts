/**
 * Files below a root that others wrote, reached without leaving it: a folder is opened by openat2(RESOLVE_IN_ROOT), and what
 * is done in it is done by a single name below that fd. No link in the root, planted or moved meanwhile, leads out.
 */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { hasCode } from '../../errors.ts'
import * as linux from '../../linux/index.ts'
import { decodeName, encodePath, isOdd, type Place, readLink } from './place.ts'

const FOLDER = linux.O_PATH | fs.constants.O_DIRECTORY

/** An open folder. Close it; {@link using} does. */
export class Folder {
  readonly fd: number

  constructor(fd: number) {
    this.fd = fd
  }

  /** A path that names `name` in this folder; `name` is one component, and not `..`. */
  at(name: string): Place {
    return encodePath(this.#text(name))
  }

  #text(name: string): string {
    return name === '' ? `/proc/self/fd/${this.fd}/.` : `/proc/self/fd/${this.fd}/${name}`
  }

  /** Where `name` is, seen from the root of the mount: for messages. */
  path(name: string): string {
    return path.posix.join(readLink(`/proc/self/fd/${this.fd}`), name)
  }

  /** What a plain folder in here opens as; links are not followed. */
  enter(name: string): Folder {
    if (isOdd(name)) return new Folder(fs.openSync(this.at(name), FOLDER | fs.constants.O_NOFOLLOW))
    return new Folder(
      linux.openat2(this.fd, name, {
        flags: FOLDER | fs.constants.O_NOFOLLOW,
        resolve: linux.RESOLVE_BENEATH,
      }),
    )
  }

  names(): string[] {
    const names = fs.readdirSync(this.#text(''))
    const isLost = names.some(name => name.includes('\ufffd'))
    return (isLost ? fs.readdirSync(this.#text(''), 'buffer').map(decodeName) : names).sort()
  }

  /** Names of the regular files. */
  files(): Set<string> {
    const entries = fs.readdirSync(this.#text(''), { withFileTypes: true })
    return new Set(entries.filter(entry => entry.isFile()).map(entry => entry.name))
  }

  close(): void {
    fs.closeSync(this.fd)
  }
}

/** `work` with `folder`, which is closed afterwards. */
export function using<T>(folder: Folder, work: (folder: Folder) => T): T {
  try {
    return work(folder)
  } finally {
    folder.close()
  }
}

/** A root, by the fd of its topmost folder. */
export class Tree {
  readonly rootFd: number

  constructor(rootFd: number) {
    this.rootFd = rootFd
  }

  /** The folder at `file`, links followed inside the root. Throws ENOENT, ENOTDIR. */
  folder(file: string): Folder {
    return new Folder(this.#open(file, FOLDER))
  }

  /** As {@link folder}; `undefined` where there is none. */
  tryFolder(file: string): Folder | undefined {
    try {
      return this.folder(file)
    } catch (error) {
      if (hasCode(error, 'ENOENT', 'ENOTDIR')) return undefined
      throw error
    }
  }

  /** What is at `file`; its last component is not followed unless `follow`. `undefined` where nothing is. */
  stat(file: string, follow = false): fs.BigIntStats | undefined {
    let fd: number
    try {
      const flags = linux.O_PATH | (follow ? 0 : fs.constants.O_NOFOLLOW)
      fd = this.#open(file, flags)
    } catch (error) {
      if (hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return undefined
      throw error
    }
    try {
      return fs.fstatSync(fd, { bigint: true })
    } finally {
      fs.closeSync(fd)
    }
  }

  /** The text of a small file; '' where there is none. */
  read(file: string): string {
    let fd: number
    try {
      fd = this.#open(file, fs.constants.O_RDONLY)
    } catch (error) {
      if (hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return ''
      throw error
    }
    try {
      return fs.readFileSync(fd, 'utf8')
    } finally {
      fs.closeSync(fd)
    }
  }

  /** The real path of what `file` names, seen from the root, all links followed; `undefined` where nothing is. */
  real(file: string): string | undefined {
    let fd: number
    try {
      fd = this.#open(file, linux.O_PATH)
    } catch (error) {
      if (hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return undefined
      throw error
    }
    try {
      return this.#pathOf(fd)
    } finally {
      fs.closeSync(fd)
    }
  }

  /** The path of what `folder` has under `name`, seen from the root. */
  pathIn(folder: Folder, name: string): string {
    return path.posix.join(this.#pathOf(folder.fd), name)
  }

  /** From the first name on that is not UTF-8, links are not followed. */
  #open(file: string, flags: number): number {
    const parts = inside(file).split('/')
    const odd = parts.findIndex(isOdd)
    const plain = odd < 0 ? inside(file) : parts.slice(0, odd).join('/') || '.'
    const resolve = linux.RESOLVE_IN_ROOT
    if (odd < 0) return linux.openat2(this.rootFd, plain, { flags, resolve })
    let fd = linux.openat2(this.rootFd, plain, { flags: FOLDER, resolve })
    for (let index = odd; index < parts.length; index++) {
      const folder = new Folder(fd)
      try {
        const isLast = index === parts.length - 1
        const place = folder.at(parts[index]!)
        fd = fs.openSync(place, (isLast ? flags : FOLDER) | fs.constants.O_NOFOLLOW)
      } finally {
        folder.close()
      }
    }
    return fd
  }

  #pathOf(fd: number): string {
    const found = readLink(`/proc/self/fd/${fd}`)
    const root = readLink(`/proc/self/fd/${this.rootFd}`)
    const rest = root === '/' ? found : found.slice(root.length)
    return rest === '' ? '/' : rest
  }
}

const inside = (file: string): string => (file.startsWith('/') ? file.slice(1) || '.' : file || '.')

/** Parent and name; the parent of `/a` is `/`. */
export function split(file: string): [parent: string, name: string] {
  const clean = path.posix.resolve('/', file)
  return [path.posix.dirname(clean), path.posix.basename(clean)]
}
