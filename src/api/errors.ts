/** The one place where an error of the domain becomes a status code. */
import { type ErrorKind, kindOf, messageOf } from '../errors.ts'

const statuses: Record<ErrorKind, number> = {
  invalid: 400,
  unauthorized: 401,
  forbidden: 403,
  notFound: 404,
  notModified: 304,
  conflict: 409,
  tooLarge: 413,
  notImplemented: 501,
  unavailable: 503,
  internal: 500,
}

/** What a client is told of `error`. A 304 has no body. */
export function answerTo(error: unknown): { status: number; message: string } {
  return { status: statuses[kindOf(error)], message: messageOf(error) }
}
