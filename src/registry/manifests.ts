/** Manifest documents as they come from outside: which kinds are known, and that they hold what they must. */
import { invalid } from '../errors.ts'
import { isDigest } from '../image/digest.ts'
import { type Descriptor, type Index, type Manifest, type MediaType, mediaTypes } from '../image/types.ts'

/** The largest manifest that is read or taken: the limit that registries share. */
export const MAX_MANIFEST_BYTES = 4 << 20

export type ManifestDocument =
  | { kind: 'image'; mediaType: MediaType; manifest: Manifest }
  | { kind: 'index'; mediaType: MediaType; index: Index }

const IMAGES: string[] = [mediaTypes.ociManifest, mediaTypes.dockerManifest]
const INDEXES: string[] = [mediaTypes.ociIndex, mediaTypes.dockerManifestList]
const SCHEMA_1 = /^application\/(vnd\.docker\.distribution\.manifest\.v1\+(json|prettyjws)|json)$/

/** What a client says that it can read. */
export const manifestAccept = [...IMAGES, ...INDEXES].join(', ')

export const isIndexType = (mediaType: string): boolean => INDEXES.includes(mediaType)
export const isManifestType = (mediaType: string): boolean =>
  IMAGES.includes(mediaType) || isIndexType(mediaType)

/**
 * Parse `bytes`, which came as `contentType`.
 * Throws `invalid`, naming the media type, for kinds that are not known, for schema 1, and for documents that are not what they say.
 */
export function parseManifest(bytes: Uint8Array, contentType: string | undefined): ManifestDocument {
  let document: Record<string, unknown>
  try {
    document = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8'))
  } catch (error) {
    throw invalid(`invalid manifest of media type ${contentType || 'unknown'}: not JSON`, error)
  }
  if (document === null || typeof document !== 'object' || Array.isArray(document)) {
    throw invalid('invalid manifest: not an object')
  }
  const declared = typeof document['mediaType'] === 'string' ? document['mediaType'] : undefined
  const sent = mediaTypeOf(contentType)
  if (
    document['schemaVersion'] === 1 ||
    (sent !== undefined && SCHEMA_1.test(sent) && declared === undefined)
  ) {
    throw invalid(
      'image manifests of schema version 1 are not supported: the image must be pushed again in the OCI or schema 2 format',
    )
  }
  if (declared !== undefined && sent !== undefined && isManifestType(sent) && declared !== sent) {
    throw invalid(`invalid manifest: it came as ${sent} and calls itself ${declared}`)
  }
  const mediaType = sent !== undefined && isManifestType(sent) ? sent : (declared ?? sent ?? guess(document))
  if (!isManifestType(mediaType)) throw invalid(`unsupported manifest media type: ${mediaType}`)
  if (document['schemaVersion'] !== 2) throw invalid('invalid manifest: schemaVersion is not 2')
  return isIndexType(mediaType) ? asIndex(document, mediaType) : asImage(document, mediaType)
}

/** A `Content-Type` without its parameters; `undefined` for none. */
export function mediaTypeOf(contentType: string | undefined): MediaType | undefined {
  return contentType?.split(';', 1)[0]?.trim().toLowerCase() || undefined
}

/** OCI documents may omit their media type. */
function guess(document: Record<string, unknown>): MediaType {
  return 'manifests' in document ? mediaTypes.ociIndex : mediaTypes.ociManifest
}

/** A document that is both is refused: two clients could read two images from it (CVE-2021-41190). */
function asImage(document: Record<string, unknown>, mediaType: MediaType): ManifestDocument {
  if ('manifests' in document) throw invalid('invalid manifest: an image manifest with a list of manifests')
  if ('fsLayers' in document || 'history' in document)
    throw invalid('invalid manifest: mixed with schema version 1')
  checkDescriptor(document['config'], 'config')
  if (!Array.isArray(document['layers'])) throw invalid('invalid manifest: no layers')
  for (const layer of document['layers']) checkDescriptor(layer, 'layer')
  if (document['subject'] != null) checkDescriptor(document['subject'], 'subject')
  return { kind: 'image', mediaType, manifest: document as unknown as Manifest }
}

function asIndex(document: Record<string, unknown>, mediaType: MediaType): ManifestDocument {
  if ('layers' in document || 'config' in document) throw invalid('invalid manifest: an index with layers')
  if (!Array.isArray(document['manifests'])) throw invalid('invalid manifest: no list of manifests')
  for (const entry of document['manifests']) checkDescriptor(entry, 'manifest')
  if (document['subject'] != null) checkDescriptor(document['subject'], 'subject')
  return { kind: 'index', mediaType, index: document as unknown as Index }
}

function checkDescriptor(value: unknown, what: string): asserts value is Descriptor {
  const descriptor = value as Partial<Descriptor> | null | undefined
  if (descriptor === null || typeof descriptor !== 'object')
    throw invalid(`invalid manifest: no ${what} descriptor`)
  if (typeof descriptor.digest !== 'string' || !isDigest(descriptor.digest)) {
    throw invalid(
      `invalid manifest: ${what} has an invalid digest ${JSON.stringify(descriptor.digest ?? '')}`,
    )
  }
  if (!Number.isSafeInteger(descriptor.size) || descriptor.size! < 0) {
    throw invalid(`invalid manifest: ${what} ${descriptor.digest} has an invalid size`)
  }
  if (typeof descriptor.mediaType !== 'string') {
    throw invalid(`invalid manifest: ${what} ${descriptor.digest} has no media type`)
  }
}
