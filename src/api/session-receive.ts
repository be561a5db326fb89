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
import type { FolderContents } from '../build/index.ts'
import { bootId } from '../durable.ts'
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

const { PACKET_STAT, PACKET_REQ, PACKET_DATA, PACKET_FIN, PACKET_ERR } = Packet_PacketType

/** What is remembered of each name that was received: its metadata, and the digest of a file's content. */
type Known = [metadata: string, sum?: string]
type Index = Map<string, Known>

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

/** Make `folder` what the client has. Only files that changed are sent. */
export async function receiveFiles(options: ReceiveOptions): Promise<FolderContents> {
  const { session, name, signal } = options
  const receiver = new Receiver(options)
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
  receiver.stream = stream
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
  /** While more of it is to come. */
  open?: { fd: number; sum: Hash }
}

class Receiver {
  stream!: RpcStream
  readonly #options: ReceiveOptions
  readonly #before: Index
  readonly #after: Index = new Map()
  readonly #incoming = new Map<number, Incoming>()
  readonly #folders: Stat[] = []
  readonly #links: Stat[] = []
  #hasForeignOwners = false
  #hasAttributes = false
  #count = 0
  #all = false
  #bytes = 0
  #files = 0
  #done = false

  constructor(options: ReceiveOptions) {
    this.#options = options
    const before = options.index === undefined ? undefined : readIndex(options.index)
    if (!before) for (const name of fs.readdirSync(options.folder)) removeAny(path.join(options.folder, name))
    this.#before = before ?? new Map()
    // A crash in the middle must not leave an index that promises what is not there.
    if (options.index) fs.rmSync(options.index, { force: true })
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
        this.stream.end()
        return
      default:
    }
    if (this.#all && this.#incoming.size === 0 && !this.#done) {
      this.#done = true
      this.#send({ type: PACKET_FIN })
    }
  }

  #send(fields: { type: Packet_PacketType; ID?: number }): void {
    this.stream.send(toBinary(PacketSchema, create(PacketSchema, fields)))
  }

  #stat(stat: Stat, number: number): void {
    const place = this.#place(stat.path)
    const metadata = describe(stat)
    const before = this.#before.get(stat.path)
    this.#hasForeignOwners ||= stat.uid !== 0 || stat.gid !== 0
    for (const _ in stat.xattrs) this.#hasAttributes = true
    const isLink = stat.mode < GO_DIR && !(stat.mode & GO_SYMLINK) && stat.linkname !== ''
    if (isLink) this.#links.push(stat)
    if (before?.[0] === metadata && !isLink) {
      this.#after.set(stat.path, before)
      if (stat.mode >= GO_DIR) this.#folders.push(stat)
      return
    }
    this.#after.set(stat.path, [metadata])
    if (stat.mode >= GO_DIR) {
      if (!before?.[0].startsWith('d')) makeFolder(place)
      this.#folders.push(stat)
      return
    }
    if (stat.mode & GO_SOCKET || isLink) return
    if (before) removeAny(place)
    if (stat.mode & GO_SYMLINK) {
      replacing(place, () => fs.symlinkSync(stat.linkname, place))
      setMetadata(place, stat)
    } else if (stat.mode & (GO_DEVICE | GO_PIPE)) {
      replacing(place, () => makeNode(place, stat))
      setMetadata(place, stat)
    } else if (stat.size === 0n) {
      const file = { stat, place }
      this.#finishFile(file, openNew(place, stat), hash('sha256', ''))
    } else {
      this.#incoming.set(number, { stat, place })
      this.#send({ type: PACKET_REQ, ID: number })
    }
    this.#files++
  }

  #data(number: number, data: Uint8Array): void {
    const file = this.#incoming.get(number)
    if (!file) throw invalid('the client sent a file that was not asked for')
    if (data.length === 0) {
      this.#incoming.delete(number)
      const { fd, sum } = file.open ?? { fd: openNew(file.place, file.stat), sum: createHash('sha256') }
      this.#finishFile(file, fd, sum.digest('hex'))
      return
    }
    if (!file.open) file.open = { fd: openNew(file.place, file.stat), sum: createHash('sha256') }
    writeAll(file.open.fd, data)
    file.open.sum.update(data)
    this.#bytes += data.length
    this.#options.onProgress(this.#bytes, this.#files)
  }

  #finishFile({ stat, place }: Incoming, fd: number, sum: string): void {
    fs.closeSync(fd)
    setMetadata(place, stat)
    this.#after.get(stat.path)![1] = sum
  }

  /** No name leads out of the folder: its parts are plain, and no folder in it is a link. */
  #place(name: string): string {
    const parts = name.split('/')
    if (name === '' || parts.some(part => part === '' || part === '.' || part === '..')) {
      throw invalid(`invalid path from the client: ${name}`)
    }
    const parent = parts.slice(0, -1).join('/')
    if (parent !== '' && !this.#isKnownFolder(parent)) throw invalid(`invalid path from the client: ${name}`)
    return path.join(this.#options.folder, name)
  }

  #isKnownFolder(name: string): boolean {
    return this.#after.get(name)?.[0].startsWith('d') ?? false
  }

  finish(): FolderContents {
    const { folder, index } = this.#options
    for (const link of this.#links) {
      const place = this.#place(link.path)
      removeAny(place)
      fs.linkSync(this.#place(link.linkname), place)
    }
    for (const name of this.#before.keys()) {
      if (!this.#after.has(name)) removeAny(path.join(folder, name))
    }
    for (const stat of this.#folders.reverse()) setMetadata(this.#place(stat.path), stat)
    if (index) fs.writeFileSync(index, JSON.stringify({ boot: bootId(), files: [...this.#after] }))
    return {
      sums: new Map([...this.#after].flatMap(([name, [, sum]]) => (sum === undefined ? [] : [[name, sum]]))),
      isPlain: this.#links.length === 0 && !this.#hasForeignOwners && !this.#hasAttributes,
    }
  }

  close(): void {
    for (const { open } of this.#incoming.values()) if (open) fs.closeSync(open.fd)
    this.#incoming.clear()
  }
}

/** `undefined` where there is none, or one of before a reboot: nothing says how much of the files had reached the disk by then. */
function readIndex(file: string): Index | undefined {
  try {
    const { boot, files } = JSON.parse(fs.readFileSync(file, 'utf8')) as {
      boot: string
      files: [string, Known][]
    }
    return boot === bootId() ? new Map(files) : undefined
  } catch (error) {
    if (error instanceof SyntaxError || hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

/** All that is told of a name; begins with `d` for a folder. */
function describe(stat: Stat): string {
  const kind = stat.mode >= GO_DIR ? 'd' : 'f'
  const { mode, uid, gid, size, modTime, linkname } = stat
  let text = `${kind} ${mode} ${uid} ${gid} ${size} ${modTime} ${linkname}`
  for (const [name, value] of Object.entries(stat.xattrs)) {
    text += ` ${name}=${Buffer.from(value).toString('hex')}`
  }
  return text
}

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
  const device = stat.mode & GO_CHAR ? linux.S_IFCHR : linux.S_IFBLK
  const kind = stat.mode & GO_PIPE ? linux.S_IFIFO : device
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
