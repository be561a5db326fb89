/** One request and its answer. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Access, Caller } from './access.ts'
import { fault } from './faults.ts'
import type { Limits } from './limits.ts'
import type { PullThrough } from './pull-through.ts'
import type { RegistryStore } from './registry-store.ts'
import type { Action } from './rights.ts'
import type { Uploads } from './uploads.ts'

/** What every handler can reach. */
export interface Registry {
  store: RegistryStore
  uploads: Uploads
  access: Access
  limits: Limits
  /** A pull-through cache takes no pushes. */
  upstream: PullThrough | undefined
}

export class Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly path: string
  readonly query: URLSearchParams
  /** `https://host:port`, as the client sees us. */
  readonly base: string
  caller: Caller = { name: '', rights: [] }
  readonly #access: Access

  constructor(request: IncomingMessage, response: ServerResponse, access: Access, base: string) {
    this.request = request
    this.response = response
    this.#access = access
    this.base = base
    const [path = '', query = ''] = (request.url ?? '/').split('?', 2)
    this.path = path
    this.query = new URLSearchParams(query)
  }

  get method(): string {
    return this.request.method ?? 'GET'
  }

  header(name: string): string | undefined {
    const value = this.request.headers[name]
    return Array.isArray(value) ? value.join(', ') : value
  }

  /** Throws UNAUTHORIZED or DENIED unless the caller may do `actions` on `name`. */
  require(name: string, ...actions: Action[]): void {
    this.#access.require(this.caller, this.base, name, actions)
  }

  /** Throws UNAUTHORIZED unless the caller has said who it is, or nobody has to. */
  requireName(scope?: Parameters<Access['requireName']>[2]): void {
    this.#access.requireName(this.caller, this.base, scope)
  }

  answer(status: number, headers: Record<string, string | number> = {}, body?: string | Uint8Array): void {
    const length = body === undefined ? 0 : Buffer.byteLength(body)
    // 204 and 304 have no body, and so no length.
    const sized = status === 204 || status === 304 ? headers : { 'Content-Length': length, ...headers }
    this.response.writeHead(status, sized)
    this.response.end(this.method === 'HEAD' ? undefined : body)
  }

  answerJson(status: number, value: unknown, headers: Record<string, string | number> = {}): void {
    this.answer(status, { 'Content-Type': 'application/json', ...headers }, JSON.stringify(value))
  }

  /** Whether the client has what `etag` names already. */
  hasCurrent(etag: string): boolean {
    const header = this.header('if-none-match')
    if (header === undefined) return false
    return header.split(',').some(value => {
      const known = value.trim().replace(/^W\//, '').replaceAll('"', '')
      return known === '*' || known === etag
    })
  }

  /** The request's body, at most `limit` bytes of it. `what` it is, for the refusal. */
  async body(limit: number, what: 'manifest' | 'form' = 'manifest'): Promise<Buffer> {
    const code = what === 'manifest' ? 'MANIFEST_INVALID' : 'SIZE_INVALID'
    const tooLarge = () =>
      fault(code, `${what} is larger than ${limit} bytes`, 413, undefined, { Connection: 'close' })
    if (Number(this.header('content-length') ?? 0) > limit) throw tooLarge()
    const chunks: Buffer[] = []
    let size = 0
    for await (const chunk of this.request) {
      size += (chunk as Buffer).length
      if (size > limit) throw tooLarge()
      chunks.push(chunk as Buffer)
    }
    return Buffer.concat(chunks, size)
  }
}
