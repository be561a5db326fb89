/** What others hand to the registry client, and what they get back. */
import type { Reference } from '../image/reference.ts'
import type { Descriptor, Digest, Platform } from '../image/types.ts'
import type { Repository } from './repository.ts'

/** Credentials for one registry: what `X-Registry-Auth` and `POST /auth` carry. */
export interface RegistryAuth {
  username?: string
  password?: string
  /** A refresh token that the registry's token server gave out at an earlier login. */
  identityToken?: string
  /** A bearer token to be sent as it is. */
  registryToken?: string
  /** Host of the registry, or `https://index.docker.io/v1/` for Docker Hub. */
  serverAddress?: string
}

/** One line of Docker's JSON stream, under its wire names, so that the API can pass it on as it is. */
export interface ProgressEvent {
  status?: string
  /** A short layer id, or the tag for the first line of a pull. */
  id?: string
  progressDetail?: { current?: number; total?: number; units?: string }
  /** The drawn bar, for clients that do not draw it themselves. */
  progress?: string
  error?: string
  errorDetail?: { message: string; code?: number }
  aux?: { Tag: string; Digest: Digest; Size: number }
}

export type ProgressListener = (event: ProgressEvent) => void

/** What every request to a registry may be told. */
export interface RegistryRequestOptions {
  auth?: RegistryAuth
  /** Headers that the client of the API wants the registry to see (`X-Meta-*`, `User-Agent`). */
  headers?: Record<string, string>
  signal?: AbortSignal
}

export interface PullOptions extends RegistryRequestOptions {
  /** Absent: the host's. */
  platform?: Platform
  /** `pull -a`: every tag of the repository. */
  allTags?: boolean
  onProgress?: ProgressListener
}

export interface PullResult {
  /** The familiar name that was pulled, with tag or digest: `busybox:latest`. */
  reference: string
  /** Digest of what the reference names in the registry: the index where there is one. */
  digest: Digest
  /** The image's id in the store (see `ImageStore`). */
  imageId: Digest
  /** Whether anything changed here. */
  updated: boolean
  /** The image is not for the platform that was asked for, and the registry has no other. */
  warning?: string
}

export interface PushOptions extends RegistryRequestOptions {
  /** `push -a`: every local tag of the repository. */
  allTags?: boolean
  /** Push one platform of an index. */
  platform?: Platform
  onProgress?: ProgressListener
}

export interface PushResult {
  tag: string
  digest: Digest
  /** Bytes of the manifest. */
  size: number
}

export interface LoginResult {
  /** `Login Succeeded` */
  status: string
  /** '' where the registry gives none. */
  identityToken: string
}

export interface SearchOptions extends RegistryRequestOptions {
  /** 1 to 100; 25 unless told. */
  limit?: number
  /** `is-automated`, `is-official`, `stars`; values as the client sent them. */
  filters?: Record<string, string[]>
}

/** As `GET /images/search` answers. */
export interface SearchResult {
  star_count: number
  is_official: boolean
  name: string
  is_automated: boolean
  description: string
}

/** `GET /distribution/{name}/json`, before it gets its wire names. */
export interface DistributionInspect {
  descriptor: Descriptor
  platforms: Platform[]
}

/** How the daemon reaches registries: the part of `daemon.json` that concerns them. */
export interface RegistryConfig {
  /** URLs, tried in order before Docker Hub. */
  mirrors?: string[]
  /** Hosts (`name[:port]`) and CIDRs that may be reached without TLS or with a certificate that nobody vouches for. */
  insecureRegistries?: string[]
  /** Folders of `HOST[:PORT]/{*.crt,*.cert,*.key}`; `/etc/docker/certs.d` unless told. */
  certsDirs?: string[]
  /** 3 */
  maxConcurrentDownloads?: number
  /** 5 */
  maxConcurrentUploads?: number
  /** Attempts at one transfer that bring no new byte; 5. */
  maxDownloadAttempts?: number
  /** Whence proxies are read: `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`, small or capital. */
  environment?: Record<string, string | undefined>
}

/**
 * The facade that the engine holds: `new Registries(images, config)` in `registries.ts` is one. References are what
 * the user wrote (`busybox`, `host:5000/a/b:tag@sha256:…`). Errors are {@link GantryError}s in Docker's words.
 */
export interface RegistryService {
  /** Bring an image (all its tags with `allTags`) into the store. Two pulls of the same blob share one transfer. */
  pull(reference: string, options?: PullOptions): Promise<PullResult[]>
  /** Send an image of the store (every local tag with `allTags`). */
  push(reference: string, options?: PushOptions): Promise<PushResult[]>
  /** Check credentials against their `serverAddress` (Docker Hub where there is none). */
  login(auth: RegistryAuth, signal?: AbortSignal): Promise<LoginResult>
  search(term: string, options?: SearchOptions): Promise<SearchResult[]>
  distributionInspect(reference: string, options?: RegistryRequestOptions): Promise<DistributionInspect>
  /** For what is no image: `work` with the repository that a reference names, at the endpoint that answers first. */
  withRepository<T>(
    reference: Reference,
    actions: 'pull' | 'pull,push',
    options: RegistryRequestOptions,
    work: (repository: Repository) => Promise<T>,
  ): Promise<T>
}
