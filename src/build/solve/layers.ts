/**
 * The layers that steps made, on disk:
 *
 *     <build>/layers/<id>/fs       what the step changed, as overlayfs keeps it
 *     <build>/layers/<id>/work     overlayfs's own; gone when the layer is complete
 *     <build>/bases/<hex>          holds an image's chain for as long as a step stands on it or shares its files
 *
 * A layer that no cache record names is half-made: it is swept at start.
 */
import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { hasCode } from '../../errors.ts'
import { hexOf } from '../../image/digest.ts'
import type { Snapshots, WritableSnapshot } from '../../image/snapshots.ts'
import type { Digest } from '../../image/types.ts'
import { hasLinkedFiles } from './linker.ts'
import type { ImageBase, Root } from './root.ts'

/** A layer being made on a root: mounted, changed, and then kept or dropped. */
export interface DraftLayer {
  id: string
  /** The merged tree, as a detached mount. */
  mountFd: number
  snapshot: WritableSnapshot
}

/** A layer that is known and not there yet. */
interface Deferred {
  make: () => Promise<void>
  made?: Promise<void>
}

export class Layers {
  readonly folder: string
  readonly #bases: string
  readonly #empty: string
  readonly #snapshots: Snapshots
  readonly #held = new Map<string, Promise<WritableSnapshot>>()
  readonly #deferred = new Map<string, Deferred>()

