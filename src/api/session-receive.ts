/**
 * Files over a session, in fsutil's protocol: the sender tells the metadata of all files in order, the receiver asks for the
 * contents it lacks by their number, and both say FIN.
 *
 * What was received is never changed in place, only replaced: layers of the build cache may hold further names of these files.
 */
import { createHash, type Hash, hash } from 'node:crypto'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { type FolderContents, Listing } from '../build/index.ts'
import { hasCode, invalid, messageOf } from '../errors.ts'
import * as linux from '../linux/index.ts'
import {
  GO_CHAR,
  GO_DEVICE,
  GO_DIR,
  GO_PIPE,
  GO_SETGID,
  GO_SETUID,
  GO_SOCKET,
  GO_STICKY,
  GO_SYMLINK,
} from './go-mode.ts'
import type { RpcStream } from './grpc-client.ts'
import { type Packet, Packet_PacketType, PacketSchema, type Stat } from './proto/gen/stat_pb.js'
import type { Session } from './session.ts'
import { type Index, newVersion, readIndex, type Told, writeIndex } from './session-index.ts'
import { noteSpent } from './spent-buffers.ts'

const { PACKET_STAT, PACKET_REQ, PACKET_DATA, PACKET_FIN, PACKET_ERR } = Packet_PacketType

export interface ReceiveOptions {
  session: Session
  /** Under which the client knows the folder. */
  name: string
  /** The local folder; kept between builds together with {@link index}. */
  folder: string
  /** File that says what `folder` holds; absent for an empty folder. */
  index?: string
  include?: string[]
  exclude: string[]
  follow?: string[]
  signal: AbortSignal
  onProgress(bytes: number, files: number): void
}

export interface Received {
  contents: FolderContents
  /** Resolves when the folder's index is written. */
  settled: Promise<void>
}

/** Make `folder` what the client has. Only files that changed are sent. */
export async function receiveFiles(options: ReceiveOptions): Promise<Received> {
  const { session, name, signal } = options
  const stream = session.rpc.stream(
    '/moby.filesync.v1.FileSync/DiffCopy',
    {
      'dir-name': name,
      'include-patterns': options.include ?? [],
      'exclude-patterns': options.exclude,
      followpaths: options.follow ?? [],
    },
    bytes => receiver.take(packetOf(bytes)),
  )
  // The client is on its way through its files while the index is read here.
  const receiver = new Receiver(options, stream)
  const abort = () => stream.cancel()
  signal.addEventListener('abort', abort, { once: true })
  try {
    await stream.ended
    signal.throwIfAborted()
    return receiver.finish()
  } finally {
    signal.removeEventListener('abort', abort)
    receiver.close()
  }
}

function packetOf(bytes: Uint8Array): Packet {
  try {
    return fromBinary(PacketSchema, bytes)
  } catch (error) {
    throw invalid(
      `failed to receive the context: is there a file name that is not UTF-8? (${messageOf(error)})`,
      error,
    )
  }
}

/** A file that was asked for. */
interface Incoming {
  stat: Stat
  place: string
  told: Told
  /** While more of it is to come. The sum is in hex already where the file came in one piece. */
  open?: { fd: number; sum: Hash | string }
}

class Receiver {
  readonly #stream: RpcStream
  readonly #options: ReceiveOptions
  readonly #before: Index
  readonly #after = new Map<string, Told>()
  readonly #incoming = new Map<number, Incoming>()
  readonly #folders: Stat[] = []
  readonly #links: Stat[] = []
  /** Folders whose times have to be set again: something in them came or went. */
  readonly #touched = new Set<string>()
  #hasForeignOwners = false
  #hasAttributes = false
  #hasDevices = false
  #isChanged = false
  /** The folder in which the last name was. */
  #parent = ''
  #count = 0
  #all = false
  #bytes = 0
  #files = 0
  #done = false

  constructor(options: ReceiveOptions, stream: RpcStream) {
    this.#options = options
    this.#stream = stream
    const before = options.index === undefined ? undefined : readIndex(options.index)
    this.#before = before ?? { version: '', files: new Map() }
    if (before) return
    this.#change()
    for (const name of fs.readdirSync(options.folder)) removeAny(path.join(options.folder, name))
  }

  /** Before anything is changed. A crash in the middle must not leave an index that promises what is not there. */
  #change(): void {
    if (this.#isChanged) return
    this.#isChanged = true
    if (this.#options.index) fs.rmSync(this.#options.index, { force: true })
  }

  take(packet: Packet): void {
    switch (packet.type) {
      case PACKET_STAT:
        if (packet.stat) this.#stat(packet.stat, this.#count++)
        else this.#all = true
        break
      case PACKET_DATA:
        this.#data(packet.ID, packet.data)
        break
      case PACKET_ERR:
        throw invalid(`error from sender: ${Buffer.from(packet.data).toString('utf8')}`)
      case PACKET_FIN:
        this.#stream.end()
        return
      default:
    }
    if (this.#all && this.#incoming.size === 0 && !this.#done) {
      this.#done = true
      this.#send({ type: PACKET_FIN })
    }
  }

  #send(fields: { type: Packet_PacketType; ID?: number }): void {
    this.#stream.send(toBinary(PacketSchema, create(PacketSchema, fields)))
  }

