/** The words of the OCI image specification, and the interfaces that sources and sinks of images share. */
import type { Readable } from 'node:stream'

/** `sha256:` and 64 hex digits (or another registered algorithm). */
export type Digest = `${string}:${string}`

export type MediaType = string

export const mediaTypes = {
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar',
  ociLayerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  ociLayerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  ociEmpty: 'application/vnd.oci.empty.v1+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerManifestList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayer: 'application/vnd.docker.image.rootfs.diff.tar',
  dockerLayerGzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  dockerLayerZstd: 'application/vnd.docker.image.rootfs.diff.tar.zstd',
  dockerForeignLayer: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
} as const

/** OCI image-spec: descriptor.md */
export interface Descriptor {
  mediaType: MediaType
  digest: Digest
  /** Bytes. */
  size: number
  urls?: string[]
  annotations?: Record<string, string>
  data?: string
  artifactType?: string
  platform?: Platform
}

export interface Platform {
  /** `linux` */
  os: string
  /** GOARCH: `amd64`, `arm64`, … */
  architecture: string
  variant?: string
  'os.version'?: string
  'os.features'?: string[]
}

/** OCI image-spec: manifest.md; Docker's schema 2 has the same shape. */
export interface Manifest {
  schemaVersion: 2
  mediaType?: MediaType
  artifactType?: string
  config: Descriptor
  layers: Descriptor[]
  subject?: Descriptor
  annotations?: Record<string, string>
}

/** OCI image-spec: image-index.md; Docker's manifest list has the same shape. */
export interface Index {
  schemaVersion: 2
  mediaType?: MediaType
  artifactType?: string
  manifests: Descriptor[]
  subject?: Descriptor
  annotations?: Record<string, string>
}

/** `config` of the image config: names are the specification's. Docker adds the last five. */
export interface ImageRuntimeConfig {
  User?: string
  ExposedPorts?: Record<string, object>
  Env?: string[]
  Entrypoint?: string[] | null
  Cmd?: string[] | null
  Volumes?: Record<string, object>
  WorkingDir?: string
  Labels?: Record<string, string> | null
  StopSignal?: string
  ArgsEscaped?: boolean
  Healthcheck?: {
    Test?: string[]
    Interval?: number
    Timeout?: number
    StartPeriod?: number
    StartInterval?: number
    Retries?: number
  }
  OnBuild?: string[] | null
  Shell?: string[]
  StopTimeout?: number
}

export interface HistoryEntry {
  created?: string
  created_by?: string
  author?: string
  comment?: string
  empty_layer?: boolean
}

/** OCI image-spec: config.md */
export interface ImageConfig extends Platform {
  created?: string
  author?: string
  config?: ImageRuntimeConfig
  rootfs: { type: 'layers'; diff_ids: Digest[] }
  history?: HistoryEntry[]
}

/** One filesystem layer. Bytes are only produced when asked for. */
export interface Layer {
  /** Digest of the bytes as they are stored or sent (usually compressed). */
  readonly digest: Digest
  /** Digest of the uncompressed tar: what an image config lists. */
  readonly diffId: Digest
  /** Bytes, as stored or sent. */
  readonly size: number
  readonly mediaType: MediaType
  open(signal?: AbortSignal): Promise<Readable>
}

/** One image for one platform, wherever it comes from: a registry, an archive, the store, a build. */
export interface Image {
  /** Digest of the manifest. */
  readonly digest: Digest
  readonly mediaType: MediaType
  readonly manifest: Manifest
  /** The manifest as bytes: what {@link digest} is of. */
  readonly manifestBytes: Uint8Array
  readonly config: ImageConfig
  readonly configBytes: Uint8Array
  readonly layers: readonly Layer[]
}
