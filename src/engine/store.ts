/**
 * All containers, in memory and on disk. A container exists from the moment its `container.json` does until its folder
 * is renamed into the trash; memory is read, disk is only written.
 */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { sweepTemporary } from '../durable.ts'
import { conflict, hasCode, invalid, messageOf, notFound } from '../errors.ts'
import type { Logger } from '../logger.ts'
import { Container } from './container.ts'
import { appendState, readRecord, writeRecord } from './record-file.ts'
import type { ContainerRecord } from './types.ts'

const RETRY_MILLISECONDS = 1000

export class ContainerStore {
  readonly #folder: string
  readonly #trash: string
  readonly #byId = new Map<string, Container>()
  readonly #byName = new Map<string, Container>()
  /** Names of containers that are being created. */
  readonly #reserved = new Map<string, string>()
  readonly #logger: Logger
  /** Ids of those whose file is older than their record. */
  readonly #unwritten = new Set<string>()
  #retry: NodeJS.Timeout | undefined

  /** `folder` holds a folder for each container; `trash` is on the same file system. */
  constructor(folder: string, trash: string, logger: Logger) {
    this.#folder = folder
    this.#trash = trash
    this.#logger = logger
    fs.mkdirSync(folder, { recursive: true, mode: 0o710 })
    fs.mkdirSync(trash, { recursive: true, mode: 0o700 })
  }

  /** Read what is there; remove what was half made. Ids of what is known to nobody are returned, for others to clean up after. */
  load(): { orphans: string[] } {
    const orphans: string[] = []
    for (const id of fs.readdirSync(this.#folder)) {
      const folder = path.join(this.#folder, id)
      sweepTemporary(folder)
      const record = this.#read(id)
      if (record) this.#remember(new Container(record))
      else {
        orphans.push(id)
        this.#discard(folder, id)
      }
    }
    this.emptyTrash()
    return { orphans }
  }

  #read(id: string): ContainerRecord | undefined {
    try {
      const record = readRecord(this.folderOf(id))
      return record?.state.status === 'removing' ? undefined : record
    } catch (error) {
      this.#logger.error('container record cannot be read', { container: id, error: messageOf(error) })
      return undefined
    }
  }

  #remember(container: Container): void {
    this.#byId.set(container.id, container)
    this.#byName.set(container.name, container)
  }

  folderOf(id: string): string {
    return path.join(this.#folder, id)
  }

  all(): Container[] {
    return [...this.#byId.values()]
  }

  get size(): number {
    return this.#byId.size
  }

  has(id: string): boolean {
    return this.#byId.has(id)
  }

  byId(id: string): Container | undefined {
    return this.#byId.get(id)
  }

  byName(name: string): Container | undefined {
    return this.#byName.get(name)
  }

  /** By whole id, then name, then prefix. Raises notFound, or invalid for an ambiguous prefix. */
  get(ref: string): Container {
    const found = this.find(ref)
    if (!found) throw notFound(`No such container: ${ref}`)
    return found
  }

  find(ref: string): Container | undefined {
    const exact = this.#byId.get(ref) ?? this.#byName.get(ref.replace(/^\//, ''))
    if (exact || !/^[0-9a-f]+$/.test(ref)) return exact
    let found: Container | undefined
    for (const [id, container] of this.#byId) {
      if (!id.startsWith(ref)) continue
      if (found) throw invalid(`multiple IDs found with provided prefix: ${ref}`)
      found = container
    }
    return found
  }

  isNameTaken(name: string): boolean {
    return this.#byName.has(name) || this.#reserved.has(name)
  }

  /** Keep `name` for container `id` that is about to exist. Raises conflict where it is taken. */
  reserveName(name: string, id: string): void {
    const holder = this.#byName.get(name)?.id ?? this.#reserved.get(name)
    if (holder !== undefined) {
      throw conflict(
        `Conflict. The container name "/${name}" is already in use by container "${holder}". You have to remove (or rename) that container to be able to reuse that name.`,
      )
    }
    this.#reserved.set(name, id)
  }

  releaseName(name: string): void {
    this.#reserved.delete(name)
  }

  /** The moment from which the container exists. Its name was reserved. */
  add(record: ContainerRecord): Container {
    // A power cut ends every container that is removed when it exits: that one need not wait for the disk.
    this.write(record, !record.host.autoRemove)
    const container = new Container(record)
    this.#remember(container)
    this.#reserved.delete(record.name)
    return container
  }

  /** `sync: false` where the exec-root tells the same after a crash. */
  write(record: ContainerRecord, sync: boolean): void {
    writeRecord(this.folderOf(record.id), record, sync)
  }

  /**
   * Write the state that a container has come to: a disk that is full cannot undo it, so memory is right and the file follows when
   * it can.
   */
  writeState(record: ContainerRecord, sync: boolean): void {
    try {
      const append = !sync && !this.#unwritten.has(record.id)
      if (!append || !appendState(this.folderOf(record.id), record.state)) this.write(record, sync)
      this.#unwritten.delete(record.id)
    } catch (error) {
      this.#logger.error('container record cannot be written yet', {
        container: record.id,
        error: messageOf(error),
      })
      this.#unwritten.add(record.id)
      this.#retry ??= setInterval(() => this.#writeUnwritten(), RETRY_MILLISECONDS).unref()
    }
  }

  #writeUnwritten(): void {
    for (const id of this.#unwritten) {
      const container = this.#byId.get(id)
      try {
        if (container) this.write(container.record, true)
        this.#unwritten.delete(id)
      } catch {
        // Still no room.
      }
    }
    if (this.#unwritten.size > 0) return
    clearInterval(this.#retry)
    this.#retry = undefined
  }

  rename(container: Container, name: string): void {
    const old = container.record.name
    container.record.name = name
    try {
      this.write(container.record, true)
    } catch (error) {
      container.record.name = old
      throw error
    }
    this.#byName.delete(old)
    this.#byName.set(name, container)
    this.#reserved.delete(name)
  }

  /** Forget it, and move its folder to the trash in one rename. */
  remove(container: Container): void {
    this.#discard(this.folderOf(container.id), container.id)
    this.#byId.delete(container.id)
    if (this.#byName.get(container.name) === container) this.#byName.delete(container.name)
  }

  /** Throw away the folder of a container that never came to be. */
  discard(id: string): void {
    this.#discard(this.folderOf(id), id)
  }

  #discard(folder: string, id: string): void {
    const trashed = path.join(this.#trash, id)
    try {
      fs.renameSync(folder, trashed)
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return
      throw error
    }
    this.#delete(trashed)
  }

  /** Delete what an earlier life threw away. */
  emptyTrash(): void {
    for (const name of fs.readdirSync(this.#trash)) this.#delete(path.join(this.#trash, name))
  }

  #delete(folder: string): void {
    // After the answer that it is gone has been sent, and at once then: whoever removes wants the space.
    setImmediate(() => {
      fs.rm(folder, { recursive: true, force: true, maxRetries: 3 }, error => {
        if (error) this.#logger.warn('trash cannot be emptied yet', { folder, error: error.message })
      })
    })
  }
}
