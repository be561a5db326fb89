/** Folders of contexts while a build needs them. */
import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import * as path from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { FilePool } from './solve/file-pool.ts'
import type { LocalFolder } from './solve/session.ts'

export class Contexts {
  readonly #folder: string
  readonly #files: FilePool

  /** What an earlier run left below `root` is removed. */
  constructor(root: string, files: FilePool) {
    this.#folder = path.join(root, 'contexts')
    this.#files = files
    fs.rmSync(this.#folder, { recursive: true, force: true })
    fs.mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
  }

  /** An empty folder of one's own. */
  create(): LocalFolder {
    const folder = path.join(this.#folder, randomBytes(12).toString('hex'))
    const content = path.join(folder, 'files')
    fs.mkdirSync(content, { recursive: true, mode: 0o755 })
    return {
      path: content,
      release: () => void this.#files.run({ job: 'remove', paths: [folder] }).catch(() => {}),
    }
  }

  /** What a tar holds, in any compression. */
  async fromTar(stream: Readable, signal?: AbortSignal): Promise<LocalFolder> {
    const folder = this.create()
    const file = path.join(path.dirname(folder.path), 'context.tar')
    try {
      await pipeline(stream, fs.createWriteStream(file, { flags: 'wx', mode: 0o600 }), { signal })
      const isPlain = await this.unpack(file, folder.path)
      return { ...folder, contents: { isPlain } }
    } catch (error) {
      folder.release()
      throw error
    } finally {
      fs.rmSync(file, { force: true })
    }
  }

  /** @returns whether all is as `FolderContents.isPlain` says, if nothing was in the folder before. */
  async unpack(file: string, into: string): Promise<boolean> {
    const rootFd = fs.openSync(into, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY)
    try {
      return await this.#files.run<boolean>({ job: 'unpack', file, rootFd })
    } finally {
      fs.closeSync(rootFd)
    }
  }

  /** A copy of a folder of this host, without what is excluded; everything owned by root. */
  async fromFolder(source: string, exclude: string[]): Promise<LocalFolder> {
    const folder = this.create()
    const from = fs.openSync(source, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY)
    const rootFd = fs.openSync(folder.path, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY)
    const copy = {
      action: 'copy' as const,
      from: 0,
      source: '/',
      destination: '/',
      owner: { user: '0', group: '0' },
    }
    try {
      const actions = [{ ...copy, exclude, parents: false, unpack: false, allowEmpty: true }]
      await this.#files.run({ job: 'apply', rootFd, inputs: [from], actions })
      return folder
    } catch (error) {
      folder.release()
      throw error
    } finally {
      fs.closeSync(from)
      fs.closeSync(rootFd)
    }
  }

  /** Take what is excluded out of a folder. */
  async prune(folder: string, exclude: string[]): Promise<void> {
    if (exclude.length > 0) await this.#files.run({ job: 'exclude', folder, exclude })
  }
}
