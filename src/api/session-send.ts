/** Files to a client's output, in fsutil's protocol: see {@link file://./session-receive.ts}, with the roles turned round. */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { invalid } from '../errors.ts'
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
import { Packet_PacketType, PacketSchema, type Stat } from './proto/gen/stat_pb.js'
import type { Session } from './session.ts'

const { PACKET_STAT, PACKET_REQ, PACKET_DATA, PACKET_FIN, PACKET_ERR } = Packet_PacketType

/** Bytes in one packet. */
const CHUNK = 128 * 1024

/** Number of the field `data` of a packet. */
const DATA_FIELD = 4

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
    const buffers = [Buffer.allocUnsafeSlow(CHUNK), Buffer.allocUnsafeSlow(CHUNK)]
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
      await sendContent(path.join(folder, files[id] ?? ''), id, stream, buffers)
      await send({ type: PACKET_DATA, ID: id })
    }
    if (!broken) await send({ type: PACKET_FIN })
    stream.end()
    await stream.ended
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

/** While one buffer is sent, the other one is filled. */
async function sendContent(file: string, ID: number, stream: RpcStream, buffers: Buffer[]): Promise<void> {
  const before = toBinary(PacketSchema, create(PacketSchema, { type: PACKET_DATA, ID }))
  const fd = fs.openSync(file, 'r')
  let sent = Promise.resolve()
  try {
    for (let turn = 0; ; turn++) {
      const buffer = buffers[turn % 2]!
      const length = fs.readSync(fd, buffer)
      if (length === 0) break
      const next = stream.sendBytes(buffer.subarray(0, length), DATA_FIELD, before)
      next.catch(() => {}) // told by the next turn
      await sent
      sent = next
    }
    await sent
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
          : stat.isSocket()
            ? GO_SOCKET
            : stat.isCharacterDevice()
              ? GO_DEVICE | GO_CHAR
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
