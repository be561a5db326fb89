/**
 * The one family of errors that Gantry raises on purpose. The domain raises a {@link GantryError} with the text a
 * user of Docker knows; the API turns its {@link ErrorKind} into a status code in one place, the command line into an
 * exit code. Anything else that reaches the top is a bug and is reported as `internal`.
 */
export type ErrorKind =
  | 'invalid' // 400: the caller's words are wrong
  | 'unauthorized' // 401
  | 'forbidden' // 403
  | 'notFound' // 404
  | 'notModified' // 304: already as asked
  | 'conflict' // 409: not in this state
  | 'tooLarge' // 413: a named limit was exceeded
  | 'notImplemented' // 501: Gantry does not do this (yet)
  | 'unavailable' // 503
  | 'internal' // 500

export class GantryError extends Error {
  readonly kind: ErrorKind

  constructor(kind: ErrorKind, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'GantryError'
    this.kind = kind
  }
}

const raise =
  (kind: ErrorKind) =>
  (message: string, cause?: unknown): GantryError =>
    new GantryError(kind, message, cause === undefined ? undefined : { cause })

export const invalid = raise('invalid')
export const unauthorized = raise('unauthorized')
export const forbidden = raise('forbidden')
export const notFound = raise('notFound')
export const notModified = raise('notModified')
export const conflict = raise('conflict')
export const tooLarge = raise('tooLarge')
export const notImplemented = raise('notImplemented')
export const unavailable = raise('unavailable')
export const internal = raise('internal')

/** The kind of any thrown value: `internal` for what Gantry did not raise itself. */
export function kindOf(error: unknown): ErrorKind {
  return error instanceof GantryError ? error.kind : 'internal'
}

/** The text of any thrown value. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** Whether `error` is a system error with this `code` (`ENOENT`, …), from Node or from {@link file://./linux/index.ts}. */
export function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code))
}
