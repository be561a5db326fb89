/** `/v2/<name>/manifests/<reference>` */

import { messageOf } from '../../errors.ts'
import { digestOf, isDigest } from '../../image/digest.ts'
import { type Descriptor, type Digest, mediaTypes } from '../../image/types.ts'
import { isIndexType, isManifestType, parseManifest } from '../manifests.ts'
import type { Exchange, Registry } from './exchange.ts'
import { fault } from './faults.ts'
import type { ManifestEntry, RepositoryStore } from './repository-store.ts'

const unknown = (reference: string) => fault('MANIFEST_UNKNOWN', 'manifest unknown', 404, { Tag: reference })

export async function getManifest(
  registry: Registry,
  exchange: Exchange,
  name: string,
  reference: string,
): Promise<void> {
  exchange.require(name, 'pull')
  await registry.upstream?.manifest(name, reference)
  const repository = registry.store.repository(name)
  const entry = repository?.manifest(reference)
  if (!entry || !registry.store.content.has(entry.digest)) throw unknown(reference)
  const headers = {
    'Content-Type': entry.mediaType,
    'Docker-Content-Digest': entry.digest,
    ETag: `"${entry.digest}"`,
  }
  if (exchange.hasCurrent(entry.digest)) return exchange.answer(304, headers)
  if (exchange.method === 'HEAD') return exchange.answer(200, { ...headers, 'Content-Length': entry.size })
  exchange.answer(200, headers, registry.store.document(entry.digest))
}

export async function putManifest(
  registry: Registry,
  exchange: Exchange,
  name: string,
  reference: string,
): Promise<void> {
  exchange.require(name, 'push')
  refuseInCache(registry)
  const bytes = await exchange.body(registry.limits.manifestBytes)
  const digest = digestOf(bytes, isDigest(reference) ? reference.split(':')[0] : 'sha256')
  if (reference.includes(':') && reference !== digest) {
    throw fault('DIGEST_INVALID', 'provided digest did not match uploaded content', 400, {
      digest: reference,
    })
  }
  const repository = registry.store.ensure(name)
  const entry = examine(bytes, digest, exchange.header('content-type'), repository)
  await store(registry, repository, entry, bytes, reference)
  exchange.answer(201, {
    Location: `/v2/${name}/manifests/${digest}`,
    'Docker-Content-Digest': digest,
    ...(entry.subject && { 'OCI-Subject': entry.subject }),
  })
}

/** Put a manifest where a tag or its digest leads to it. All of it is on disk before anyone is told. */
export async function store(
  registry: Pick<Registry, 'store'>,
  repository: RepositoryStore,
  entry: ManifestEntry,
  bytes: Uint8Array,
  reference: string,
): Promise<void> {
  const { content } = registry.store
  const tag = reference.includes(':') ? undefined : reference
  if (repository.manifest(entry.digest) && content.has(entry.digest))
    return repository.putManifest(entry, tag)
  if (!content.has(entry.digest)) {
    const writer = await content.ingest({ digest: entry.digest, size: bytes.length })
    await writer.write(bytes)
    await writer.commit()
  }
  await content.synced()
  repository.linkBlob(entry.digest)
  repository.syncLinks()
  repository.putManifest(entry, tag)
}

export function deleteManifest(
  registry: Registry,
  exchange: Exchange,
  name: string,
  reference: string,
): void {
  exchange.require(name, 'delete')
  refuseInCache(registry)
  const repository = registry.store.repository(name)
  const gone = isDigest(reference) ? repository?.deleteManifest(reference) : repository?.deleteTag(reference)
  if (!gone) throw unknown(reference)
  exchange.answer(202)
}

export function refuseInCache(registry: Registry): void {
  if (registry.upstream)
    throw fault('UNSUPPORTED', 'this registry is a cache of another one: pushes go there', 405)
}

/**
 * What is to be remembered of a manifest. Known kinds must be well-formed and complete; anything else that is JSON is an
 * artifact of a kind that only its users know.
 */
export function examine(
  bytes: Buffer,
  digest: Digest,
  contentType: string | undefined,
  repository?: RepositoryStore,
): ManifestEntry {
  let document: {
    mediaType?: unknown
    artifactType?: unknown
    subject?: Partial<Descriptor>
    config?: Partial<Descriptor>
  }
  try {
    document = JSON.parse(bytes.toString('utf8'))
  } catch {
    throw fault('MANIFEST_INVALID', 'manifest invalid', 400, 'not JSON')
  }
  if (document === null || typeof document !== 'object' || Array.isArray(document)) {
    throw fault('MANIFEST_INVALID', 'manifest invalid', 400, 'not an object')
  }
  const sent = contentType?.split(';', 1)[0]?.trim()
  const declared = typeof document.mediaType === 'string' ? document.mediaType : undefined
  if (sent && declared && sent !== declared) {
    throw fault(
      'MANIFEST_INVALID',
      'manifest invalid',
      400,
      `mediaType ${declared} does not match Content-Type ${sent}`,
    )
  }
  const mediaType = sent || declared || mediaTypes.ociManifest
  if (isManifestType(mediaType) || 'schemaVersion' in document) check(bytes, mediaType, repository)
  const subject = document.subject?.digest
  if (subject !== undefined && !isDigest(subject))
    throw fault('MANIFEST_INVALID', 'manifest invalid', 400, 'subject has no digest')
  const artifactType =
    typeof document.artifactType === 'string' && document.artifactType !== ''
      ? document.artifactType
      : isIndexType(mediaType)
        ? undefined
        : document.config?.mediaType
  return {
    mediaType,
    digest,
    size: bytes.length,
    ...(artifactType !== undefined && { artifactType }),
    ...(subject && { subject }),
  }
}

function check(bytes: Buffer, mediaType: string, repository: RepositoryStore | undefined): void {
  if (!isManifestType(mediaType)) {
    // A new kind that looks like the known ones is taken as it is; the signed old one is not.
    if ((JSON.parse(bytes.toString('utf8')) as { schemaVersion?: unknown }).schemaVersion !== 1) return
  }
  let parsed: ReturnType<typeof parseManifest>
  try {
    parsed = parseManifest(bytes, mediaType)
  } catch (error) {
    throw fault('MANIFEST_INVALID', 'manifest invalid', 400, messageOf(error))
  }
  if (!repository) return
  const missing =
    parsed.kind === 'index'
      ? parsed.index.manifests.filter(entry => !repository.manifest(entry.digest))
      : [parsed.manifest.config, ...parsed.manifest.layers].filter(
          blob => !blob.urls?.length && repository.blobSize(blob.digest) === undefined,
        )
  if (missing.length > 0) {
    throw fault(
      'MANIFEST_BLOB_UNKNOWN',
      'blob unknown to registry',
      404,
      missing.map(({ digest }) => ({ digest })),
    )
  }
}
