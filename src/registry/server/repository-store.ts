/**
 * One repository on disk: an OCI image layout (image-layout.md) whose blobs are hard links to the registry's shared ones.
 *
 *     <folder>/oci-layout
 *     <folder>/index.json          every manifest, once a tag; without tag for those that have none
 *     <folder>/journal.jsonl       changes since index.json was written, one JSON object a line
 *     <folder>/blobs/sha256/<hex>  what this repository has
 *
 * A change is one appended line, synced: ten thousand tags would otherwise be ten thousand times an ever longer index. Reading
 * is index.json, then the journal over it; a last line cut off by a crash never happened.
 */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { readJson, syncFolder, writeFileDurable, writeJsonDurable } from '../../durable.ts'
import { hasCode } from '../../errors.ts'
import type { ContentStore } from '../../image/content-store.ts'
import { algorithmOf, hexOf, isDigest } from '../../image/digest.ts'
import { type Descriptor, type Digest, type Index, mediaTypes } from '../../image/types.ts'

const TAG_ANNOTATION = 'org.opencontainers.image.ref.name'
/** On an index entry: the manifest that the entry's manifest refers to. */
const SUBJECT_ANNOTATION = 'dev.gantry.subject'
/** Lines in the journal after which index.json is written anew. */
const COMPACT_AFTER = 4096

/** What is remembered of a manifest. */
export interface ManifestEntry {
  mediaType: string
  digest: Digest
  size: number
  artifactType?: string
  subject?: Digest
}

type Change =
  | { do: 'put'; manifest: ManifestEntry; tag?: string }
  | { do: 'untag'; tag: string }
  | { do: 'delete'; digest: Digest }

export class RepositoryStore {
  readonly name: string
  readonly folder: string
  readonly #content: ContentStore
  readonly #manifests = new Map<Digest, ManifestEntry>()
  readonly #tags = new Map<string, Digest>()
  readonly #referrers = new Map<Digest, Set<Digest>>()
  #sorted: string[] | undefined
  #journal: number | undefined
  #journalLines = 0

  /** Opens what is there; nothing is made before the first write. */
  constructor(name: string, folder: string, content: ContentStore) {
    this.name = name
    this.folder = folder
    this.#content = content
    this.#load()
  }

  get isEmpty(): boolean {
    return this.#manifests.size === 0
  }

  /** In the order of their bytes. */
  tags(): readonly string[] {
    this.#sorted ??= [...this.#tags.keys()].sort()
    return this.#sorted
  }

  /** What a tag or a digest names. */
  manifest(reference: string): ManifestEntry | undefined {
    const digest = reference.includes(':') ? (reference as Digest) : this.#tags.get(reference)
    return digest && this.#manifests.get(digest)
  }

  manifests(): Iterable<ManifestEntry> {
    return this.#manifests.values()
  }