  #stat(stat: Stat, number: number): void {
    const place = this.#place(stat.path)
    if (this.#after.has(stat.path)) throw invalidPath(stat.path)
    if (stat.mode & GO_SOCKET) return
    const metadata = describe(stat)
    const before = this.#before.files.get(stat.path)
    const isFolder = stat.mode >= GO_DIR
    this.#hasForeignOwners ||= stat.uid !== 0 || stat.gid !== 0
    this.#hasDevices ||= !isFolder && (stat.mode & GO_DEVICE) !== 0
    for (const _ in stat.xattrs) this.#hasAttributes = true
    const isLink = !isFolder && !(stat.mode & GO_SYMLINK) && stat.linkname !== ''
    if (isLink) this.#links.push(stat)
    if (isFolder) this.#folders.push(stat)
    if (before?.metadata === metadata && !isLink) {
      this.#after.set(stat.path, before)
      return
    }
    this.#change()
    const { uid, gid } = stat
    const told: Told = { metadata, mode: statMode(stat), uid, gid }
    this.#after.set(stat.path, told)
    this.#touched.add(isFolder ? stat.path : this.#parent)
    if (isFolder) {
      if (!before || !isFolderMode(before.mode)) makeFolder(place)
      return
    }
    if (isLink) return
    if (before) removeAny(place)
    if (stat.mode & GO_SYMLINK) {
      replacing(place, () => fs.symlinkSync(stat.linkname, place))
      setMetadata(place, stat)
      told.content = stat.linkname
    } else if (stat.mode & (GO_DEVICE | GO_PIPE)) {
      replacing(place, () => makeNode(place, stat))
      setMetadata(place, stat)
    } else if (stat.size === 0n) {
      const file = { stat, place, told }
      this.#finishFile(file, openNew(place, stat), hash('sha256', ''))
    } else {
      this.#incoming.set(number, { stat, place, told })
      this.#send({ type: PACKET_REQ, ID: number })
    }
    this.#files++
  }

