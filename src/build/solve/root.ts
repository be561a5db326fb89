/** A root file system as a build has it: perhaps an image, and the layers of steps on top of it. */
import type { LayerBlob, WritableSnapshot } from '../../image/snapshots.ts'
import type { Descriptor, Digest } from '../../image/types.ts'
import type { LocalFolder } from './session.ts'

export interface ImageBase {
  /** Lowest first; what {@link LayerBlob}s they are, and how the manifest describes them. */
  blobs: LayerBlob[]
  descriptors: Descriptor[]
  /** Of the topmost layer; `undefined` for an image without layers. */
  chain: Digest | undefined
}

export interface Root {
  /** What it is made of: two roots with the same key have the same content. */
  readonly key: string
  readonly base: ImageBase | undefined
  /** Ids in the {@link file://./layers.ts} store, lowest first. */
  readonly layers: readonly string[]
}

export const EMPTY_ROOT: Root = { key: 'empty', base: undefined, layers: [] }

export type { WritableSnapshot }

/** What a vertex came to: a root of layers, or a folder of the client's, which is only read. */
export type Solved = Root | { key: string; local: LocalFolder }

export const isRoot = (solved: Solved): solved is Root => 'layers' in solved
