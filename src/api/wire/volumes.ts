/** How volumes look on the wire. */
import type { VolumeDetails } from '../../engine/results.ts'

export function encodeVolume(volume: VolumeDetails): Record<string, unknown> {
  return {
    CreatedAt: volume.createdAt,
    Driver: volume.driver,
    Labels: volume.labels,
    Mountpoint: volume.mountpoint,
    Name: volume.name,
    Options: volume.options,
    Scope: volume.scope,
    ...(volume.usage && { UsageData: { RefCount: volume.usage.refCount, Size: volume.usage.size } }),
  }
}