  #data(number: number, data: Uint8Array): void {
    const file = this.#incoming.get(number)
    if (!file) throw invalid('the client sent a file that was not asked for')
    if (data.length === 0) {
      this.#incoming.delete(number)
      const { fd, sum } = file.open ?? { fd: openNew(file.place, file.stat), sum: hash('sha256', '') }
      this.#finishFile(file, fd, typeof sum === 'string' ? sum : sum.digest('hex'))
      return
    }
    this.#write(file, data)
    noteSpent(data.length)
    this.#bytes += data.length
    this.#options.onProgress(this.#bytes, this.#files)
  }

  #write(file: Incoming, data: Uint8Array): void {
    const { stat, place } = file
    if (!file.open && BigInt(data.length) === stat.size) {
      file.open = { fd: openNew(place, stat), sum: hash('sha256', data) }
    } else {
      file.open ??= { fd: openNew(place, stat), sum: createHash('sha256') }
      // One that became larger while it was sent.
      if (typeof file.open.sum === 'string')
        file.open.sum = createHash('sha256').update(fs.readFileSync(place))
      file.open.sum.update(data)
    }
    writeAll(file.open.fd, data)
  }

  #finishFile(
    { stat, place, told }: Pick<Incoming, 'stat' | 'place' | 'told'>,
    fd: number,
    sum: string,
  ): void {
    fs.closeSync(fd)
    setMetadata(place, stat)
    told.content = sum
  }

  /** No name leads out of the folder: its parts are plain, and no folder in it is a link. */
  #place(name: string): string {
    const slash = name.lastIndexOf('/')
    const parent = slash < 0 ? '' : name.slice(0, slash)
    const last = name.slice(slash + 1)
    // Whoever has a folder told its parts before; the parts of one that is not known are of no interest.
    if (parent !== this.#parent && parent !== '' && !this.#isKnownFolder(parent)) throw invalidPath(name)
    if (slash === 0 || last === '' || last === '.' || last === '..') throw invalidPath(name)
    this.#parent = parent
    return `${this.#options.folder}/${name}`
  }

  #isKnownFolder(name: string): boolean {
    const told = this.#after.get(name)
    return told !== undefined && isFolderMode(told.mode)
  }

  finish(): Received {
    const { folder, index } = this.#options
    for (const link of this.#links) {
      const place = this.#place(link.path)
      this.#touched.add(this.#parent)
      removeAny(place)
      fs.linkSync(this.#place(link.linkname), place)
    }
    for (const name of this.#before.files.keys()) {
      if (this.#after.has(name)) continue
      this.#change()
      this.#touched.add(name.slice(0, Math.max(0, name.lastIndexOf('/'))))
      removeAny(path.join(folder, name))
    }
    for (const stat of this.#folders.reverse()) {
      if (this.#touched.has(stat.path)) setMetadata(this.#place(stat.path), stat)
    }
    const version = this.#isChanged ? newVersion() : this.#before.version
    const written = this.#isChanged && index ? writeIndex(index, { version, files: this.#after }) : undefined
    const isSimple = this.#links.length === 0 && !this.#hasAttributes
    return {
      contents: {
        listing: this.#listing(version, isSimple && !this.#hasDevices),
        isPlain: isSimple && !this.#hasForeignOwners,
      },
      settled: written ?? Promise.resolve(),
    }
  }

  #listing(version: string, isWhole: boolean): Listing {
    const { mode, uid, gid } = fs.lstatSync(this.#options.folder)
    return new Listing(version, isWhole, this.#after.set('', { metadata: '', mode, uid, gid }))
  }

  close(): void {
    for (const { open } of this.#incoming.values()) if (open) fs.closeSync(open.fd)
    this.#incoming.clear()
  }
}

/** All that is told of a name. */
function describe({ mode, uid, gid, size, modTime, linkname, xattrs }: Stat): string {
  let text = `${mode} ${uid} ${gid} ${size} ${modTime} ${linkname}`
  for (const name in xattrs) text += ` ${name}=${Buffer.from(xattrs[name]!).toString('hex')}`
  return text
}

/** `st_mode` of the file that is made. */
function statMode({ mode }: Stat): number {
  if (mode >= GO_DIR) return S_IFDIR | permissions(mode)
  if (mode & GO_SYMLINK) return S_IFLNK | 0o777
  if (mode & GO_PIPE) return linux.S_IFIFO | permissions(mode)
  if (mode & GO_DEVICE) return deviceKind(mode) | permissions(mode)
  return linux.S_IFREG | permissions(mode)
}

const { S_IFDIR, S_IFLNK, S_IFMT } = fs.constants

const isFolderMode = (mode: number): boolean => (mode & S_IFMT) === S_IFDIR

const deviceKind = (mode: number): number => (mode & GO_CHAR ? linux.S_IFCHR : linux.S_IFBLK)

const invalidPath = (name: string): Error => invalid(`invalid path from the client: ${name}`)

/** Make something where nothing should be; what is there nevertheless goes. */
function replacing<T>(place: string, make: () => T): T {
  try {
    return make()
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error
    removeAny(place)
    return make()
  }
}

const openNew = (place: string, stat: Stat): number =>
  replacing(place, () => fs.openSync(place, 'wx', stat.mode & 0o777))

function writeAll(fd: number, data: Uint8Array): void {
  for (let at = 0; at < data.length; ) at += fs.writeSync(fd, data, at)
}

function removeAny(place: string): void {
  try {
    fs.unlinkSync(place)
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return
    fs.rmSync(place, { recursive: true, force: true })
  }
}

function makeFolder(place: string): void {
  if (fs.lstatSync(place, { throwIfNoEntry: false })?.isDirectory()) return
  removeAny(place)
  fs.mkdirSync(place, 0o755)
}

function makeNode(place: string, stat: Stat): void {
  const kind = stat.mode & GO_PIPE ? linux.S_IFIFO : deviceKind(stat.mode)
  linux.mknod(place, kind | (stat.mode & 0o777), Number(stat.devmajor), Number(stat.devminor))
}

function permissions(mode: number): number {
  return (
    (mode & 0o777) |
    (mode & GO_SETUID ? 0o4000 : 0) |
    (mode & GO_SETGID ? 0o2000 : 0) |
    (mode & GO_STICKY ? 0o1000 : 0)
  )
}

const umask = process.umask()

function setMetadata(place: string, stat: Stat): void {
  if (stat.uid !== 0 || stat.gid !== 0) fs.lchownSync(place, stat.uid, stat.gid)
  const mode = permissions(stat.mode)
  const isFile = stat.mode < GO_DIR && !(stat.mode & (GO_SYMLINK | GO_DEVICE | GO_PIPE))
  // A file was made with this mode already, as far as the umask let it.
  if (!(stat.mode & GO_SYMLINK) && !(isFile && mode <= 0o777 && (mode & umask) === 0)) {
    fs.chmodSync(place, mode)
  }
  for (const [name, value] of Object.entries(stat.xattrs)) {
    if (name !== 'security.capability' && !name.startsWith('user.')) continue
    linux.setxattr(place, name, value)
  }
  linux.lutimens(place, stat.modTime, stat.modTime)
}
