/** Digests: OCI image-spec, descriptor.md. Gantry computes SHA-256 and checks SHA-256, SHA-384 and SHA-512. */
import * as crypto from 'node:crypto'
import { invalid } from '../errors.ts'
import type { Digest } from './types.ts'

/** Algorithms that can be verified, and how many hex digits each has. */
const LENGTHS: Record<string, number> = { sha256: 64, sha384: 96, sha512: 128 }

/** The digest of `bytes`. */
export function digestOf(bytes: Uint8Array | string, algorithm = 'sha256'): Digest {
  return `${algorithm}:${crypto.hash(algorithm, bytes, 'hex')}`
}

/** A running digest; `digest()` ends it. */
export class Digester {
  readonly algorithm: string
  readonly #hash: crypto.Hash

  constructor(algorithm = 'sha256') {
    this.algorithm = algorithm
    this.#hash = crypto.createHash(algorithm)
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes)
  }

  digest(): Digest {
    return `${this.algorithm}:${this.#hash.digest('hex')}`
  }
}

/** Whether `text` is a digest that can be verified. */
export function isDigest(text: string): text is Digest {
  const colon = text.indexOf(':')
  const hex = text.slice(colon + 1)
  return colon > 0 && LENGTHS[text.slice(0, colon)] === hex.length && /^[0-9a-f]+$/.test(hex)
}

/**
 * `text` as a digest.
 * @throws GantryError `invalid` with the texts of Docker's digest parser.
 */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text
  const colon = text.indexOf(':')
  if (colon > 0 && /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:/.test(text)) {
    const length = LENGTHS[text.slice(0, colon)]
    if (length === undefined) throw invalid('unsupported digest algorithm')
    if (text.length - colon - 1 !== length) throw invalid('invalid checksum digest length')
  }
  throw invalid('invalid checksum digest format')
}

/** The part before the colon. */
export function algorithmOf(digest: Digest): string {
  return digest.slice(0, digest.indexOf(':'))
}

/** The part after the colon. */
export function hexOf(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1)
}

/** The first twelve hex digits: how people name images. */
export function shortId(digest: Digest): string {
  return hexOf(digest).slice(0, 12)
}

/** Names a stack of layers by what is in all of them. OCI image-spec, config.md: "Layer ChainID". */
export type ChainId = Digest

/** The chain IDs of a list of layers, lowest first: the i-th names layers 0 to i. */
export function chainIds(diffIds: readonly Digest[]): ChainId[] {
  const chain: ChainId[] = []
  for (const diffId of diffIds) {
    const parent = chain.at(-1)
    chain.push(parent === undefined ? diffId : digestOf(`${parent} ${diffId}`))
  }
  return chain
}

/** The chain ID of all of `diffIds`; `undefined` for no layers (`FROM scratch`). */
export function chainIdOf(diffIds: readonly Digest[]): ChainId | undefined {
  return chainIds(diffIds).at(-1)
}
