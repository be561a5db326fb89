/**
 * The members of an image archive, taken into the content store as they stream by. Which of them are layers is only said at the
 * end of the archive; so everything large is a blob from the start, and unpacking what looks like a layer begins at once.
 */
import type { Readable } from 'node:stream'
import { invalid, tooLarge } from '../../errors.ts'
import type { ContentStore, ContentWriter, Lease } from '../content-store.ts'
import { digestOf, isDigest } from '../digest.ts'
import { detectCompression } from '../layer/compression.ts'
import type { ReadAhead, Snapshots } from '../snapshots.ts'
import { type TarEntry, toText } from '../tar/entry.ts'
import { TarParser } from '../tar/parser.ts'
import { cleanPath, escapes, joinPath, parentPath } from '../tar/path.ts'
import type { Digest } from '../types.ts'
import { openArchive } from './decompress.ts'

/** One file of the archive. `bytes` for small ones, which are not blobs yet. */
export interface Member {
  digest: Digest
  size: number
  bytes?: Buffer
}

/** Members up to this size are documents and stay in memory; larger ones become blobs. Bytes. */
const SMALL = 1 << 20
/** All documents of one archive together. Bytes. */
const MAX_SMALL_TOTAL = 256 << 20

export class Members {
  readonly #content: ContentStore
  readonly #lease: Lease
  readonly #members = new Map<string, Member>()
  readonly #links = new Map<string, string>()
  readonly #ahead: ReadAhead[] = []
  readonly #blobs = new Set<Digest>()
  #smallTotal = 0

  constructor(content: ContentStore, lease: Lease) {
    this.#content = content
    this.#lease = lease
  }

  /** By its path in the archive; links (older archives share layers by them) are followed. */
  get(path: string): Member | undefined {
    let name = cleanPath(path)
    for (let hops = 0; hops < 8; hops++) {
      const member = this.#members.get(name)
      if (member !== undefined) return member
      const target = this.#links.get(name)
      if (target === undefined) return undefined
      name = target
    }
    return undefined
  }

  /** A document. @returns `undefined` where there is none. */
  text(path: string): string | undefined {
    return this.get(path)?.bytes?.toString('utf8')
  }

  paths(): Iterable<string> {
    return this.#members.keys()
  }

  /** The layer as a blob of the store, which a small one is not yet. */
  keep(member: Member): void {
    if (member.bytes === undefined) return
    if (!this.#content.has(member.digest)) this.#blobs.add(member.digest)
    this.#content.put(member.bytes, this.#lease)
  }

  /** Remove the blobs that `used` has not, and stop unpacking them. */
  dropUnused(isUsed: (digest: Digest) => boolean): void {
    for (const ahead of this.#ahead) ahead.drop()
    this.#lease.release()
    for (const digest of this.#blobs) if (!isUsed(digest)) this.#content.delete(digest)
  }

  /**
   * Read the whole archive.
   * @throws GantryError `invalid` for what is no tar archive, is cut off, or holds a blob that is not what its name says.
   */
  async read(archive: Readable, snapshots: Snapshots, signal?: AbortSignal): Promise<void> {
    const steps: Step[] = []
    const parser = new TarParser({
      entry: entry => steps.push(entry),
      data: bytes => steps.push(bytes),
      end: () => steps.push(END),
    })
    let current: OpenMember | undefined
    try {
      for await (const chunk of openArchive(archive)) {
        signal?.throwIfAborted()
        parser.push(chunk)
        for (const step of steps.splice(0)) {
          if (step === END) {
            if (current !== undefined) await this.#close(current)
            current = undefined
          } else if (!(step instanceof Uint8Array)) current = await this.#open(step, snapshots)
          else if (current !== undefined) {
            const full = current.write(step)
            if (full !== undefined) await full
          }
        }
      }
      parser.end()
    } catch (error) {
      await current?.abort()
      throw error
    }
  }

  async #open(entry: TarEntry, snapshots: Snapshots): Promise<OpenMember | undefined> {
    const path = cleanPath(toText(entry.name))
    if (escapes(entry.name)) throw invalid(`invalid entry name "${toText(entry.name)}"`)
    if (entry.type === 'symlink' || entry.type === 'link') {
      const target = toText(entry.linkName)
      const isRelative = entry.type === 'symlink' && !target.startsWith('/')
      this.#links.set(path, cleanPath(isRelative ? joinPath(parentPath(path), target) : target))
      return undefined
    }
    if (entry.type !== 'file') return undefined
    if (entry.size <= SMALL) {
      if ((this.#smallTotal += entry.size) > MAX_SMALL_TOTAL) throw tooLarge('archive holds too many files')
      return new OpenMember(path, entry.size)
    }
    const digest = blobDigest(path)
    if (digest !== undefined && this.#content.has(digest)) {
      this.#lease.add(digest)
      return new OpenMember(path, entry.size, { digest })
    }
    const writer = await this.#content.ingest({
      size: entry.size,
      lease: this.#lease,
      ...(digest === undefined ? {} : { digest }),
    })
    const readAhead = (): void => {
      if (digest !== undefined) this.#ahead.push(snapshots.readAhead(digest, writer.growing))
    }
    return new OpenMember(path, entry.size, { writer, readAhead })
  }

  async #close(open: OpenMember): Promise<void> {
    const member = await open.finish()
    if (open.isNewBlob) this.#blobs.add(member.digest)
    const stated = blobDigest(open.path)
    if (stated !== undefined && stated !== member.digest) {
      throw invalid(`filesystem layer verification failed for digest ${stated}`)
    }
    this.#members.set(open.path, member)
  }
}

const END = Symbol('end of a member')
type Step = TarEntry | Buffer | typeof END

interface Target {
  /** The store has this blob already: skip the bytes. */
  digest?: Digest
  writer?: ContentWriter
  /** Called once, when the first bytes look like a layer. */
  readAhead?: () => void
}

class OpenMember {
  readonly path: string
  readonly #size: number
  readonly #target: Target
  readonly #small: Buffer[] = []
  #isFirst = true

  constructor(path: string, size: number, target: Target = {}) {
    this.path = path
    this.#size = size
    this.#target = target
  }

  /** Whether its bytes go into the store now. */
  get isNewBlob(): boolean {
    return this.#target.writer !== undefined
  }

  write(bytes: Buffer): Promise<void> | undefined {
    const { digest, writer, readAhead } = this.#target
    if (digest !== undefined) return undefined
    if (writer === undefined) {
      this.#small.push(Buffer.from(bytes))
      return undefined
    }
    if (this.#isFirst && looksLikeLayer(bytes)) readAhead?.()
    this.#isFirst = false
    return writer.write(bytes)
  }

  async finish(): Promise<Member> {
    const { digest, writer } = this.#target
    if (digest !== undefined) return { digest, size: this.#size }
    if (writer !== undefined) return writer.commit()
    const bytes = Buffer.concat(this.#small)
    return { digest: digestOf(bytes), size: bytes.length, bytes }
  }

  async abort(): Promise<void> {
    await this.#target.writer?.abort()
  }
}

/** `blobs/sha256/<hex>`: the name says what the content must be. */
function blobDigest(path: string): Digest | undefined {
  const match = /^\/blobs\/([a-z0-9]+)\/([0-9a-f]+)$/.exec(path)
  const digest = `${match?.[1]}:${match?.[2]}`
  return isDigest(digest) ? digest : undefined
}

function looksLikeLayer(head: Buffer): boolean {
  return detectCompression(head) !== 'none' || head.toString('latin1', 257, 262) === 'ustar'
}
