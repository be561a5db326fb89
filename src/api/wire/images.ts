/** How images look on the wire: lists, inspect, history. */
import type { ImageDetails, ImageHistoryEntry, ImageRemoval, ImageSummary } from '../../engine/results.ts'
import type { ImageRuntimeConfig } from '../../image/types.ts'

export function encodeImageSummary(image: ImageSummary, api: number): Record<string, unknown> {
  return {
    Containers: image.containers,
    Created: image.created,
    Id: image.id,
    Labels: image.labels,
    ParentId: image.parentId,
    ...(api >= 52 && image.descriptor && { Descriptor: image.descriptor }),
    RepoDigests: image.repoDigests,
    RepoTags: image.repoTags,
    SharedSize: image.sharedSize,
    Size: image.size,
    ...(api < 44 && { VirtualSize: image.size }),
  }
}

/** Fields that a container's config had and an image's never did; shown until 1.50. */
const containerOnly = {
  AttachStderr: false,
  AttachStdin: false,
  AttachStdout: false,
  Domainname: '',
  Hostname: '',
  Image: '',
  OpenStdin: false,
  StdinOnce: false,
  Tty: false,
}

const emptyConfig = {
  ...containerOnly,
  User: '',
  Env: null,
  Cmd: null,
  Volumes: null,
  WorkingDir: '',
  Entrypoint: null,
  OnBuild: null,
  Labels: null,
}

export function encodeImage(image: ImageDetails, api: number): Record<string, unknown> {
  const { config } = image
  return {
    Id: image.id,
    RepoTags: image.repoTags,
    RepoDigests: image.repoDigests,
    ...(api < 52 && { Parent: image.parent }),
    Comment: image.comment,
    ...(config.created !== undefined && { Created: config.created }),
    ...(api < 45 && { Container: '', ContainerConfig: emptyConfig }),
    ...(api < 52 && { DockerVersion: '' }),
    Author: config.author ?? '',
    Architecture: config.architecture,
    ...(config.variant && { Variant: config.variant }),
    Os: config.os,
    ...(config['os.version'] && { OsVersion: config['os.version'] }),
    Size: image.size,
    ...(api < 44 && { VirtualSize: image.size }),
    GraphDriver: { Data: image.storage.data, Name: image.storage.driver },
    RootFS: {
      Type: config.rootfs.type,
      ...(config.rootfs.diff_ids.length > 0 && { Layers: config.rootfs.diff_ids }),
    },
    Metadata: { LastTagTime: image.lastTagTime },
    Config: encodeImageConfig(config.config ?? {}, api),
    ...(api >= 52 && image.descriptor && { Descriptor: image.descriptor }),
  }
}

function encodeImageConfig(config: ImageRuntimeConfig, api: number): Record<string, unknown> {
  const full = {
    ...(api < 50 && containerOnly),
    Cmd: config.Cmd ?? null,
    Entrypoint: config.Entrypoint ?? null,
    Env: config.Env ?? null,
    Labels: config.Labels ?? null,
    OnBuild: config.OnBuild ?? null,
    User: config.User ?? '',
    Volumes: config.Volumes ?? null,
    WorkingDir: config.WorkingDir ?? '',
    ...pick(config, ['ExposedPorts', 'Healthcheck', 'Shell', 'StopSignal', 'StopTimeout', 'ArgsEscaped']),
  }
  return api < 52 ? full : Object.fromEntries(Object.entries(full).filter(([, value]) => !isZero(value)))
}

function pick<T extends object, K extends keyof T>(value: T, keys: K[]): Partial<T> {
  const result: Partial<T> = {}
  for (const key of keys) if (!isZero(value[key])) result[key] = value[key]
  return result
}

function isZero(value: unknown): boolean {
  if (value === undefined || value === null || value === '' || value === false) return true
  return typeof value === 'object' && Object.keys(value).length === 0
}

export function encodeHistory(entry: ImageHistoryEntry): Record<string, unknown> {
  return {
    Comment: entry.comment ?? '',
    Created: entry.created ? Math.floor(Date.parse(entry.created) / 1000) : -62135596800,
    CreatedBy: entry.created_by ?? '',
    Id: entry.id,
    Size: entry.size,
    Tags: entry.tags,
  }
}

export function encodeRemoval(removal: ImageRemoval): Record<string, unknown> {
  return 'untagged' in removal ? { Untagged: removal.untagged } : { Deleted: removal.deleted }
}