  referrers(subject: Digest): ManifestEntry[] {
    return [...(this.#referrers.get(subject) ?? [])].map(digest => this.#manifests.get(digest)!)
  }

  /** Durable when it returns, if the blobs it names are. */
  putManifest(manifest: ManifestEntry, tag?: string): void {
    const known = this.#manifests.has(manifest.digest)
    if (known && (tag === undefined || this.#tags.get(tag) === manifest.digest)) return
    this.#change({ do: 'put', manifest, ...(tag !== undefined && { tag }) })
  }

  deleteTag(tag: string): boolean {
    if (!this.#tags.has(tag)) return false
    this.#change({ do: 'untag', tag })
    return true
  }

  /** With all its tags. */
  deleteManifest(digest: Digest): boolean {
    if (!this.#manifests.has(digest)) return false
    this.#change({ do: 'delete', digest })
    this.unlinkBlob(digest)
    return true
  }

  /** Bytes of a blob that this repository has. */
  blobSize(digest: Digest): number | undefined {
    const linked = fs.statSync(this.#link(digest), { throwIfNoEntry: false })
    return linked && this.#content.has(digest) ? linked.size : undefined
  }

  /** Make a blob of the shared store one of this repository's. */
  linkBlob(digest: Digest): void {
    const link = this.#link(digest)
    const from = this.#content.path(digest)
    try {
      try {
        fs.linkSync(from, link)
      } catch (error) {
        if (!hasCode(error, 'ENOENT')) throw error
        this.#create(algorithmOf(digest))
        fs.linkSync(from, link)
      }
    } catch (error) {
      // More links than the file system can count: a copy is as good.
      if (hasCode(error, 'EMLINK')) fs.copyFileSync(from, link)
      else if (!hasCode(error, 'EEXIST')) throw error
      else {
        this.#relink(from, link)
        this.renew(digest)
      }
    }
  }

  /** Someone was told that the blob is here, and relies on it: it counts as new, if it came before `since` (milliseconds since 1970). */
  renew(digest: Digest, since = Number.POSITIVE_INFINITY): void {
    const link = this.#link(digest)
    if (fs.statSync(link).ctimeMs >= since) return
    const now = new Date()
    fs.utimesSync(link, now, now)
  }

  /** A link left over from a blob that was since removed from the shared store keeps the wrong file alive. */
  #relink(from: string, link: string): void {
    if (fs.statSync(from).ino === fs.statSync(link).ino) return
    fs.rmSync(link)
    fs.linkSync(from, link)
  }

  unlinkBlob(digest: Digest): boolean {
    try {
      fs.unlinkSync(this.#link(digest))
      return true
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return false
      throw error
    }
  }

  /** Every blob that this repository has, and when it came. */
  *blobs(): Generator<{ digest: Digest; linkedAt: number; shared: boolean }> {
    const blobs = path.join(this.folder, 'blobs')
    for (const algorithm of list(blobs)) {
      for (const hex of list(path.join(blobs, algorithm))) {
        const digest: Digest = `${algorithm}:${hex}`
        if (!isDigest(digest)) continue
        const { ctimeMs, nlink } = fs.statSync(path.join(blobs, algorithm, hex))
        yield { digest, linkedAt: ctimeMs, shared: nlink > 1 }
      }
    }
  }

  /** Make the links survive a power cut. */
  syncLinks(): void {
    const blobs = path.join(this.folder, 'blobs')
    for (const algorithm of list(blobs)) syncFolder(path.join(blobs, algorithm))
  }

  /** Write index.json, so that other tools see what the journal holds. */
  flush(): void {
    if (this.#journalLines === 0) return
    const byDigest = new Map<Digest, string[]>()
    for (const [tag, digest] of this.#tags) {
      const tags = byDigest.get(digest)
      if (tags) tags.push(tag)
      else byDigest.set(digest, [tag])
    }
    const manifests: Descriptor[] = []
    for (const entry of this.#manifests.values()) {
      for (const tag of byDigest.get(entry.digest) ?? [undefined]) manifests.push(toDescriptor(entry, tag))
    }
    const index: Index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }
    writeJsonDurable(path.join(this.folder, 'index.json'), index, { mode: 0o644 })
    this.close()
    fs.rmSync(path.join(this.folder, 'journal.jsonl'), { force: true })
    this.#journalLines = 0
  }

  close(): void {
    if (this.#journal !== undefined) fs.closeSync(this.#journal)
    this.#journal = undefined
  }

  #link(digest: Digest): string {
    return path.join(this.folder, 'blobs', algorithmOf(digest), hexOf(digest))
  }

  #create(algorithm: string): void {
    fs.mkdirSync(path.join(this.folder, 'blobs', algorithm), { recursive: true, mode: 0o755 })
    const layout = path.join(this.folder, 'oci-layout')
    if (fs.existsSync(layout)) return
    writeFileDurable(layout, '{"imageLayoutVersion":"1.0.0"}', { mode: 0o644 })
    writeJsonDurable(
      path.join(this.folder, 'index.json'),
      { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] },
      { mode: 0o644 },
    )
  }

  #load(): void {
    const index = readJson<Index>(path.join(this.folder, 'index.json'))
    for (const descriptor of index?.manifests ?? []) {
      const { [TAG_ANNOTATION]: tag } = descriptor.annotations ?? {}
      this.#apply({ do: 'put', manifest: fromDescriptor(descriptor), ...(tag !== undefined && { tag }) })
    }
    const journal = path.join(this.folder, 'journal.jsonl')
    if (!fs.existsSync(journal)) return
    for (const line of fs.readFileSync(journal, 'utf8').split('\n')) {
      const change = parseChange(line)
      if (!change) continue
      this.#apply(change)
      this.#journalLines++
    }
    this.#journalLines ||= 1
    this.flush()
  }

  #change(change: Change): void {
    if (this.#journal === undefined) {
      this.#create('sha256')
      this.#journal = fs.openSync(path.join(this.folder, 'journal.jsonl'), 'a', 0o644)
      syncFolder(this.folder)
    }
    fs.writeSync(this.#journal, JSON.stringify(change) + '\n')
    fs.fdatasyncSync(this.#journal)
    this.#apply(change)
    if (++this.#journalLines >= COMPACT_AFTER) this.flush()
  }

  #apply(change: Change): void {
    this.#sorted = undefined
    if (change.do === 'put') {
      const { manifest, tag } = change
      this.#manifests.set(manifest.digest, manifest)
      if (tag !== undefined) this.#tags.set(tag, manifest.digest)
      if (manifest.subject) {
        const referrers = this.#referrers.get(manifest.subject) ?? new Set()
        this.#referrers.set(manifest.subject, referrers.add(manifest.digest))
      }
    } else if (change.do === 'untag') {
      this.#tags.delete(change.tag)
    } else {
      const subject = this.#manifests.get(change.digest)?.subject
      if (subject) this.#referrers.get(subject)?.delete(change.digest)
      this.#manifests.delete(change.digest)
      for (const [tag, digest] of this.#tags) if (digest === change.digest) this.#tags.delete(tag)
    }
  }
}

function parseChange(line: string): Change | undefined {
  try {
    return JSON.parse(line) as Change
  } catch {
    return undefined
  }
}

function toDescriptor(
  { mediaType, digest, size, artifactType, subject }: ManifestEntry,
  tag: string | undefined,
): Descriptor {
  const annotations = {
    ...(tag !== undefined && { [TAG_ANNOTATION]: tag }),
    ...(subject && { [SUBJECT_ANNOTATION]: subject }),
  }
  return {
    mediaType,
    digest,
    size,
    ...(artifactType !== undefined && { artifactType }),
    ...(Object.keys(annotations).length > 0 && { annotations }),
  }
}

function fromDescriptor({ mediaType, digest, size, artifactType, annotations }: Descriptor): ManifestEntry {
  const subject = annotations?.[SUBJECT_ANNOTATION] as Digest | undefined
  return {
    mediaType,
    digest,
    size,
    ...(artifactType !== undefined && { artifactType }),
    ...(subject && { subject }),
  }
}

function list(folder: string): string[] {
  try {
    return fs.readdirSync(folder)
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return []
    throw error
  }
}
