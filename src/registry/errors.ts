/** Failures of a conversation with a registry, in the words that Docker's users know. */
import * as dns from 'node:dns'
import { type ErrorKind, GantryError, messageOf } from '../errors.ts'

/** The codes of the OCI distribution specification, and the few that registries add. */
export type ErrorCode =
  | 'BLOB_UNKNOWN'
  | 'BLOB_UPLOAD_INVALID'
  | 'BLOB_UPLOAD_UNKNOWN'
  | 'DENIED'
  | 'DIGEST_INVALID'
  | 'MANIFEST_BLOB_UNKNOWN'
  | 'MANIFEST_INVALID'
  | 'MANIFEST_UNKNOWN'
  | 'NAME_INVALID'
  | 'NAME_UNKNOWN'
  | 'PAGINATION_NUMBER_INVALID'
  | 'RANGE_INVALID'
  | 'SIZE_INVALID'
  | 'TAG_INVALID'
  | 'TOOMANYREQUESTS'
  | 'UNAUTHORIZED'
  | 'UNAVAILABLE'
  | 'UNKNOWN'
  | 'UNSUPPORTED'

/** The registry answered, and the answer is no. */
export class RegistryError extends GantryError {
  /** HTTP status of the answer. */
  readonly status: number
  /** `MANIFEST_UNKNOWN`, … or `UNKNOWN` where the answer names none. */
  readonly code: string
  /** Milliseconds that the registry asks to wait (`Retry-After`). */
  readonly retryAfter: number | undefined

  constructor(status: number, code: string, message: string, retryAfter?: number) {
    super(kindOfStatus(status), message)
    this.name = 'RegistryError'
    this.status = status
    this.code = code
    this.retryAfter = retryAfter
  }
}

/** There are no credentials that the registry would take: the request was not sent. `cause` says so without the request. */
export class AccessError extends RegistryError {
  override readonly cause: GantryError

  constructor(request: string, cause: GantryError) {
    const { status, code, retryAfter } = cause instanceof RegistryError ? cause : noAnswer
    super(status, code, `${request}: ${cause.message}`, retryAfter)
    this.name = 'AccessError'
    this.cause = cause
  }
}

const noAnswer = { status: 0, code: 'UNAUTHORIZED', retryAfter: undefined }

function kindOfStatus(status: number): ErrorKind {
  if (status === 404) return 'notFound'
  if (status === 401) return 'unauthorized'
  if (status === 403) return 'forbidden'
  return 'internal'
}

/** The error that an answer with this status and body stands for (moby and distribution: the client's `errcode` texts). */
export function errorFromAnswer(
  status: number,
  reason: string,
  body: string,
  retryAfter?: number,
): RegistryError {
  const listed = errorList(body)
  if (listed.length > 0) {
    const texts = listed.map(({ code, message }) => `${code.toLowerCase().replaceAll('_', '')}: ${message}`)
    const words = listed.map(({ code, message }) => `${code.toLowerCase().replaceAll('_', ' ')}: ${message}`)
    const text = words.length === 1 ? words[0]! : `errors:\n${words.join('\n')}\n`
    return new RegistryError(status, listed[0]!.code, status === 429 ? texts[0]! : text, retryAfter)
  }
  if (status === 429)
    return new RegistryError(
      status,
      'TOOMANYREQUESTS',
      `toomanyrequests: ${detailOf(body) ?? 'too many requests'}`,
      retryAfter,
    )
  const detail = detailOf(body)
  if (status === 401) {
    return new RegistryError(status, 'UNAUTHORIZED', `unauthorized: ${detail ?? 'authentication required'}`)
  }
  if (status === 403) {
    return new RegistryError(
      status,
      'DENIED',
      `denied: ${detail ?? 'requested access to the resource is denied'}`,
    )
  }
  const text = detail
    ? `unknown: ${detail}`
    : `received unexpected HTTP status: ${status} ${reason}`.trimEnd()
  return new RegistryError(status, 'UNKNOWN', text, retryAfter)
}

