/**
 * Snapshots: the folders that layers are unpacked into, and the writable folder that a container puts on top.
 *
 * The words. A *layer* is a tar of changes. A *chain* is a stack of layers, named by its {@link ChainId}; each chain has one
 * folder that holds its topmost layer, made once, never changed, shared by every image that has the same layers below
 * and including it. A *writable snapshot* is one container's own layer over a chain, in a folder that the container names.
 *
 * A life, in the order in which a caller lives it:
 *
 * 1. `readAhead(blob)`: a layer's bytes begin to arrive. Unpacking starts at once, beside the download. Optional.
 * 2. `unpack(layers)`: the image is known. Layers that are missing are unpacked, side by side, those read ahead are taken over;
 *    each appears under its chain ID by one rename, its diff ID checked. Two calls for the same chain share the work. The answer is the
 *    chain to start from. Raises `invalid` for a layer that is not what the image says it is, and leaves nothing then.
 * 3. `prepare(folder, chain)`: makes the writable snapshot in `folder`, or takes up the one that is there: a restarted daemon calls
 *    it again for each container, which is how chains are known to be in use. Overlay: two `mkdir`. vfs: a copy.
 * 4. `mount(snapshot)`: the merged tree as a detached mount, an fd that nobody else sees. Closed, it is gone.
 * 5. `changes`, `diff`, `usage`: what the container wrote, while it runs or not.
 * 6. `release(folder)`: the container is removed. The writable snapshot's files go, the chain is no longer held by it.
 * 7. `collect(chains)`: remove every chain that is neither among `chains` (of the images) nor below a writable snapshot.
 *
 * Nothing here is lost by a crash that cannot be made again: half-made folders are swept at the next start, and a chain that is
 * missing is unpacked again from its blobs by the next `unpack`.
 */
import type { Readable } from 'node:stream'
import type { Growing } from './content-store.ts'
import type { ChainId } from './digest.ts'
import type { Digest, MediaType } from './types.ts'

export type SnapshotDriver = 'overlay2' | 'vfs'

/** A layer's blob in the content store. */
export interface LayerBlob {
  /** Of the bytes as stored. */
  digest: Digest
  /** Of the tar: checked. */
  diffId: Digest
  /** Only a hint: the compression is read from the first bytes. */
  mediaType: MediaType
}

/** What a container's file system is made of. Paths are absolute. */
export interface WritableSnapshot {
  readonly folder: string
  readonly parent: ChainId | undefined
  /** Topmost first. Empty for an image without layers. */
  readonly lowerdirs: readonly string[]
  readonly upperdir: string
  /** Overlay's own; '' with vfs. */
  readonly workdir: string
}

/** As `docker diff`: 0 modified, 1 added, 2 deleted. */
export interface Change {
  /** Absolute in the container. */
  path: string
  kind: 0 | 1 | 2
}

export interface UnpackOptions {
  signal?: AbortSignal
  /** How far one layer is: bytes of its blob that were unpacked. */
  onProgress?: (layer: LayerBlob, bytes: number) => void
  /** A layer is in its place. */
  onUnpacked?: (layer: LayerBlob) => void
}

export interface Snapshots {
  readonly driver: SnapshotDriver
  /** {@link UnpackLimits.layerBytes} as it is set. */
  readonly maxLayerBytes: number

  /** Begin to unpack a blob that is still arriving. `unpack` finds it by its digest; {@link ReadAhead.drop} gives it up. */
  readAhead(digest: Digest, growing: Growing): ReadAhead
  /** @returns the topmost chain; `undefined` for no layers. */
  unpack(layers: readonly LayerBlob[], options?: UnpackOptions): Promise<ChainId | undefined>
  /**
   * Make the files of a layer that was made here (an upper folder of overlayfs, on the same file system) the chain's, instead of
   * unpacking its blob. They are moved; the answer is where to. `undefined`, and nothing moved, where the chain is there already or the driver
   * keeps layers in another form.
   */
  adopt(
    files: string,
    layer: { chain: ChainId; parent: ChainId | undefined; diffId: Digest; size: number },
  ): string | undefined
  has(chain: ChainId): boolean
  /** Chains of which a power cut may have taken files: those unpacked shortly before it. */
  readonly doubtful: ReadonlySet<ChainId>
  /** So that `unpack` makes it again. Nothing may stand on it. */
  forget(chain: ChainId): void
  /** Bytes in one layer's files: what `docker images` and `history` add up. 0 for a chain that is not unpacked. */
  layerSize(chain: ChainId): number

  prepare(folder: string, parent: ChainId | undefined): Promise<WritableSnapshot>
  /**
   * A detached mount of the merged tree; the caller closes the fd. `readOnly` leaves the upper folder out of it. `volatile` is for what is
   * thrown away after a crash: nobody waits for the disk, neither who calls fsync(2) in there nor whoever closes the fd.
   */
  mount(snapshot: WritableSnapshot, options?: MountOptions): number
  /** `rw`: bytes the container wrote. `rootFs`: with all its layers. */
  usage(snapshot: WritableSnapshot): Promise<{ rw: number; rootFs: number }>
  changes(snapshot: WritableSnapshot, signal?: AbortSignal): Promise<Change[]>
  /** The writable snapshot as a layer: an uncompressed tar with whiteouts. */
  diff(snapshot: WritableSnapshot, signal?: AbortSignal): Readable
  /** `GraphDriver.Data` of inspect, for a container or (its topmost chain) an image. */
  graphDriverData(of: WritableSnapshot | ChainId | undefined): Record<string, string>

  release(folder: string): Promise<void>
  /** Whether a writable snapshot stands on this chain. */
  isHeld(chain: ChainId): boolean
  /** Chains that went, topmost first, and the bytes that came back. Folders are removed in the background. */
  collect(keep: Iterable<ChainId>): { removed: ChainId[]; bytes: number }
  /** Resolves when nothing is being removed in the background. */
  settled(): Promise<void>
}

/** See {@link Snapshots.mount}. */
export interface MountOptions {
  readOnly?: boolean
  volatile?: boolean
}

/** See {@link Snapshots.readAhead}. */
export interface ReadAhead {
  /** Give it up, unless `unpack` took it over. */
  drop(): void
}

/** Limits that keep an archive from outside from filling the host. Bytes. */
export interface UnpackLimits {
  /**
   * Of one layer's tar, decompressed, and of the files in it. How well it compresses says nothing: an honest file of zeros
   * is a thousand times smaller.
   */
  layerBytes?: number
}

/** {@link UnpackLimits.layerBytes} unless told: 256 GiB. */
export const MAX_LAYER_BYTES = 256 * 2 ** 30
