/** The clients' folders as they were at their last build: what has not changed is not sent again. */
import { createHash, randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import * as path from 'node:path'
import type { KeptFolders, LocalFolder, LocalRequest } from '../build/index.ts'
import * as linux from '../linux/index.ts'
import type { Session } from './session.ts'
import { receiveFiles } from './session-receive.ts'

/** Folders that are kept. */
const MAX_KEPT = 32

export class LocalFolders implements KeptFolders {
  readonly #root: string
  readonly #busy = new Set<string>()

  constructor(root: string) {
    this.#root = root
    fs.mkdirSync(root, { recursive: true, mode: 0o700 })
    linux.spreadFolders(root)
    for (const name of fs.readdirSync(root)) {
      if (name.startsWith('once-')) fs.rmSync(path.join(root, name), { recursive: true, force: true })
    }
  }

  /** The folder `name` of the client, as it is now. */
  async take(session: Session, request: LocalRequest): Promise<LocalFolder> {
    const { name, exclude, paths, only, signal, onProgress } = request
    const key = createHash('sha256').update(`${session.sharedKey}\0${name}`).digest('hex').slice(0, 32)
    const kept = session.sharedKey !== '' && !only && !this.#busy.has(key)
    const id = kept ? key : `once-${randomBytes(8).toString('hex')}`
    const place = path.join(this.#root, id)
    const folder = path.join(place, 'files')
    const index = path.join(place, 'index.json')
    if (kept) {
      this.#busy.add(key)
    }
    fs.mkdirSync(folder, { recursive: true, mode: 0o755 })
    try {
      const { contents, settled } = await receiveFiles({
        session,
        name,
        folder,
        ...(kept && { index }),
        exclude,
        ...(only && { include: only }),
        ...(paths && { follow: followed(paths) }),
        signal,
        onProgress,
      })
      const release = async (): Promise<void> => {
        if (!kept) return removeLater(place)
        fs.utimesSync(place, new Date(), new Date())
        await settled
        this.#busy.delete(key)
        this.#trim()
      }
      return { path: folder, contents, release: () => void release() }
    } catch (error) {
      // Without its index, what came is of no use to the next build.
      this.#discard(id)
      if (kept) this.#busy.delete(key)
      throw error
    }
  }

  list(): ReturnType<KeptFolders['list']> {
    const names = fs.readdirSync(this.#root).filter(name => !name.startsWith('once-'))
    return names.map(id => {
      const folder = path.join(this.#root, id)
      return { id, folder, inUse: this.#busy.has(id), lastUsedAt: Math.floor(fs.statSync(folder).mtimeMs) }
    })
  }

  remove(id: string): boolean {
    if (!this.list().some(kept => kept.id === id && !kept.inUse)) return false
    this.#discard(id)
    return true
  }

  #trim(): void {
    const unused = this.list().filter(({ inUse }) => !inUse)
    const byAge = unused.sort((a, b) => a.lastUsedAt - b.lastUsedAt)
    for (const { id } of byAge.slice(0, Math.max(0, unused.length - MAX_KEPT))) this.#discard(id)
  }

  /** Its name is free at once. */
  #discard(name: string): void {
    const away = path.join(this.#root, `once-${randomBytes(8).toString('hex')}`)
    fs.renameSync(path.join(this.#root, name), away)
    removeLater(away)
  }
}

/** Many files take a while. What a crash leaves of them is swept at the next start. */
function removeLater(folder: string): void {
  fs.promises.rm(folder, { recursive: true, force: true }).catch(() => {})
}

/** Everything where the root itself is asked for. */
function followed(paths: string[]): string[] {
  const relative = paths.map(file => file.replace(/^\/+/, '').replace(/\/+$/, ''))
  return relative.includes('') ? [] : relative
}