function errorList(body: string): { code: string; message: string }[] {
  const parsed = parse(body)
  if (!Array.isArray(parsed?.errors)) return []
  return parsed.errors
    .filter(
      (entry): entry is { code: unknown; message?: unknown } => typeof entry === 'object' && entry !== null,
    )
    .map(({ code, message }) => {
      const name = typeof code === 'string' && code !== '' ? code : 'UNKNOWN'
      return {
        code: name,
        message: typeof message === 'string' && message ? message : name.toLowerCase().replaceAll('_', ' '),
      }
    })
}

/** Single-field error bodies, as token servers and gateways send them. */
function detailOf(body: string): string | undefined {
  const parsed = parse(body)
  const detail = parsed?.details ?? parsed?.message ?? parsed?.error_description ?? parsed?.error
  return typeof detail === 'string' && detail !== '' ? detail : undefined
}

function parse(body: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(body)
    return value !== null && typeof value === 'object' ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

/** No answer came, or it broke off: worth another try. */
export class TransportError extends GantryError {
  /** The system's or OpenSSL's code. */
  readonly code: string

  constructor(code: string, message: string, cause?: unknown) {
    super('internal', message, { cause })
    this.name = 'TransportError'
    this.code = code
  }
}

/** What went wrong between us and `url`, as Go's client would put it: users and scripts know those texts. */
export function transportError(method: string, url: URL, cause: unknown): TransportError {
  const error = cause instanceof AggregateError ? (cause.errors.at(-1) as Error) : (cause as Error)
  const {
    code = 'UNKNOWN',
    address,
    port,
    hostname,
  } = error as NodeJS.ErrnoException & {
    address?: string
    port?: number
    hostname?: string
  }
  const dial = `dial tcp ${address?.includes(':') ? `[${address}]` : address}:${port}`
  const words = connectWords[code]
  const said = () => {
    if (words && address) return `${dial}: ${words}`
    if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
      return `dial tcp: lookup ${hostname ?? url.hostname} on ${nameServer()}: no such host`
    }
    return plainWords[code] ?? certificateWords(code, error) ?? messageOf(error)
  }
  const verb = method.charAt(0) + method.slice(1).toLowerCase()
  return new TransportError(code, `${verb} ${JSON.stringify(url.href)}: ${said()}`, cause)
}

const connectWords: Record<string, string> = {
  ECONNREFUSED: 'connect: connection refused',
  ENETUNREACH: 'connect: network is unreachable',
  EHOSTUNREACH: 'connect: no route to host',
  ETIMEDOUT: 'connect: connection timed out',
  EADDRNOTAVAIL: 'connect: cannot assign requested address',
}

const plainWords: Record<string, string> = {
  ECONNRESET: 'EOF',
  ERR_STREAM_PREMATURE_CLOSE: 'unexpected EOF',
  EPIPE: 'write: broken pipe',
  STALLED: 'i/o timeout',
  ABORT_ERR: 'context canceled',
  ERR_SSL_WRONG_VERSION_NUMBER: 'http: server gave HTTP response to HTTPS client',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'http: server gave HTTP response to HTTPS client',
  EPROTO: 'http: server gave HTTP response to HTTPS client',
  HPE_INVALID_CONSTANT: 'net/http: HTTP/1.x transport connection broken: malformed HTTP response',
  HPE_HEADER_OVERFLOW: 'net/http: server response headers exceeded the limit',
}

const UNKNOWN_AUTHORITY =
  /^(UNABLE_TO_(VERIFY_LEAF_SIGNATURE|GET_ISSUER_CERT(_LOCALLY)?)|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN)$/

function certificateWords(code: string, error: Error): string | undefined {
  const verify = 'tls: failed to verify certificate: x509:'
  if (UNKNOWN_AUTHORITY.test(code)) return `${verify} certificate signed by unknown authority`
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID') {
    return `${verify} certificate has expired or is not yet valid`
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return `${verify} ${error.message}`
  return undefined
}

function nameServer(): string {
  const server = dns.getServers()[0] ?? 'localhost'
  return /:\d+$/.test(server) ? server : `${server}:53`
}
