/** Blobs over a session: the client serves folders of its disk, each an OCI image layout, as containerd's content service. */
import { PassThrough, type Readable } from 'node:stream'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type { ClientBlobs } from '../build/index.ts'
import { RpcError } from './grpc-client.ts'
import {
  InfoRequestSchema,
  InfoResponseSchema,
  ReadContentRequestSchema,
  ReadContentResponseSchema,
  WriteAction,
  type WriteContentRequest,
  WriteContentRequestSchema,
} from './proto/gen/content_pb.js'
import type { Session } from './session.ts'

const SERVICE = '/containerd.services.content.v1.Content'
/** gRPC's number for what is there already. */
const ALREADY_EXISTS = 6
/** Bytes in one message. */
const CHUNK = 256 * 1024

/** @param store the name that the client gave it: `local:/path`, `oci:id` */
export function sessionBlobs(session: Session, store: string): ClientBlobs {
  const metadata = { 'buildkit-attachable-store-id': store }
  return {
    async size(digest) {
      try {
        const path = `${SERVICE}/Info`
        const answer = await session.rpc.unary(
          path,
          InfoRequestSchema,
          InfoResponseSchema,
          { digest },
          metadata,
        )
        return Number(answer.info?.size ?? 0)
      } catch (error) {
        if (error instanceof RpcError && error.isAbsent) return undefined
        throw error
      }
    },
    read: digest => readBlob(session, metadata, digest),
    async write({ digest, size }, body) {
      try {
        await writeBlob(session, metadata, { digest, size }, body)
      } catch (error) {
        if (!(error instanceof RpcError && error.code === ALREADY_EXISTS)) throw error
      }
    },
  }
}

function readBlob(session: Session, metadata: Record<string, string>, digest: string): Readable {
  const out = new PassThrough()
  const stream = session.rpc.stream(`${SERVICE}/Read`, metadata, bytes => {
    if (out.write(fromBinary(ReadContentResponseSchema, bytes).data)) return
    stream.pause()
    out.once('drain', () => stream.resume())
  })
  stream.send(toBinary(ReadContentRequestSchema, create(ReadContentRequestSchema, { digest })))
  stream.end()
  out.once('close', () => stream.cancel())
  stream.ended.then(
    () => out.end(),
    error => out.destroy(error),
  )
  return out
}

async function writeBlob(
  session: Session,
  metadata: Record<string, string>,
  { digest, size }: { digest: string; size: number },
  body: AsyncIterable<Uint8Array>,
): Promise<void> {
  const stream = session.rpc.stream(`${SERVICE}/Write`, metadata, () => {})
  let broken = false
  stream.ended.catch(() => {
    broken = true
  })
  let offset = 0
  const send = async (fields: Partial<Pick<WriteContentRequest, 'action' | 'data'>>): Promise<void> => {
    const about = { ref: `gantry-${digest}`, total: BigInt(size), expected: digest }
    const message = create(WriteContentRequestSchema, { ...about, offset: BigInt(offset), ...fields })
    if (!stream.send(toBinary(WriteContentRequestSchema, message))) await stream.drained()
  }
  try {
    for await (const bytes of body) {
      for (let at = 0; at < bytes.length && !broken; at += CHUNK) {
        const data = bytes.subarray(at, at + CHUNK)
        await send({ action: WriteAction.WRITE, data })
        offset += data.length
      }
      if (broken) break
    }
    if (!broken) await send({ action: WriteAction.COMMIT })
    stream.end()
    await stream.ended
  } catch (error) {
    stream.cancel()
    throw error
  }
}
