/** Packs or unpacks files of a container, in a thread that is confined to its root: no link leads out of it. */
import * as fs from 'node:fs'
import { hasCode, invalid } from '../errors.ts'
import {
  createFile,
  makeSpecial,
  placing,
  setAttributes,
  setTimes,
  setXattrs,
} from '../image/confined/files.ts'
import { confinedTask, type TaskPort } from '../image/confined/task.ts'
import { lstatExact, TreeWriter, walk } from '../image/confined/tree.ts'
import { type ByteString, fromBytes, type TarEntry, toText } from '../image/tar/entry.ts'
import { type TarHandler, TarParser } from '../image/tar/parser.ts'
import { cleanPath, escapes, fsPath, joinPath } from '../image/tar/path.ts'
import { TarWriter } from '../image/tar/writer.ts'

export type ArchiveRequest =
  /** `name` replaces `path` at the beginning of each entry's name. */
  | {
      kind: 'pack'
      path: string
      name: string
      /** Mounts that belong to the container's content. Others (/proc, /sys, /dev) are shown as empty folders. */
      mounts: string[]
    }
  | {
      kind: 'unpack'
      /** A folder. */
      path: string
      noOverwriteDirNonDir: boolean
      /** Everything belongs to this user instead of whom the archive says. */
      owner?: { uid: number; gid: number }
    }

async function run(request: ArchiveRequest, port: TaskPort<null>): Promise<null> {
  const path = fromBytes(Buffer.from(request.path))
  if (request.kind === 'pack') pack(path, fromBytes(Buffer.from(request.name)), new Set(request.mounts), port)
  else {
    const unpacker = new Unpacker(path, request)
    const parser = new TarParser(unpacker)
    for await (const chunk of port.input()) parser.push(chunk)
    parser.end()
    unpacker.finish()
  }
  return null
}

function pack(path: ByteString, name: ByteString, mounts: ReadonlySet<string>, port: TaskPort<null>): void {
  const writer = new TarWriter(bytes => port.write(bytes))
  const tree = new TreeWriter(writer)
  const prefix = path === '/' ? 0 : path.length
  const renamed = (each: ByteString): ByteString => {
    const rest = path === '/' && each === '/' ? '' : each.slice(prefix)
    if (name === '') return rest.slice(1)
    return name === '/' ? `/${rest.slice(1)}` : name + rest
  }
  const top = lstatExact(path)
  if (top) {
    const devices = new Set([top.dev])
    if (name !== '') tree.add(path, top, renamed(path))
    if (top.isDirectory()) {
      walk(path, (each, stat) => {
        tree.add(each, stat, renamed(each))
        if (mounts.has(each)) devices.add(stat.dev)
        return devices.has(stat.dev)
      })
    }
  }
  writer.end()
}

/** Entries become files below a folder; what was there of the same name goes, but a folder stays one. */
class Unpacker implements TarHandler {
  readonly #root: ByteString
  readonly #options: Extract<ArchiveRequest, { kind: 'unpack' }>
  readonly #folders: { path: ByteString; entry: TarEntry }[] = []
  #entry: TarEntry | undefined
  #path: ByteString = '/'
  #fd = -1
  #extent = 0
  #written = 0

  constructor(root: ByteString, options: Extract<ArchiveRequest, { kind: 'unpack' }>) {
    this.#root = root
    this.#options = options
  }

  entry(entry: TarEntry): void {
    if (escapes(entry.name)) throw invalid(`invalid entry name "${toText(entry.name)}"`)
    const inside = cleanPath(entry.name)
    const path = inside === '/' ? this.#root : joinPath(this.#root, inside.slice(1))
    this.#path = path
    const { owner } = this.#options
    this.#entry = owner ? { ...entry, ...owner } : entry
    const there = fs.lstatSync(fsPath(path), { throwIfNoEntry: false })
    if (there && this.#options.noOverwriteDirNonDir) this.#checkKinds(there, entry)
    if (entry.type === 'directory') this.#folder(path, this.#entry, there)
    else {
      if (there?.isDirectory() && inside === '/') throw invalid(`cannot replace ${toText(path)}`)
      this.#place(path, this.#entry)
    }
  }

  #checkKinds(there: fs.Stats, entry: TarEntry): void {
    const [old, fresh] = [toText(this.#path), toText(entry.name)]
    if (there.isDirectory() && entry.type !== 'directory') {
      throw invalid(
        `cannot overwrite directory ${JSON.stringify(old)} with non-directory ${JSON.stringify(fresh)}`,
      )
    }
    if (!there.isDirectory() && entry.type === 'directory') {
      throw invalid(
        `cannot overwrite non-directory ${JSON.stringify(old)} with directory ${JSON.stringify(fresh)}`,
      )
    }
  }

  #folder(path: ByteString, entry: TarEntry, there: fs.Stats | undefined): void {
    // The folder into which is unpacked keeps what it is.
    if (path === this.#root) return
    if (!there?.isDirectory()) placing(path, () => fs.mkdirSync(fsPath(path), 0o700))
    else fs.lchownSync(fsPath(path), 0, 0)
    setAttributes(path, entry, entry.uid, entry.gid, true)
    this.#folders.push({ path, entry })
  }

  #place(path: ByteString, entry: TarEntry): void {
    switch (entry.type) {
      case 'file':
        this.#fd = createFile(path, 0o600)
        this.#extent = this.#written = 0
        break
      case 'link': {
        if (escapes(entry.linkName)) throw invalid(`invalid hardlink "${toText(entry.linkName)}"`)
        const target = joinPath(this.#root, cleanPath(entry.linkName).slice(1))
        if (target !== path) placing(path, () => fs.linkSync(fsPath(target), fsPath(path)))
        break
      }
      default:
        placing(path, () => makeSpecial(path, entry))
        setAttributes(path, entry, entry.uid, entry.gid, true)
        setTimes(path, entry.mtime, entry.mtimeNanos)
    }
  }

  data(bytes: Buffer): void {
    if (this.#fd < 0) return
    const { extents } = this.#entry!
    for (let at = 0; at < bytes.length; ) {
      const extent = extents?.[this.#extent]
      const end = extent ? Math.min(bytes.length, at + extent.length - this.#written) : bytes.length
      const position = extent ? extent.offset + this.#written : null
      const count = fs.writeSync(this.#fd, bytes, at, end - at, position)
      at += count
      this.#written += count
      if (extent && this.#written === extent.length) {
        this.#written = 0
        this.#extent++
      }
    }
  }

  end(): void {
    if (this.#fd < 0) return
    const entry = this.#entry!
    const fd = this.#fd
    this.#fd = -1
    try {
      if (entry.extents) fs.ftruncateSync(fd, entry.size)
      fs.fchownSync(fd, entry.uid, entry.gid)
      fs.fchmodSync(fd, entry.mode)
      if (entry.xattrs) setXattrs(fd, entry.xattrs)
    } finally {
      fs.closeSync(fd)
    }
    setTimes(this.#path, entry.mtime, entry.mtimeNanos)
  }

  /** Folders get their times last, since every file put into them changes it. */
  finish(): void {
    for (const { path, entry } of this.#folders.reverse()) {
      try {
        setTimes(path, entry.mtime, entry.mtimeNanos)
      } catch (error) {
        if (!hasCode(error, 'ENOENT', 'ENOTDIR')) throw error
      }
    }
  }
}

await confinedTask<ArchiveRequest, null>(run)
