/** Every limit that protects the registry, with its default. */
export interface Limits {
  /** Bytes of a manifest; 4 MiB. */
  manifestBytes: number
  /** Uploads under way at once; 1000. */
  uploads: number
  /** Milliseconds without a byte after which an upload is forgotten; 7 days. */
  uploadAge: number
  /** Bytes of one blob; no limit unless told. */
  blobBytes: number
  /** Entries of a page of tags or repositories that a client gets without asking; 10,000. */
  pageSize: number
  /** Milliseconds that unreferenced content is kept; 24 hours. */
  grace: number
}

export const defaultLimits: Limits = {
  manifestBytes: 4 << 20,
  uploads: 1000,
  uploadAge: 7 * 24 * 3600_000,
  blobBytes: Number.POSITIVE_INFINITY,
  pageSize: 10_000,
  grace: 24 * 3600_000,
}
