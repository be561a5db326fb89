/**
 * Volumes of the `local` driver: a folder each, `<name>/_data`, beside `volume.json`. A volume's holders (containers) are
 * counted in memory; the engine tells them again at each start.
 */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { readJson, syncFolder, writeJsonDurable } from '../durable.ts'
import { conflict, hasCode, messageOf, notFound } from '../errors.ts'
import * as linux from '../linux/index.ts'
import type { Logger } from '../logger.ts'
import { KeyedMutex } from '../mutex.ts'
import { checkLocalOptions, mountLocal, needsMount } from './local-driver.ts'
import { anonymousVolumeName, checkVolumeName } from './names.ts'

/** What `volume.json` holds. */
export interface VolumeRecord {
  name: string
  driver: 'local'
  /** RFC 3339, to the second. */
  createdAt: string
  labels: Record<string, string> | null
  options: Record<string, string> | null
  /** Made for one container without a name being asked for. */
  anonymous: boolean
}

export interface VolumeRequest {
  /** Generated where absent or empty. */
  name?: string
  driver?: string
  labels?: Record<string, string>
  options?: Record<string, string>
  anonymous?: boolean
}

const FILE = 'volume.json'
const DATA = '_data'

export class Volumes {
  readonly #folder: string
  readonly #trash: string
  readonly #logger: Logger
  readonly #records = new Map<string, VolumeRecord>()
  /** By volume: the containers that name it. */
  readonly #holders = new Map<string, Set<string>>()
  /** By volume: the containers that have it mounted now. */
  readonly #mounted = new Map<string, Set<string>>()
  readonly #locks = new KeyedMutex()

  constructor(folder: string, trash: string, logger: Logger) {
    this.#folder = folder
    this.#trash = trash
    this.#logger = logger
    fs.mkdirSync(folder, { recursive: true, mode: 0o701 })
    fs.mkdirSync(trash, { recursive: true, mode: 0o700 })
    for (const name of fs.readdirSync(folder)) this.#load(name)
  }

  #load(name: string): void {
    try {
      const record = readJson<VolumeRecord>(path.join(this.#folder, name, FILE))
      if (record) this.#records.set(name, record)
      // Made by no one: a crash came before its record was written, so nothing can be in it.
      else fs.rmSync(path.join(this.#folder, name), { recursive: true, force: true })
    } catch (error) {
      this.#logger.error('volume cannot be read', { volume: name, error: messageOf(error) })
    }
  }

  /** Make it, or give the one that has this name already. `created` says which. */
  create(request: VolumeRequest): { record: VolumeRecord; created: boolean } {
    const driver = request.driver || 'local'
    if (driver !== 'local') {
      throw notFound(`error looking up volume plugin ${driver}: plugin "${driver}" not found`)
    }
    const name = request.name || anonymousVolumeName()
    const present = this.#records.get(name)
    if (present) return { record: present, created: false }
    checkVolumeName(name)
    const options = request.options && Object.keys(request.options).length > 0 ? request.options : null
    if (options) checkLocalOptions(options)
    const record: VolumeRecord = {
      name,
      driver,
      createdAt: new Date().toISOString().replace(/\.\d+Z$/, 'Z'),
      labels: request.labels ?? null,
      options,
      anonymous: request.anonymous ?? false,
    }
    const folder = path.join(this.#folder, name)
    fs.mkdirSync(path.join(folder, DATA), { recursive: true, mode: 0o755 })
    writeJsonDurable(path.join(folder, FILE), record)
    syncFolder(this.#folder)
    this.#records.set(name, record)
    return { record, created: true }
  }

  list(): VolumeRecord[] {
    return [...this.#records.values()]
  }

  find(name: string): VolumeRecord | undefined {
    return this.#records.get(name)
  }

  /** Raises notFound. */
  get(name: string): VolumeRecord {
    const record = this.#records.get(name)
    if (!record) throw notFound(`get ${name}: no such volume`)
    return record
  }

  /** The folder with the volume's content, on the host. */
  dataPath(name: string): string {
    return path.join(this.#folder, name, DATA)
  }

  hold(name: string, container: string): void {
    setOf(this.#holders, name).add(container)
  }

  letGo(name: string, container: string): void {
    this.#holders.get(name)?.delete(container)
  }

  /** Ids of the containers that name it. */
  holders(name: string): string[] {
    return [...(this.#holders.get(name) ?? [])]
  }

  /** Have the content at {@link dataPath}, mounting what its options say if it is not yet. */
  async mount(name: string, container: string): Promise<string> {
    const record = this.get(name)
    const target = this.dataPath(name)
    await this.#locks.run(name, async () => {
      const users = setOf(this.#mounted, name)
      if (users.size === 0 && needsMount(record.options) && !isMountPoint(target)) {
        await mountLocal(record.options!, target)
      }
      users.add(container)
    })
    return target
  }

  async unmount(name: string, container: string): Promise<void> {
    await this.#locks.run(name, () => {
      const users = this.#mounted.get(name)
      if (!users?.delete(container) || users.size > 0) return
      if (needsMount(this.#records.get(name)?.options ?? null)) this.#detach(name)
    })
  }

  #detach(name: string): void {
    try {
      linux.umount(this.dataPath(name), linux.MNT_DETACH)
    } catch (error) {
      if (!hasCode(error, 'EINVAL', 'ENOENT')) throw error
    }
  }

  /** After a start: unmount what an earlier life mounted and no running container uses. */
  sweepMounts(): void {
    for (const record of this.#records.values()) {
      if (needsMount(record.options) && !this.#mounted.get(record.name)?.size) this.#detach(record.name)
    }
  }

  /** Raises notFound, or conflict while a container names it. */
  async remove(name: string): Promise<void> {
    await this.#locks.run(name, () => {
      this.get(name)
      const holders = this.holders(name)
      if (holders.length > 0) throw conflict(`remove ${name}: volume is in use - [${holders.join(', ')}]`)
      this.#detach(name)
      // The record goes first and durably: a volume without one is swept at the next start.
      const trashed = path.join(this.#trash, `volume-${name}`)
      fs.rmSync(trashed, { recursive: true, force: true })
      fs.renameSync(path.join(this.#folder, name), trashed)
      this.#records.delete(name)
      this.#holders.delete(name)
      fs.rm(trashed, { recursive: true, force: true }, () => {})
    })
  }

  /** Bytes of its files. Walks the disk, asynchronously. */
  async size(name: string): Promise<number> {
    return folderSize(this.dataPath(name))
  }
}

function setOf(map: Map<string, Set<string>>, key: string): Set<string> {
  let set = map.get(key)
  if (!set) map.set(key, (set = new Set()))
  return set
}

/** A mount point is on another device than its parent; a bind mount of the same device shows in the mount table only. */
function isMountPoint(folder: string): boolean {
  return fs
    .readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .some(line => line.split(' ')[4] === folder)
}

async function folderSize(folder: string): Promise<number> {
  let total = 0
  for (const entry of await fs.promises.readdir(folder, { withFileTypes: true })) {
    const file = path.join(folder, entry.name)
    if (entry.isDirectory()) total += await folderSize(file)
    else
      total += await fs.promises.lstat(file).then(
        stats => stats.size,
        () => 0,
      )
  }
  return total
}
