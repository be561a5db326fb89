/** The folders behind cache mounts: kept between builds, shared between steps as each step asks. */
import { createHash, randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import * as path from 'node:path'
import { readJson, writeJsonDurable } from '../../durable.ts'
import { KeyedMutex } from '../../mutex.ts'
import type { ExecMount } from '../plan/ops.ts'

export type CacheMount = Extract<ExecMount, { type: 'cache' }>

export interface CacheFolder {
  path: string
  /** Newly made: the caller fills it from the mount's source. */
  isNew: boolean
  release(): void
}

/** What is kept beside each folder. */
interface CacheInfo {
  id: string
  createdAt: number
  lastUsedAt: number
  usageCount: number
}

export interface CacheUsage extends CacheInfo {
  name: string
  inUse: boolean
  folder: string
}

export class CacheMounts {
  readonly #folder: string
  readonly #locks = new KeyedMutex()
  readonly #users = new Map<string, number>()

  constructor(root: string) {
    this.#folder = path.join(root, 'cache-mounts')
    fs.mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
  }

  /** `base`: the key of what the mount starts from, which is part of its identity. */
  async take(mount: CacheMount, base: string, signal: AbortSignal): Promise<CacheFolder> {
    const stem = createHash('sha256')
      .update(`${mount.id}\0${base}\0${mount.source}`)
      .digest('hex')
      .slice(0, 32)
    if (mount.sharing !== 'locked') return this.#open(mount, this.#freeName(stem, mount.sharing))
    return new Promise((resolve, reject) => {
      this.#locks
        .run(stem, async () => {
          signal.throwIfAborted()
          await new Promise<void>(unlock => {
            const folder = this.#open(mount, stem)
            resolve({
              ...folder,
              release() {
                folder.release()
                unlock()
              },
            })
          })
        })
        .catch(reject)
    })
  }

  /** Private: the first folder that nobody uses. */
  #freeName(stem: string, sharing: CacheMount['sharing']): string {
    if (sharing !== 'private') return stem
    for (let number = 0; ; number++) {
      const name = number === 0 ? stem : `${stem}-${number}`
      if (!this.#users.has(name)) return name
    }
  }

  #open(mount: CacheMount, name: string): CacheFolder {
    const folder = path.join(this.#folder, name)
    const data = path.join(folder, 'data')
    const isNew = !fs.existsSync(data)
    if (isNew) {
      const draft = path.join(folder, `new-${randomBytes(4).toString('hex')}`)
      fs.mkdirSync(draft, { recursive: true })
      fs.chmodSync(draft, mount.mode)
      fs.chownSync(draft, mount.uid, mount.gid)
      fs.renameSync(draft, data)
    }
    this.#note(folder, mount)
    this.#users.set(name, (this.#users.get(name) ?? 0) + 1)
    let released = false
    return {
      path: data,
      isNew,
      release: () => {
        if (released) return
        released = true
        const left = this.#users.get(name)! - 1
        if (left === 0) this.#users.delete(name)
        else this.#users.set(name, left)
      },
    }
  }

  #note(folder: string, mount: CacheMount): void {
    const file = path.join(folder, 'info.json')
    const now = Date.now()
    const before = readJson<CacheInfo>(file)
    writeJsonDurable(
      file,
      {
        id: mount.id,
        createdAt: before?.createdAt ?? now,
        lastUsedAt: now,
        usageCount: (before?.usageCount ?? 0) + 1,
      } satisfies CacheInfo,
      { sync: false },
    )
  }

  list(): CacheUsage[] {
    return fs.readdirSync(this.#folder).flatMap(name => {
      const folder = path.join(this.#folder, name)
      const info = readJson<CacheInfo>(path.join(folder, 'info.json'))
      return info ? [{ ...info, name, inUse: this.#users.has(name), folder: path.join(folder, 'data') }] : []
    })
  }

  /** `false` where it is in use. */
  remove(name: string): boolean {
    if (this.#users.has(name)) return false
    fs.rmSync(path.join(this.#folder, name), { recursive: true, force: true })
    return true
  }
}
