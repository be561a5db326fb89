/**
 * All registries, as the engine sees them. Begin reading here.
 *
 *     pull  conversations.ts: an endpoint that answers → pull.ts → remote-image.ts: which manifest → download.ts: each blob
 *     push  conversations.ts → push.ts: layers side by side, the manifest last → upload.ts: each blob
 *     both  repository.ts: the protocol's requests → connection.ts: tokens, redirects → transport.ts: bytes, where they are many by
 *           direct.ts (in) and send-file.ts (out)
 */
import { type GantryError, internal, invalid, notFound } from '../errors.ts'
import type { ImageStore } from '../image/image-store.ts'
import {
  canonicalName,
  familiar,
  familiarName,
  parseImageName,
  parseReference,
  type Reference,
  withDefaultTag,
  withTag,
} from '../image/reference.ts'
import { Semaphore } from '../image/semaphore.ts'
import type { ImageConfig, Platform } from '../image/types.ts'
import { Conversations } from './conversations.ts'
import { AccessError } from './errors.ts'
import { login } from './login.ts'
import { parseManifest } from './manifests.ts'
import { say } from './progress.ts'
import { type PullShared, pullError, pullReference } from './pull.ts'
import { localTags, type PushShared, pushReference } from './push.ts'
import { Indexes } from './remote-image.ts'
import type { Repository, RepositoryOptions } from './repository.ts'
import { defaultRetryPolicy, type RetryPolicy } from './retry.ts'
import { search } from './search.ts'
import { SharedWork } from './shared-work.ts'
import type { TransportOptions } from './transport.ts'
import type {
  DistributionInspect,
  LoginResult,
  PullOptions,
  PullResult,
  PushOptions,
  PushResult,
  RegistryAuth,
  RegistryConfig,
  RegistryRequestOptions,
  RegistryService,
  SearchOptions,
  SearchResult,
} from './types.ts'
import { createWire } from './wire.ts'

const MAX_CONFIG = 8 << 20

export class Registries implements RegistryService {
  readonly #conversations: Conversations
  readonly #pulls: PullShared
  readonly #pushes: PushShared
  readonly #images: ImageStore

