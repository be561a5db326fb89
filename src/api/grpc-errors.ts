/** Errors of a build on their way to BuildKit's clients: a status, and the lines of the source that they are about. */
import { create, toBinary } from '@bufbuild/protobuf'
import { Code, ConnectError } from '@connectrpc/connect'
import type { LineRange } from '../build/index.ts'
import { kindOf, messageOf } from '../errors.ts'
import { StatusSchema } from './proto/gen/control_pb.js'

const CODES: Record<ReturnType<typeof kindOf>, Code> = {
  invalid: Code.Unknown,
  unauthorized: Code.Unauthenticated,
  forbidden: Code.PermissionDenied,
  notFound: Code.Unknown,
  notModified: Code.Unknown,
  conflict: Code.AlreadyExists,
  tooLarge: Code.ResourceExhausted,
  notImplemented: Code.Unimplemented,
  unavailable: Code.Unknown, // the client writes other codes before the sentence
  internal: Code.Unknown,
}

/** How the client's library names the type of the source of an error. */
const SOURCE_TYPE = 'github.com/moby/buildkit/errdefs.Source+json'

/** What {@link file://../build/builder.ts} attaches to an error. */
interface Located {
  filename?: string
  source?: string
  range?: LineRange
}

export function toConnectError(error: unknown, aborted = false): ConnectError {
  if (error instanceof ConnectError) return error
  const message = messageOf(error)
  const code = aborted ? Code.Canceled : CODES[kindOf(error)]
  const result = new ConnectError(message, code, undefined, undefined, error)
  const { filename = 'Dockerfile', source, range } = error as Located
  if (source !== undefined && range) {
    const position = (line: number) => ({ line, character: 0 })
    const value = {
      info: { filename, data: Buffer.from(source).toString('base64'), language: 'Dockerfile' },
      ranges: [{ start: position(range.start), end: position(range.end) }],
    }
    setDetails(result, [{ typeUrl: SOURCE_TYPE, value: Buffer.from(JSON.stringify(value)) }])
  }
  return result
}

/** Details with type URLs of any form, which the library itself would give its own prefix. */
export function setDetails(error: ConnectError, details: { typeUrl: string; value: Uint8Array }[]): void {
  const status = create(StatusSchema, { code: error.code, message: error.rawMessage, details })
  const bytes = toBinary(StatusSchema, status)
  error.metadata.set('grpc-status-details-bin', Buffer.from(bytes).toString('base64').replace(/=+$/, ''))
}
