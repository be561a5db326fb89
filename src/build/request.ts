/** What a build is asked for, in the words of `docker build`, whichever door it comes through. */
import type { Readable } from 'node:stream'
import type { Ulimit } from '../engine/types.ts'
import type { Digest, Image, ImageConfig, Platform } from '../image/types.ts'
import type { RegistryAuth } from '../registry/types.ts'
import type { LineRange } from './dockerfile/errors.ts'
import type { Outline, Target } from './outline.ts'
import type { ExecLimits } from './plan/ops.ts'
import type { OnProgress } from './solve/progress.ts'
import type { BuildSession, ClientBlobs, LocalFolder, LocalRequest } from './solve/session.ts'

/** Where files come from. */
export type ContextInput =
  | { kind: 'empty' }
  /** Absolute path on this host. Its `.dockerignore` counts. */
  | { kind: 'folder'; path: string }
  /** In any compression. */
  | { kind: 'tar'; stream: Readable }
  /** A git repository, an archive or a lone Dockerfile behind a URL. */
  | { kind: 'remote'; url: string }
  /** A folder of the client's, by the name under which {@link BuildRequest.local} gives it. */
  | { kind: 'local'; name: string }

/** `--build-context name=…` */
export type NamedContext =
  | Exclude<ContextInput, { kind: 'tar' | 'empty' }>
  | { kind: 'image'; ref: string }
  /** An image in a store of the client's; `digest` is of its manifest or index. */
  | { kind: 'layout'; blobs: ClientBlobs; digest: Digest }
  /** What an earlier build of this daemon came to, by that build's id. */
  | { kind: 'result'; build: string }

export type Output =
  | {
      type: 'image'
      names: string[]
      push?: boolean
      /** Keep it in the store; true unless told. */
      store?: boolean
      /** Of the manifest. */
      annotations?: Record<string, string>
    }
  /** Files, without the layers: `open` is given a tar of them. */
  | { type: 'local'; open: () => Promise<OutputFolder> }
  | { type: 'tar'; open: () => Promise<NodeJS.WritableStream> }
  /** One tar, or with `layout` its files into a store of the client's. */
  | {
      type: 'oci' | 'docker'
      names: string[]
      open: () => Promise<NodeJS.WritableStream>
      layout?: ClientBlobs
      annotations?: Record<string, string>
    }
  /** Only fill the cache. */
  | { type: 'none' }

export interface OutputFolder {
  path: string
  close(): Promise<void>
}

export interface CacheOption {
  type: 'inline' | 'registry' | 'local' | string
  attributes: Record<string, string>
}

export interface BuildRequest {
  /** Names the build in the history; made up where absent. */
  id?: string
  context: ContextInput
  /** Path in the context; `Dockerfile` unless told. */
  dockerfile?: string
  /** The text itself, instead of a file. */
  dockerfileText?: string
  /** Where the Dockerfile is, if not in the context. */
  dockerfileContext?: { kind: 'local'; name: string }
  contexts?: Record<string, NamedContext>
  target?: string
  buildArgs?: Record<string, string>
  labels?: Record<string, string>
  platforms?: Platform[]
  noCache?: boolean
  /** Stages. */
  noCacheFilter?: string[]
  pull?: boolean
  network?: 'default' | 'none' | 'host'
  extraHosts?: string[]
  ulimits?: Ulimit[]
  shmSize?: number
  cgroupParent?: string
  hostname?: string
  limits?: ExecLimits
  /** `network.host` and `security.insecure`, as far as the user allows them to the build's steps; absent is both. */
  entitlements?: string[]
  outputs?: Output[]
  cacheFrom?: CacheOption[]
  cacheTo?: CacheOption[]
  /** Seconds since 1970; `SOURCE_DATE_EPOCH` among the arguments says the same. */
  epoch?: number
  /** `--check`: read and check the Dockerfile, build nothing. */
  check?: boolean
  /** `--call`: only say what the Dockerfile offers. */
  describe?: 'outline' | 'targets'
  onProgress?: OnProgress
  signal?: AbortSignal
  local?: (request: LocalRequest) => Promise<LocalFolder>
  secret?: BuildSession['secret']
  ssh?: BuildSession['ssh']
  /** A store of the client's, by its name. */
  blobs?: (store: string) => ClientBlobs
  auth?: (host: string) => Promise<RegistryAuth | undefined>
  /** Told what the plan is, before it is solved: the classic stream shows instructions. */
  onPlan?: (steps: PlannedStep[]) => void
}

/** One instruction, and the vertex that it leads to. */
export interface PlannedStep {
  text: string
  /** Absent where it only changed the config. */
  vertex?: Digest
}

export interface BuildResult {
  id: string
  /** One a platform; none for `--check`. */
  images: { platform: Platform; config: ImageConfig; image?: Image; imageId?: Digest }[]
  /** Of an index of several platforms, or of the one manifest. */
  digest?: Digest
  /** Warnings of the checks. */
  warnings: BuildWarning[]
  /** What was asked for by `describe`. */
  outline?: Outline
  targets?: Target[]
  /** What the warnings are about, or what is described. */
  source?: { filename: string; text: string }
  /** Why the Dockerfile could not be built at all; only for `--check`. */
  fault?: { message: string; range?: LineRange }
  /** As `--metadata-file` has them. */
  metadata: Record<string, string>
}

export interface BuildWarning {
  rule: string
  description: string
  url: string
  detail: string
  range: { start: number; end: number }
}
