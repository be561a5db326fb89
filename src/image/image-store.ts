/**
 * Which images there are and what they are called. The truth is the layout's `index.json`: one descriptor for each name, with
 * the canonical name in `org.opencontainers.image.ref.name` (so `skopeo copy oci:…/content:docker.io/library/busybox:latest`
 * works), and one without a name for an image that has none. All of it is in memory; a change is written, then visible.
 *
 * An image's id is the digest of its config. Several manifests can lead to one id (the same layers, compressed and not);
 * each name keeps the manifest it came with, so a push sends what was pulled.
 */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { readJson, sweepTemporary, writeJsonDurable } from '../durable.ts'
import { invalid, messageOf, notFound } from '../errors.ts'
import { type Logger, silent } from '../logger.ts'
import type { ContentStore, Lease } from './content-store.ts'
import { chainIds, digestOf, hexOf } from './digest.ts'
import {
  canonical,
  familiar,
  parseImageName,
  parseReference,
  type Reference,
  withDefaultTag,
} from './reference.ts'
import type { Snapshots, UnpackOptions } from './snapshots.ts'
import { checkShape, layerBlobs, StoredImage } from './stored-image.ts'
import { type Descriptor, type Digest, type Image, type Index, type Manifest, mediaTypes } from './types.ts'

const REF_NAME = 'org.opencontainers.image.ref.name'
const CONTAINERD_NAME = 'io.containerd.image.name'
const PARENT = 'gantry.image.parent'
const TAGGED_AT = 'gantry.image.tagged-at'

/** One image and its names. Treat it as read-only: {@link ImageStore} changes it. */
export interface ImageRecord {
  readonly id: Digest
  readonly image: StoredImage
  /** Canonical name to the manifest it stands for; tags and digests. */
  readonly names: Map<string, { reference: Reference; descriptor: Descriptor }>
  /** The image this one was committed or built on, while that is in the store. */
  readonly parent: Digest | undefined
  /** RFC 3339; `undefined` if it never had a name here. */
  readonly lastTaggedAt: string | undefined
}

export interface PutOptions extends UnpackOptions {
  /** Names to give it, tags or digests. A tag moves from the image that had it. */
  references?: readonly Reference[]
  parent?: Digest
  /** Keeps blobs that were taken in before this call. */
  lease?: Lease
  /** One of many: the names may be on the disk a little later, together with others, at the latest with {@link ImageStore.settle}. */
  isOneOfMany?: boolean
}

/** Writing names that come in great number takes at most one part in so many of the time. */
const WRITE_SHARE = 10

export class ImageStore {
  readonly content: ContentStore
  readonly snapshots: Snapshots
  readonly #file: string
  readonly #logger: Logger
  readonly #records = new Map<Digest, ImageRecord>()
  readonly #byName = new Map<string, ImageRecord>()
  /** There are names that are not on the disk yet. */
  #isBehind = false
  #timer: NodeJS.Timeout | undefined
  /** Milliseconds that the last write took. */
  #writeTime = 0

