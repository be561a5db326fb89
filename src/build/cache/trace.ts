/** What one build's steps were made from and came to: what a cache that is given away tells of them. */

/** An input: a key, or what was selected from it, or (of a client's folder) only the digest of what was found. */
export interface TraceInput {
  key?: string
  selector?: string
  /** Of what was found under `selector`; absent where there was nothing. */
  digest?: string | undefined
}

export interface Trace {
  key: string
  inputs: TraceInput[]
  /** Its own layer in the store of layers. */
  layer: string
}
