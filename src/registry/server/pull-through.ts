/** A cache of another registry: what is asked for and not here, or too old, is fetched from there. */
import { messageOf } from '../../errors.ts'
import type { Growing } from '../../image/content-store.ts'
import { digestOf } from '../../image/digest.ts'
import type { Digest } from '../../image/types.ts'
import type { Logger } from '../../logger.ts'
import type { Wire } from '../connection.ts'
import { download } from '../download.ts'
import type { Endpoint } from '../endpoints.ts'
import { AccessError, RegistryError, TransportError } from '../errors.ts'
import { Repository } from '../repository.ts'
import { sendFile } from '../send-file.ts'
import type { RegistryAuth } from '../types.ts'
import type { Exchange } from './exchange.ts'
import { Fault, fault } from './faults.ts'
import { examine, store } from './manifest-handlers.ts'
import type { RegistryStore } from './registry-store.ts'

export interface PullThroughOptions {
  wire: Wire
  endpoint: Endpoint
  auth?: RegistryAuth
  /** Milliseconds after which a tag is asked for again; 5 minutes. */
  tagLifetime?: number
  logger: Logger
}

const TAG_LIFETIME = 5 * 60_000
/** Milliseconds for which a conversation with upstream is kept open. */
const CONVERSATION = 60_000

/** A blob that is arriving. */
interface Transfer {
  growing: Growing
  size: number | undefined
}

export class PullThrough {
  readonly #options: PullThroughOptions
  readonly #store: RegistryStore
  readonly #checked = new Map<string, number>()
  readonly #conversations = new Map<string, { repository: Promise<Repository>; until: number }>()
  readonly #transfers = new Map<Digest, Promise<Transfer>>()

  constructor(store: RegistryStore, options: PullThroughOptions) {
    this.#store = store
    this.#options = options
  }

  /** Make sure that the manifest is in the store, as upstream has it now. What is here is used while upstream is away. */
  async manifest(name: string, reference: string): Promise<void> {
    const known = this.#store.repository(name)?.manifest(reference)
    const key = `${name}:${reference}`
    const age = Date.now() - (this.#checked.get(key) ?? 0)
    if (known && (reference.includes(':') || age < (this.#options.tagLifetime ?? TAG_LIFETIME))) return
    try {
      const repository = await this.#conversation(name)
      if (known && (await repository.resolve(reference)).digest === known.digest) {
        this.#checked.set(key, Date.now())
        return
      }
      const { bytes, descriptor } = await repository.manifest(reference)
      const algorithm = reference.includes(':') ? reference.split(':')[0] : 'sha256'
      const entry = examine(bytes, digestOf(bytes, algorithm), descriptor.mediaType)
      await store({ store: this.#store }, this.#store.ensure(name), entry, bytes, reference)
      this.#checked.set(key, Date.now())
    } catch (error) {
      if (error instanceof RegistryError && error.status === 404) {
        if (known) this.#store.repository(name)?.deleteTag(reference)
        throw fault('MANIFEST_UNKNOWN', 'manifest unknown', 404, { Tag: reference })
      }
      if (!known) throw upstreamFault(error)
      this.#options.logger.warn('upstream is away: serving what is here', {
        name,
        reference,
        error: messageOf(error),
      })
    }
  }

  async tags(name: string): Promise<string[] | undefined> {
    try {
      const repository = await this.#conversation(name)
      return (await Array.fromAsync(repository.tags())).sort()
    } catch (error) {
      if (error instanceof RegistryError && error.status === 404)
        throw fault('NAME_UNKNOWN', 'repository name not known to registry', 404, { name })
      if (this.#store.repository(name)) return undefined
      throw upstreamFault(error)
    }
  }

  /** Send a blob that is not here, while it arrives from upstream; the next one finds it here. */
  async blob(exchange: Exchange, name: string, digest: Digest): Promise<void> {
    let transfer: Transfer
    try {
      transfer = await this.#transfer(name, digest)
    } catch (error) {
      if (error instanceof Fault) throw error
      throw upstreamFault(error)
    }
    const { response } = exchange
    response.writeHead(200, {
      'Content-Type': 'application/octet-stream',
      'Docker-Content-Digest': digest,
      ...(transfer.size !== undefined && { 'Content-Length': transfer.size }),
    })
    if (exchange.method === 'HEAD') {
      response.end()
      return
    }
    // A transfer that breaks off breaks the answer off too: the client must not take a part for the whole.
    await sendFile(transfer.growing, response).catch(() => response.destroy())
  }

  /** One transfer for however many ask. */
  #transfer(name: string, digest: Digest): Promise<Transfer> {
    const known = this.#transfers.get(digest)
    if (known) return known
    const { promise, resolve, reject } = Promise.withResolvers<Transfer>()
    this.#transfers.set(digest, promise)
    this.#fetch(name, digest, resolve)
      .catch(error => {
        reject(error)
        this.#options.logger.warn('fetch from upstream failed', { name, digest, error: messageOf(error) })
      })
      .finally(() => this.#transfers.delete(digest))
    return promise
  }

  async #fetch(name: string, digest: Digest, started: (transfer: Transfer) => void): Promise<void> {
    const repository = await this.#conversation(name)
    const stat = await repository.statBlob(digest)
    if (!stat) throw fault('BLOB_UNKNOWN', 'blob unknown to registry', 404, { digest })
    const lease = this.#store.content.lease()
    try {
      await download(
        this.#store.content,
        repository,
        { digest, size: stat.size },
        {
          lease,
          onWriter: ({ growing }) => started({ growing, size: stat.size }),
        },
      )
      this.#store.ensure(name).linkBlob(digest)
    } finally {
      lease.release()
    }
  }

  async #conversation(name: string): Promise<Repository> {
    const known = this.#conversations.get(name)
    if (known && known.until > Date.now()) return known.repository
    const { wire, endpoint, auth } = this.#options
    const repository = Repository.open(wire, endpoint, name, { actions: 'pull', ...(auth && { auth }) })
    this.#conversations.set(name, { repository, until: Date.now() + CONVERSATION })
    repository.catch(() => this.#conversations.delete(name))
    return repository
  }
}

const isRefusal = (status: number) => status === 401 || status === 403

function upstreamFault(error: unknown): Error {
  if (error instanceof RegistryError && error.status === 429) {
    return fault('TOOMANYREQUESTS', `upstream: ${error.message}`, 429)
  }
  // Whether it is not there or not for this cache, only upstream knows.
  if (error instanceof AccessError || (error instanceof RegistryError && isRefusal(error.status))) {
    return fault('DENIED', `upstream: ${error.message}`)
  }
  if (error instanceof RegistryError || error instanceof TransportError) {
    return fault('UNAVAILABLE', `upstream: ${error.message}`, error.name === 'TransportError' ? 503 : 502)
  }
  return error as Error
}
