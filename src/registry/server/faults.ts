/** What a registry answers when it does not do what was asked (OCI distribution-spec: error codes). */
import type { ErrorCode } from '../errors.ts'

/** A refusal on its way to the client. */
export class Fault extends Error {
  readonly code: ErrorCode
  readonly status: number
  readonly detail: unknown
  readonly headers: Record<string, string>

  constructor(
    code: ErrorCode,
    message: string,
    status: number,
    detail?: unknown,
    headers: Record<string, string> = {},
  ) {
    super(message)
    this.name = 'Fault'
    this.code = code
    this.status = status
    this.detail = detail
    this.headers = headers
  }

  get body(): string {
    return JSON.stringify({
      errors: [
        { code: this.code, message: this.message, ...(this.detail !== undefined && { detail: this.detail }) },
      ],
    })
  }
}

const STATUS: Record<ErrorCode, number> = {
  BLOB_UNKNOWN: 404,
  BLOB_UPLOAD_INVALID: 400,
  BLOB_UPLOAD_UNKNOWN: 404,
  DENIED: 403,
  DIGEST_INVALID: 400,
  MANIFEST_BLOB_UNKNOWN: 404,
  MANIFEST_INVALID: 400,
  MANIFEST_UNKNOWN: 404,
  NAME_INVALID: 400,
  NAME_UNKNOWN: 404,
  PAGINATION_NUMBER_INVALID: 400,
  RANGE_INVALID: 416,
  SIZE_INVALID: 400,
  TAG_INVALID: 400,
  TOOMANYREQUESTS: 429,
  UNAUTHORIZED: 401,
  UNAVAILABLE: 503,
  UNKNOWN: 500,
  UNSUPPORTED: 405,
}

/** A {@link Fault}; its status is the code's usual one unless told. */
export function fault(
  code: ErrorCode,
  message: string,
  status: number = STATUS[code],
  detail?: unknown,
  headers?: Record<string, string>,
): Fault {
  return new Fault(code, message, status, detail, headers)
}