  constructor(content: ContentStore, snapshots: Snapshots, logger: Logger = silent) {
    this.content = content
    this.snapshots = snapshots
    this.#logger = logger
    this.#file = path.join(content.folder, 'index.json')
    sweepTemporary(content.folder)
    sweepTemporary(path.join(content.folder, 'blobs/sha256'))
    if (fs.existsSync(this.#file)) this.#read()
    else this.#write()
  }

  /** Every image, named or not, in the order in which they came. */
  all(): ImageRecord[] {
    return [...this.#records.values()]
  }

  /** By its full id. */
  get(id: Digest): ImageRecord | undefined {
    return this.#records.get(id)
  }

  /** By a reference with tag or digest. */
  named(reference: Reference): ImageRecord | undefined {
    return this.#byName.get(canonical(withDefaultTag(reference)))
  }

  /**
   * What a person means: a name (`busybox`), with tag or digest, an id, or an unambiguous beginning of one. A name wins over an id.
   * @throws GantryError `notFound` "No such image: …", `invalid` for what is no reference.
   */
  resolve(text: string): ImageRecord {
    const name = parseImageName(text)
    if (name.kind === 'digest') {
      const record = this.#records.get(name.digest)
      if (record === undefined) throw notFound(`No such image: ${name.digest}`)
      return record
    }
    const { reference } = name
    const found = this.named(reference) ?? this.#byContent(reference) ?? this.#byPrefix(text)
    if (found === undefined) throw notFound(`No such image: ${familiar(withDefaultTag(reference))}`)
    return found
  }

  /** Docker also takes `name@<image id>`, and a tag and a digest together. */
  #byContent(reference: Reference): ImageRecord | undefined {
    const { digest, domain, path } = reference
    if (digest === undefined) return undefined
    return this.#byName.get(canonical({ domain, path, digest })) ?? this.#records.get(digest)
  }

  #byPrefix(text: string): ImageRecord | undefined {
    const prefix = text.startsWith('sha256:') ? text.slice(7) : text
    if (!/^[0-9a-f]{1,64}$/.test(prefix)) return undefined
    const matches = this.all().filter(record => hexOf(record.id).startsWith(prefix))
    return matches.length === 1 ? matches[0] : undefined
  }

  /** Images that were made on top of `id`. */
  children(id: Digest): ImageRecord[] {
    return this.all().filter(record => record.parent === id)
  }

  /**
   * The sink for every image: blobs that are missing are taken in, the layers unpacked, then it is named. Nothing is
   * visible before all of it is there.
   * @throws GantryError `invalid` for an image whose parts do not fit its digests.
   */
  async put(image: Image, options: PutOptions = {}): Promise<ImageRecord> {
    checkShape(image)
    const lease = this.content.lease()
    try {
      const { config, layers } = image.manifest
      for (const digest of [image.digest, config.digest, ...layers.map(layer => layer.digest)])
        lease.add(digest)
      for (const layer of image.layers) await this.#takeIn(layer, options.signal)
      await this.snapshots.unpack(layerBlobs(image), options)
      if (digestOf(image.configBytes) !== config.digest) {
        throw invalid(`image config verification failed for digest ${config.digest}`)
      }
      this.content.put(image.configBytes)
      this.content.put(image.manifestBytes)
      const { digest, mediaType } = image
      const descriptor = { mediaType, digest, size: image.manifestBytes.length }
      return this.#add(descriptor, options.references ?? [], options.parent, options.isOneOfMany)
    } finally {
      lease.release()
    }
  }

  /**
   * Unpack again, from their blobs, the layers of which a power cut may have taken files. To be called before anything stands on them. An
   * image that cannot be repaired is told of, and stays.
   */
  async repair(): Promise<void> {
    const doubtful = new Set(this.snapshots.doubtful)
    if (doubtful.size === 0) return
    for (const { id, image } of this.all()) {
      try {
        const layers = image.blobs
        const damaged = chainIds(layers.map(layer => layer.diffId)).filter(chain => doubtful.has(chain))
        if (damaged.length === 0) continue
        for (const chain of damaged) {
          doubtful.delete(chain)
          if (this.snapshots.has(chain)) this.snapshots.forget(chain)
        }
        await this.snapshots.unpack(layers)
        this.#logger.info('layers were unpacked again after a power cut', { image: id })
      } catch (error) {
        this.#logger.error('an image cannot be repaired: pull it again', {
          image: id,
          error: messageOf(error),
        })
      }
    }
  }

  async #takeIn(layer: Image['layers'][number], signal?: AbortSignal): Promise<void> {
    if (this.content.has(layer.digest)) return
    const writer = await this.content.ingest({ digest: layer.digest, size: layer.size })
    try {
      for await (const chunk of await layer.open(signal)) await writer.write(chunk as Buffer)
      await writer.commit()
    } catch (error) {
      await writer.abort()
      throw error
    }
  }

  /** Write the names that wait for others ({@link PutOptions.isOneOfMany}). */
  settle(): void {
    if (this.#isBehind) this.#write()
  }

  #add(
    descriptor: Descriptor,
    references: readonly Reference[],
    parent?: Digest,
    isOneOfMany = false,
  ): ImageRecord {
    const image = new StoredImage(this.content, descriptor)
    const known = this.#records.get(image.id)
    const moved = references.map(each => canonical(withDefaultTag(each)))
    const replaced = moved.flatMap(name => this.#byName.get(name)?.names.get(name)?.descriptor.digest ?? [])
    if (known !== undefined && known.image.digest !== image.digest) replaced.push(known.image.digest)
    const record: ImageRecord = {
      id: image.id,
      image,
      names: known?.names ?? new Map(),
      parent: parent ?? known?.parent,
      lastTaggedAt: references.length > 0 ? new Date().toISOString() : known?.lastTaggedAt,
    }
    this.#records.set(image.id, record)
    for (const name of record.names.keys()) this.#byName.set(name, record)
    for (const reference of references) this.#name(record, withDefaultTag(reference), descriptor)
    const orphans = this.#orphans(replaced)
    if (isOneOfMany && orphans.length === 0) this.#writeSoon()
    else this.#write()
    this.#giveBack(orphans)
    return record
  }

  #name(record: ImageRecord, reference: Reference, descriptor: Descriptor): void {
    const name = canonical(reference)
    this.#byName.get(name)?.names.delete(name)
    record.names.set(name, { reference, descriptor })
    this.#byName.set(name, record)
  }

  /**
   * Give an image another name; the tag moves from whatever had it.
   * @throws GantryError as {@link resolve}; `invalid` for a name that is none.
   */
  tag(source: string, target: Reference | string): Reference {
    const reference = withDefaultTag(typeof target === 'string' ? parseReference(target) : target)
    if (reference.digest !== undefined) throw invalid('refusing to create a tag with a digest reference')
    if (familiar(reference).startsWith('sha256:'))
      throw invalid('refusing to create an ambiguous tag using digest algorithm as name')
    const record = this.resolve(source)
    this.#add(record.image.descriptor, [reference])
    return reference
  }

  /** Take names away, in one write. The images stay, unnamed if these were their last. */
  untag(references: readonly Reference[]): void {
    const manifests: Digest[] = []
    for (const reference of references) {
      const name = canonical(reference)
      const names = this.#byName.get(name)?.names
      manifests.push(...(names?.has(name) ? [names.get(name)!.descriptor.digest] : []))
      names?.delete(name)
      this.#byName.delete(name)
    }
    const orphans = this.#orphans(manifests)
    this.#write()
    this.#giveBack(orphans)
  }

  /**
   * Forget images, with all their names, and give their space back: blobs that no other image has, chains that neither another image nor a
   * container needs. Rules on who may ask for it are in {@link file://./removal.ts}.
   * @returns the chains that went, topmost first, and bytes.
   */
  forget(ids: readonly Digest[]): { chains: Digest[]; bytes: number } {
    const gone = ids.map(id => this.#records.get(id)).filter(record => record !== undefined)
    const manifests = gone.flatMap(({ image, names }) => [
      image.digest,
      ...[...names.values()].map(({ descriptor }) => descriptor.digest),
    ])
    for (const record of gone) {
      for (const name of record.names.keys()) this.#byName.delete(name)
      this.#records.delete(record.id)
    }
    const orphans = this.#orphans(manifests)
    this.#write()
    const bytes = this.#giveBack(orphans)
    const chains = this.snapshots.collect(this.#chains())
    return { chains: chains.removed, bytes: bytes + chains.bytes }
  }

  /**
   * Of these manifests and what they refer to, the blobs that no image needs any more. They count as old from now on: should the daemon
   * be killed before it has removed them, the next one does.
   */
  #orphans(manifests: readonly Digest[]): Digest[] {
    const candidates = new Set(manifests)
    for (const { image, names } of this.#records.values()) {
      if (candidates.size === 0) return []
      candidates.delete(image.digest)
      for (const { descriptor } of names.values()) candidates.delete(descriptor.digest)
    }
    if (candidates.size === 0) return []
    const needed = this.#needed()
    const blobs = new Set([...candidates].flatMap(digest => this.#contents(digest)))
    const orphans = [...blobs].filter(digest => !needed.has(digest))
    for (const digest of orphans) this.content.makeOld(digest)
    return orphans
  }

  #contents(manifest: Digest): Digest[] {
    if (!this.content.has(manifest)) return []
    const { config, layers } = this.content.readJson<Manifest>(manifest)
    return [manifest, config.digest, ...layers.map(layer => layer.digest)]
  }

  #giveBack(orphans: readonly Digest[]): number {
    return orphans.reduce((bytes, digest) => bytes + this.content.delete(digest), 0)
  }

  /** Remove what no image needs: leftovers of interrupted pulls and builds. `grace` as in {@link ContentStore.collect}. */
  collectGarbage(grace?: number): { bytes: number } {
    const blobs = this.content.collect(this.#needed(), grace)
    const chains = this.snapshots.collect(this.#chains())
    return { bytes: blobs.bytes + chains.bytes }
  }

  #needed(): Set<Digest> {
    const needed = new Set<Digest>()
    for (const { image, names } of this.#records.values()) {
      for (const digest of image.contents) needed.add(digest)
      for (const { descriptor } of names.values()) {
        if (descriptor.digest === image.digest) continue
        for (const digest of this.#contents(descriptor.digest)) needed.add(digest)
      }
    }
    return needed
  }

  *#chains(): Generator<Digest> {
    for (const { image } of this.#records.values()) yield* image.chains
  }

  #read(): void {
    const index = readJson<Index>(this.#file)
    for (const { annotations = {}, ...descriptor } of index?.manifests ?? []) {
      try {
        const image = new StoredImage(this.content, descriptor)
        const record = this.#records.get(image.id) ?? {
          id: image.id,
          image,
          names: new Map(),
          parent: annotations[PARENT] as Digest | undefined,
          lastTaggedAt: annotations[TAGGED_AT],
        }
        this.#records.set(image.id, record)
        const name = annotations[CONTAINERD_NAME] ?? annotations[REF_NAME]
        if (name !== undefined) this.#name(record, parseReference(name), descriptor)
      } catch (error) {
        this.#logger.error('image left out', { manifest: descriptor.digest, error: messageOf(error) })
      }
    }
  }

  #writeSoon(): void {
    this.#isBehind = true
    this.#timer ??= setTimeout(() => {
      try {
        this.settle()
      } catch (error) {
        this.#logger.error('the names of images cannot be written', { error: messageOf(error) })
      }
    }, WRITE_SHARE * this.#writeTime)
  }

  #write(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const start = performance.now()
    const manifests: Descriptor[] = []
    for (const { image, names, parent, lastTaggedAt } of this.#records.values()) {
      const own: Record<string, string> = {
        ...(parent === undefined ? {} : { [PARENT]: parent }),
        ...(lastTaggedAt === undefined ? {} : { [TAGGED_AT]: lastTaggedAt }),
      }
      for (const [name, { descriptor }] of names) {
        manifests.push({ ...descriptor, annotations: { [REF_NAME]: name, ...own } })
      }
      if (names.size === 0) manifests.push({ ...image.descriptor, annotations: own })
    }
    const index: Index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }
    writeJsonDurable(this.#file, index, { mode: 0o644 })
    this.#isBehind = false
    this.#writeTime = performance.now() - start
  }
}
