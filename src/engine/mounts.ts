/** From what a create request says of mounts to a container's mount points. Makes the volumes that are missing. */
import * as fs from 'node:fs'
import { invalid } from '../errors.ts'
import type { VolumeRecord, VolumeRequest } from '../volume/volumes.ts'
import { checkMountSpec, cleanPath, parseBind, parseVolumesFrom } from './mount-parse.ts'
import type { ContainerConfig, HostSpec, MountPoint, MountSpec } from './types.ts'

/** What resolving needs to know; nothing is made before every word was checked. */
export interface MountSources {
  createVolume(request: VolumeRequest): VolumeRecord
  dataPath(volume: string): string
  /** Raises notFound. */
  mountsOf(container: string): MountPoint[]
  /** Raises notFound for an image that is not here; gives the image's id. */
  imageId(ref: string): string
}

type Draft = MountPoint & { volume?: VolumeRequest }

/** Raises in Docker's words. The order is Docker's: from other containers, `-v`, `--mount`, the image's volumes. */
export function resolveMounts(config: ContainerConfig, host: HostSpec, sources: MountSources): MountPoint[] {
  const drafts = new Map<string, Draft>()
  for (const text of host.volumesFrom ?? []) {
    for (const mount of mountsFrom(text, sources)) drafts.set(mount.destination, mount)
  }
  const taken = new Set<string>()
  const add = (draft: Draft): void => {
    if (taken.has(draft.destination)) throw invalid(`Duplicate mount point: ${draft.destination}`)
    taken.add(draft.destination)
    drafts.set(draft.destination, draft)
  }
  for (const target of Object.keys(host.tmpfs ?? {})) {
    // Its options are looked at when it is mounted, as Docker does.
    if (!target.startsWith('/')) {
      throw invalid(`invalid mount path: '${target}' mount path must be absolute`)
    }
    if (cleanPath(target) === '/') throw invalid("invalid specification: destination can't be '/'")
    taken.add(cleanPath(target))
  }
  for (const text of host.binds ?? []) add(fromBind(text, host))
  for (const mount of host.mounts ?? []) add(fromSpec(mount, sources))
  for (const target of config.volumes ?? []) {
    const destination = cleanPath(target)
    if (taken.has(destination) || drafts.has(destination)) continue
    drafts.set(destination, volumeDraft(destination, '', { driver: host.volumeDriver, anonymous: true }))
  }
  return [...drafts.values()].map(draft => settle(draft, sources))
}

function mountsFrom(text: string, sources: MountSources): MountPoint[] {
  const { container, readOnly } = parseVolumesFrom(text)
  return sources
    .mountsOf(container)
    .filter(mount => mount.type === 'volume' || mount.type === 'bind')
    .map(mount => ({ ...mount, rw: mount.rw && !readOnly, anonymous: false }))
}

function fromBind(text: string, host: HostSpec): Draft {
  const bind = parseBind(text)
  if (bind.type === 'bind') {
    return {
      type: 'bind',
      source: bind.source!,
      destination: bind.target,
      mode: bind.mode,
      rw: !bind.readOnly,
      propagation: bind.propagation || 'rprivate',
      // -v makes what is missing, where --mount refuses.
      spec: {
        type: 'bind',
        source: bind.source!,
        target: bind.target,
        readOnly: bind.readOnly,
        bind: { createMountpoint: true },
      },
    }
  }
  const draft = volumeDraft(bind.target, bind.mode || 'z', {
    name: bind.source,
    driver: host.volumeDriver,
    anonymous: bind.source === undefined,
  })
  draft.rw = !bind.readOnly
  if (bind.noCopy) draft.spec = { type: 'volume', target: bind.target, volume: { noCopy: true } }
  return draft
}

function volumeDraft(destination: string, mode: string, volume: VolumeRequest): Draft {
  return { type: 'volume', source: '', destination, mode, rw: true, propagation: '', volume }
}

function fromSpec(spec: MountSpec, sources: MountSources): Draft {
  checkMountSpec(spec)
  const destination = cleanPath(spec.target)
  const base = { destination, mode: '', rw: !spec.readOnly, propagation: '', spec }
  switch (spec.type) {
    case 'bind':
      if (!spec.bind?.createMountpoint && !fs.existsSync(spec.source!)) {
        throw invalid(`invalid mount config for type "bind": bind source path does not exist: ${spec.source}`)
      }
      return {
        ...base,
        type: 'bind',
        source: cleanPath(spec.source!),
        propagation: spec.bind?.propagation || 'rprivate',
      }
    case 'tmpfs':
      return { ...base, type: 'tmpfs', source: '' }
    case 'image':
      sources.imageId(spec.source!)
      return { ...base, type: 'image', name: spec.source!, source: '', rw: false, propagation: 'rprivate' }
    default:
      return {
        ...volumeDraft(destination, 'z', {
          name: spec.source,
          driver: spec.volume?.driver?.name,
          options: spec.volume?.driver?.options,
          labels: spec.volume?.labels,
          anonymous: !spec.source,
        }),
        rw: !spec.readOnly,
        spec,
      }
  }
}

function settle({ volume, ...mount }: Draft, sources: MountSources): MountPoint {
  if (!volume) return mount
  const record = sources.createVolume(volume)
  return {
    ...mount,
    name: record.name,
    driver: record.driver,
    source: sources.dataPath(record.name),
    ...(volume.anonymous && { anonymous: true }),
  }
}