  constructor(root: string, snapshots: Snapshots) {
    this.folder = path.join(root, 'layers')
    this.#bases = path.join(root, 'bases')
    this.#empty = path.join(root, 'empty')
    this.#snapshots = snapshots
    for (const folder of [this.folder, this.#bases, this.#empty]) {
      fs.mkdirSync(folder, { recursive: true, mode: 0o700 })
    }
    fs.chmodSync(this.#empty, 0o755)
    for (const name of fs.readdirSync(this.#bases)) this.#holdChain(`sha256:${name}`).catch(() => {})
  }

  /** Where a complete layer's files are. */
  path(id: string): string {
    return path.join(this.folder, id, 'fs')
  }

  has(id: string): boolean {
    return fs.existsSync(this.path(id))
  }

  list(): string[] {
    return fs.readdirSync(this.folder)
  }

  /** A new name for a layer whose files `make` will bring when somebody needs them. {@link forget} ends the promise. */
  defer(make: (id: string) => Promise<void>): string {
    const id = newId()
    this.#deferred.set(id, { make: () => make(id) })
    return id
  }

  isDeferred(id: string): boolean {
    return this.#deferred.has(id) && !this.has(id)
  }

  forget(id: string): void {
    this.#deferred.delete(id)
  }

  /** Make those of the layers that are not there yet. */
  async ensure(ids: readonly string[]): Promise<void> {
    await Promise.all(
      ids.map(id => {
        const deferred = this.#deferred.get(id)
        if (deferred) deferred.made ??= deferred.make()
        return deferred?.made
      }),
    )
  }

  /** Folders of the root, topmost first; at least one. What is not there yet is made, the image is unpacked. */
  async lowerdirs(root: Root): Promise<string[]> {
    await this.ensure(root.layers)
    const own = root.layers.map(id => this.path(id)).reverse()
    const below = root.base?.chain ? (await this.#hold(root.base)).lowerdirs : []
    const all = [...own, ...below]
    return all.length > 0 ? all : [this.#empty]
  }

  /** See {@link file://./linker.ts}. */
  async hasLinkedFiles(root: Root): Promise<boolean> {
    return (await this.lowerdirs(root)).some(hasLinkedFiles)
  }

  /** An image's chain stays for as long as its folder under `bases/` is there. */
  #hold(base: ImageBase): Promise<WritableSnapshot> {
    return this.#holdChain(base.chain!, () => this.#snapshots.unpack(base.blobs))
  }

  #holdChain(chain: Digest, prepare?: () => Promise<unknown>): Promise<WritableSnapshot> {
    const name = hexOf(chain)
    const known = this.#held.get(name)
    if (known) return known
    const held = (async () => {
      if (prepare) await prepare()
      return this.#snapshots.prepare(path.join(this.#bases, name), chain)
    })()
    this.#held.set(name, held)
    held.catch(() => this.#held.delete(name))
    return held
  }

  /** Begin a layer over `root`. End it with {@link keep} or {@link drop}. */
  async draft(root: Root, id?: string): Promise<DraftLayer> {
    return this.draftOver(await this.lowerdirs(root), id)
  }

  /** As {@link draft}, over folders. */
  draftOver(lowerdirs: string[], id = newId()): DraftLayer {
    const folder = path.join(this.folder, id)
    const upperdir = path.join(folder, 'fs')
    const workdir = path.join(folder, 'work')
    fs.mkdirSync(folder, { mode: 0o700 })
    fs.mkdirSync(workdir)
    fs.mkdirSync(upperdir)
    // The merged root shows the upper folder's own mode: as in every container.
    fs.chmodSync(upperdir, 0o755)
    const snapshot: WritableSnapshot = { folder, parent: undefined, lowerdirs, upperdir, workdir }
    try {
      return { id, snapshot, mountFd: this.#snapshots.mount(snapshot, { volatile: true }) }
    } catch (error) {
      fs.rmSync(folder, { recursive: true, force: true })
      throw error
    }
  }

  /** The layer is complete. Its mount must not be used any more. */
  keep(draft: DraftLayer): void {
    fs.closeSync(draft.mountFd)
    fs.rmSync(draft.snapshot.workdir, { recursive: true, force: true })
  }

  drop(draft: DraftLayer): void {
    fs.closeSync(draft.mountFd)
    this.remove(draft.id)
  }

  /** A layer whose files `fill` puts into its folder. */
  async fill(id: string, fill: (folder: string) => Promise<void>): Promise<void> {
    const folder = path.join(this.folder, id)
    const filling = path.join(folder, 'filling')
    fs.mkdirSync(filling, { recursive: true, mode: 0o755 })
    fs.chmodSync(filling, 0o755)
    try {
      await fill(filling)
      fs.renameSync(filling, this.path(id))
    } catch (error) {
      this.remove(id)
      throw error
    }
  }

  remove(id: string): void {
    fs.rmSync(path.join(this.folder, id), { recursive: true, force: true })
  }

  /** The root as a read-only detached mount; the caller closes it. */
  async mount(root: Root): Promise<number> {
    const [upperdir = this.#empty, ...lowerdirs] = await this.lowerdirs(root)
    const snapshot = { folder: this.#empty, parent: undefined, lowerdirs, upperdir, workdir: '' }
    return this.#snapshots.mount(snapshot, { readOnly: true })
  }

  /**
   * Give the files of a layer to the image that was made of it: they are moved among the images' layers, a link to them stays here.
   * So an image that was just built need not be unpacked, and its files are there once; they stay when the image goes.
   */
  share(
    id: string,
    layer: { chain: Digest; parent: Digest | undefined; diffId: Digest; size: number },
  ): void {
    const files = this.path(id)
    if (fs.lstatSync(files).isSymbolicLink()) return
    const place = this.#snapshots.adopt(files, layer)
    if (place === undefined) return
    fs.symlinkSync(place, files)
    this.#holdChain(layer.chain).catch(() => {})
  }

  /** The chain whose files a layer shares, in hex. */
  #sharedChain(id: string): string[] {
    try {
      return [path.basename(path.dirname(fs.readlinkSync(this.path(id))))]
    } catch (error) {
      if (hasCode(error, 'EINVAL', 'ENOENT')) return []
      throw error
    }
  }

  /** Let go of images that no record needs. Not while something is built: a step that is not done has no record yet. */
  async releaseBases(needed: ReadonlySet<string>): Promise<void> {
    const shared = new Set(this.list().flatMap(id => this.#sharedChain(id)))
    for (const name of fs.readdirSync(this.#bases)) {
      if (needed.has(name) || shared.has(name)) continue
      this.#held.delete(name)
      const folder = path.join(this.#bases, name)
      await this.#snapshots.release(folder).catch(error => {
        if (!hasCode(error, 'ENOENT')) throw error
      })
      fs.rmSync(folder, { recursive: true, force: true })
    }
  }
}

const newId = (): string => randomBytes(16).toString('hex')