  /** `tuning` is for tests: time limits and the pace of retries. */
  constructor(
    images: ImageStore,
    config: RegistryConfig = {},
    tuning: TransportOptions & Partial<RetryPolicy> = {},
  ) {
    const policy = {
      ...defaultRetryPolicy,
      ...tuning,
      attempts: tuning.attempts ?? config.maxDownloadAttempts ?? defaultRetryPolicy.attempts,
    }
    this.#images = images
    this.#conversations = new Conversations(createWire(config, tuning), policy)
    this.#pulls = {
      images,
      policy,
      downloads: new SharedWork(),
      slots: new Semaphore(config.maxConcurrentDownloads ?? 3),
      ahead: new Map(),
      indexes: new Indexes(),
    }
    this.#pushes = {
      images,
      policy,
      uploads: new SharedWork(),
      slots: new Semaphore(config.maxConcurrentUploads ?? 5),
    }
  }

  async pull(text: string, options: PullOptions = {}): Promise<PullResult[]> {
    const parsed = parseReference(text)
    if (options.allTags && (parsed.tag !== undefined || parsed.digest !== undefined))
      throw invalid("tag can't be used with --all-tags/-a")
    const reference = options.allTags ? parsed : withDefaultTag(parsed)
    const shared: PullShared = this.#pulls
    try {
      const results = await this.#with(reference, 'pull', options, async repository => {
        const tags = options.allTags ? await Array.fromAsync(repository.tags()) : undefined
        const pulled: PullResult[] = []
        for (const one of tags?.map(tag => withTag(reference, tag)) ?? [reference]) {
          pulled.push(await pullReference(shared, repository, one, options))
        }
        return pulled
      })
      const emit = options.onProgress ?? (() => {})
      const updated = results.some(result => result.updated)
      const name = options.allTags ? familiarName(reference) : familiar(reference)
      say(
        emit,
        updated ? `Status: Downloaded newer image for ${name}` : `Status: Image is up to date for ${name}`,
      )
      for (const { warning } of results) if (warning) say(emit, warning)
      return results
    } catch (error) {
      throw pullError(error, reference)
    } finally {
      if (options.allTags) this.#images.settle()
    }
  }

  async push(text: string, options: PushOptions = {}): Promise<PushResult[]> {
    const parsed = parseReference(text)
    const reference = options.allTags ? parsed : withDefaultTag(parsed)
    const emit = options.onProgress ?? (() => {})
    say(emit, `The push refers to repository [${canonicalName(reference)}]`)
    if (reference.digest !== undefined && this.#images.named(reference)) {
      throw invalid('cannot push a digest reference')
    }
    const local = localTags(this.#images, reference)
    if (local.length === 0) throw this.#nothingToPush(reference)
    try {
      return await this.#with(reference, 'pull,push', options, async repository => {
        const pushed: PushResult[] = []
        const push = { ...this.#pushes, sent: new Map() }
        for (const one of local) {
          pushed.push(await pushReference(push, repository, one.reference, one.descriptor, options))
        }
        return pushed
      })
    } catch (error) {
      // moby: a push does not say which of its requests it was.
      throw error instanceof AccessError ? error.cause : error
    } finally {
      if (options.allTags) this.#images.settle()
    }
  }

  #nothingToPush(reference: Reference): GantryError {
    const { domain, path } = reference
    const others = localTags(this.#images, { domain, path })
    return others.length > 0
      ? notFound(`tag does not exist: ${familiar(reference)}`)
      : notFound(`An image does not exist locally with the tag: ${familiarName(reference)}`)
  }

  login(auth: RegistryAuth, signal?: AbortSignal): Promise<LoginResult> {
    return login(this.#conversations.wire, auth, signal)
  }

  search(term: string, options: SearchOptions = {}): Promise<SearchResult[]> {
    return search(this.#conversations.wire, term, options)
  }

  async distributionInspect(
    text: string,
    options: RegistryRequestOptions = {},
  ): Promise<DistributionInspect> {
    const name = parseImageName(text)
    if (name.kind === 'digest') throw internal('no manifest found for full image ID')
    const reference = withDefaultTag(name.reference)
    return this.#with(reference, 'pull', options, async repository => {
      const root = await repository.resolve(reference.digest ?? reference.tag!)
      const { bytes, descriptor } = await repository.manifest(root.digest)
      const document = parseManifest(bytes, descriptor.mediaType)
      if (document.kind === 'index') {
        const platforms = document.index.manifests
          .map(entry => entry.platform)
          .filter(platform => platform !== undefined)
        return { descriptor, platforms }
      }
      return { descriptor, platforms: await platformOf(repository, document.manifest.config) }
    })
  }

  /** For what is no image: `work` with the repository that a reference names. */
  withRepository<T>(
    reference: Reference,
    actions: 'pull' | 'pull,push',
    options: RegistryRequestOptions,
    work: (repository: Repository) => Promise<T>,
  ): Promise<T> {
    return this.#with(reference, actions, options, work)
  }

  /** Work with the repository in its registry that answers first. */
  #with<T>(
    { domain, path }: Reference,
    actions: RepositoryOptions['actions'],
    { auth, headers, signal }: RegistryRequestOptions,
    work: (repository: Repository) => Promise<T>,
  ): Promise<T> {
    return this.#conversations.with(domain, path, { actions, auth, headers, signal }, work)
  }
}

async function platformOf(
  repository: Repository,
  config: { digest: `${string}:${string}`; size: number },
): Promise<Platform[]> {
  const bytes = await repository.readBlob(config.digest, MAX_CONFIG)
  try {
    const {
      os,
      architecture,
      variant,
      'os.version': version,
    } = JSON.parse(bytes.toString('utf8')) as ImageConfig
    if (!os && !architecture) return []
    return [{ os, architecture, ...(variant && { variant }), ...(version && { 'os.version': version }) }]
  } catch {
    return []
  }
}
