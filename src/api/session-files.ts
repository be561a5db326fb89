/**
 * Files over a session, in fsutil's protocol: the sender tells the metadata of all files in order, the receiver asks for the
 * contents it lacks by their number, and both say FIN.
 */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { hasCode, invalid } from '../errors.ts'
import * as linux from '../linux/index.ts'
import type { RpcStream } from './grpc-client.ts'
import { type Packet, Packet_PacketType, PacketSchema, type Stat } from './proto/gen/stat_pb.js'
import type { Session } from './session.ts'

const { PACKET_STAT, PACKET_REQ, PACKET_DATA, PACKET_FIN, PACKET_ERR } = Packet_PacketType

/** Go's `os.FileMode`. */
const GO_DIR = 2 ** 31
const GO_SYMLINK = 1 << 27
const GO_DEVICE = 1 << 26
const GO_PIPE = 1 << 25
const GO_SOCKET = 1 << 24
const GO_SETUID = 1 << 23
const GO_SETGID = 1 << 22
const GO_STICKY = 1 << 20

/** What is remembered of each file that was received. */
type Index = Record<string, string>

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
export async function receiveFiles(options: ReceiveOptions): Promise<void> {
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
    bytes => receiver.take(fromBinary(PacketSchema, bytes)),
  )
  receiver.stream = stream
  const abort = () => stream.cancel()
  signal.addEventListener('abort', abort, { once: true })
  try {
    await stream.ended
    signal.throwIfAborted()
    receiver.finish()
  } finally {
    signal.removeEventListener('abort', abort)
    receiver.close()
  }
}

interface Incoming {
  fd: number
  stat: Stat
  place: string
}

class Receiver {
  stream!: RpcStream
  readonly #options: ReceiveOptions
  readonly #before: Index
  readonly #after: Index = {}
  readonly #incoming = new Map<number, Incoming>()
  readonly #folders: Stat[] = []
  readonly #links: Stat[] = []
  #count = 0
  #all = false
  #bytes = 0
  #files = 0
  #done = false

