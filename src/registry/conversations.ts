/** From a registry's host to an open {@link Repository}: which endpoint answers, and who is asked next where one does not. */
import type { Challenge } from './challenge.ts'
import type { Wire } from './connection.ts'
import type { Endpoint } from './endpoints.ts'
import { TransportError } from './errors.ts'
import { Repository, type RepositoryOptions } from './repository.ts'
import { type RetryPolicy, retrying } from './retry.ts'

/** Milliseconds for which the endpoint that answered is asked first, and not whether it is there. */
const REMEMBER = 5 * 60_000

export class Conversations {
  readonly wire: Wire
  readonly #policy: RetryPolicy | undefined
  readonly #answered = new Map<string, { url: string; until: number; challenges: readonly Challenge[] }>()

  constructor(wire: Wire, policy?: RetryPolicy) {
    this.wire = wire
    this.#policy = policy
  }

  /**
   * Do `work` with the first endpoint of `host` that answers. Any failure at a mirror leads on to the next; elsewhere only one that
   * never was an answer does (a host without TLS, say). Throws what the last one threw.
   */
  async with<T>(
    host: string,
    name: string,
    options: RepositoryOptions,
    work: (repository: Repository) => Promise<T>,
  ): Promise<T> {
    let last: unknown
    for (const endpoint of await this.#endpoints(host, options.actions !== 'pull')) {
      let repository: Repository
      try {
        repository = await this.#open(host, endpoint, name, options)
      } catch (error) {
        options.signal?.throwIfAborted()
        if (!(error instanceof TransportError) && !endpoint.mirror) throw error
        last = error
        continue
      }
      try {
        return await work(repository)
      } catch (error) {
        options.signal?.throwIfAborted()
        if (error instanceof TransportError) this.#answered.delete(host)
        if (!endpoint.mirror) throw error
        last = error
      }
    }
    throw last
  }

  /** Credentials are for the registry, not for its mirrors. */
  async #open(
    host: string,
    endpoint: Endpoint,
    name: string,
    options: RepositoryOptions,
  ): Promise<Repository> {
    const { auth, ...rest } = options
    const asked: RepositoryOptions = endpoint.mirror ? rest : { ...rest, auth }
    const known = endpoint.mirror ? undefined : this.#known(host)
    if (known?.url === endpoint.url.href) {
      return Repository.open(this.wire, endpoint, name, asked, known.challenges)
    }
    const repository = await retrying(() => Repository.open(this.wire, endpoint, name, asked), {
      signal: options.signal,
      policy: this.#policy,
      isTransient: error => error instanceof TransportError && BROKEN.has(error.code),
    })
    if (!endpoint.mirror) {
      const { challenges } = repository.connection
      this.#answered.set(host, { url: endpoint.url.href, until: Date.now() + REMEMBER, challenges })
    }
    return repository
  }

  #known(host: string) {
    const known = this.#answered.get(host)
    return known && known.until > Date.now() ? known : undefined
  }

  async #endpoints(host: string, writing: boolean): Promise<Endpoint[]> {
    const { endpoints } = this.wire
    const all = await (writing ? endpoints.forPush(host) : endpoints.forPull(host))
    const known = this.#known(host)
    if (!known) return all
    const isKnown = ({ url, mirror }: Endpoint) => !mirror && url.href === known.url
    return [
      ...all.filter(endpoint => endpoint.mirror),
      ...all.filter(isKnown),
      ...all.filter(e => !e.mirror && !isKnown(e)),
    ]
  }
}

/** The other side was there and went: worth asking again. One that refuses is not there. */
const BROKEN = new Set(['ECONNRESET', 'EPIPE', 'ERR_STREAM_PREMATURE_CLOSE'])