  constructor(options: ReceiveOptions) {
    this.#options = options
    this.#before = readIndex(options.index)
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
    const known = fingerprint(stat)
    this.#after[stat.path] = known
    if (stat.mode >= GO_DIR) {
      if (this.#before[stat.path] === undefined) makeFolder(place)
      else if (this.#before[stat.path] !== known && !isFolder(place)) makeFolder(place)
      this.#folders.push(stat)
      return
    }
    if (this.#before[stat.path] === known) return
    if (stat.mode & GO_SOCKET) return
    if (stat.mode & GO_SYMLINK) {
      removeAny(place)
      fs.symlinkSync(stat.linkname, place)
      setMetadata(place, stat)
    } else if (stat.mode & (GO_DEVICE | GO_PIPE)) {
      removeAny(place)
      makeNode(place, stat)
      setMetadata(place, stat)
    } else if (stat.linkname !== '') this.#links.push(stat)
    else if (stat.size === 0n) {
      removeAny(place)
      fs.writeFileSync(place, '', { flag: 'wx' })
      setMetadata(place, stat)
    } else {
      removeAny(place)
      this.#incoming.set(number, { fd: fs.openSync(place, 'wx', 0o600), stat, place })
      this.#send({ type: PACKET_REQ, ID: number })
    }
    this.#files++
  }

  #data(number: number, data: Uint8Array): void {
    const file = this.#incoming.get(number)
    if (!file) throw invalid('the client sent a file that was not asked for')
    if (data.length > 0) {
      fs.writeSync(file.fd, data)
      this.#bytes += data.length
      this.#options.onProgress(this.#bytes, this.#files)
      return
    }
    fs.closeSync(file.fd)
    this.#incoming.delete(number)
    setMetadata(file.place, file.stat)
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
    return this.#after[name]?.startsWith('d') ?? false
  }

  finish(): void {
    const { folder, index } = this.#options
    for (const link of this.#links) {
      const place = this.#place(link.path)
      removeAny(place)
      fs.linkSync(this.#place(link.linkname), place)
    }
    for (const name of Object.keys(this.#before)) {
      if (this.#after[name] === undefined) removeAny(path.join(folder, name))
    }
    for (const stat of this.#folders.reverse()) setMetadata(this.#place(stat.path), stat)
    if (index) fs.writeFileSync(index, JSON.stringify(this.#after))
  }

  close(): void {
    for (const { fd } of this.#incoming.values()) fs.closeSync(fd)
    this.#incoming.clear()
  }
}

function readIndex(file: string | undefined): Index {
  if (!file) return {}
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8')) as Index
  } catch {
    return {}
  }
}

function fingerprint(stat: Stat): string {
  const kind = stat.mode >= GO_DIR ? 'd' : 'f'
  const xattrs = Object.entries(stat.xattrs).map(
    ([name, value]) => `${name}=${Buffer.from(value).toString('hex')}`,
  )
  return [kind, stat.mode, stat.uid, stat.gid, stat.size, stat.modTime, stat.linkname, ...xattrs].join(' ')
}

function removeAny(place: string): void {
  try {
    fs.unlinkSync(place)
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return
    fs.rmSync(place, { recursive: true, force: true })
  }
}

const isFolder = (place: string): boolean =>
  fs.lstatSync(place, { throwIfNoEntry: false })?.isDirectory() ?? false

function makeFolder(place: string): void {
  if (isFolder(place)) return
  removeAny(place)
  fs.mkdirSync(place, 0o755)
}

function makeNode(place: string, stat: Stat): void {
  const CHAR = 1 << 21
  const kind = stat.mode & GO_PIPE ? linux.S_IFIFO : stat.mode & CHAR ? linux.S_IFCHR : linux.S_IFBLK
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

function setMetadata(place: string, stat: Stat): void {
  if (stat.uid !== 0 || stat.gid !== 0) fs.lchownSync(place, stat.uid, stat.gid)
  if (!(stat.mode & GO_SYMLINK)) fs.chmodSync(place, permissions(stat.mode))
  for (const [name, value] of Object.entries(stat.xattrs)) {
    if (name !== 'security.capability' && !name.startsWith('user.')) continue
    linux.setxattr(place, name, value)
  }
  linux.lutimens(place, stat.modTime, stat.modTime)
}

// ---- sending ----

/** Bytes in one packet. */
const CHUNK = 32 * 1024

/** Send everything in `folder` to the client's output `exporter`. */
export async function sendFiles(
  session: Session,
  folder: string,
  exporter: string,
  signal: AbortSignal,
): Promise<void> {
  const wanted: number[] = []
  let wake = () => {}
  let finished = false
  const stream = session.rpc.stream(
    '/moby.filesync.v1.FileSend/DiffCopy',
    { 'buildkit-attachable-exporter-id': exporter },
    bytes => {
      const packet = fromBinary(PacketSchema, bytes)
      if (packet.type === PACKET_REQ) wanted.push(packet.ID)
      else if (packet.type === PACKET_FIN) finished = true
      else if (packet.type === PACKET_ERR) throw invalid(Buffer.from(packet.data).toString('utf8'))
      wake()
    },
  )
  const send = async (fields: Parameters<typeof create<typeof PacketSchema>>[1]): Promise<void> => {
    if (!stream.send(toBinary(PacketSchema, create(PacketSchema, fields)))) await stream.drained()
  }
  const abort = () => stream.cancel()
  signal.addEventListener('abort', abort, { once: true })
  void stream.ended.finally(() => wake()).catch(() => {})
  try {
    const files: string[] = []
    for (const stat of walk(folder, '', new Map())) {
      files.push(stat.path)
      await send({ type: PACKET_STAT, stat })
    }
    await send({ type: PACKET_STAT })
    let broken = false
    stream.ended.catch(() => {
      broken = true
    })
    while (!finished && !broken) {
      const id = wanted.shift()
      if (id === undefined) {
        await new Promise<void>(resolve => {
          wake = resolve
          if (wanted.length > 0 || finished || broken) resolve()
        })
        continue
      }
      await sendContent(path.join(folder, files[id] ?? ''), id, send)
    }
    if (!broken) await send({ type: PACKET_FIN })
    stream.end()
    await stream.ended
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

async function sendContent(
  file: string,
  ID: number,
  send: (fields: { type: Packet_PacketType; ID: number; data?: Uint8Array }) => Promise<void>,
): Promise<void> {
  const fd = fs.openSync(file, 'r')
  try {
    for (;;) {
      const data = Buffer.allocUnsafe(CHUNK)
      const length = fs.readSync(fd, data)
      if (length === 0) break
      await send({ type: PACKET_DATA, ID, data: data.subarray(0, length) })
    }
    await send({ type: PACKET_DATA, ID })
  } finally {
    fs.closeSync(fd)
  }
}

type StatFields = Partial<Omit<Stat, '$typeName'>> & { path: string }

/** Parents first, names in order. A further name of a file is a link to the first. */
function* walk(folder: string, prefix: string, inodes: Map<string, string>): Generator<StatFields> {
  for (const name of fs.readdirSync(path.join(folder, prefix)).sort()) {
    const relative = prefix === '' ? name : `${prefix}/${name}`
    const stat = fs.lstatSync(path.join(folder, relative), { bigint: true })
    const fields = statFields(folder, relative, stat)
    const key = `${stat.dev}:${stat.ino}`
    const first = stat.nlink > 1n && stat.isFile() ? inodes.get(key) : undefined
    if (stat.isFile()) inodes.set(key, first ?? relative)
    yield first ? { ...fields, linkname: first, size: 0n } : fields
    if (stat.isDirectory()) yield* walk(folder, relative, inodes)
  }
}

function statFields(folder: string, relative: string, stat: fs.BigIntStats): StatFields {
  const mode = Number(stat.mode)
  const kind = stat.isDirectory()
    ? GO_DIR
    : stat.isSymbolicLink()
      ? GO_SYMLINK
      : stat.isFIFO()
        ? GO_PIPE
        : stat.isFile()
          ? 0
          : GO_DEVICE
  const special =
    (mode & 0o4000 ? GO_SETUID : 0) | (mode & 0o2000 ? GO_SETGID : 0) | (mode & 0o1000 ? GO_STICKY : 0)
  return {
    path: relative,
    mode: kind + ((mode & 0o777) | special),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    size: stat.isFile() ? stat.size : 0n,
    modTime: stat.mtimeNs,
    linkname: stat.isSymbolicLink() ? fs.readlinkSync(path.join(folder, relative)) : '',
  }
}
