/** The clients' folders as they were at their last build: what has not changed is not sent again. */
import { createHash, randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import * as path from 'node:path'
import type { LocalFolder, LocalRequest } from '../build/index.ts'
import type { Session } from './session.ts'
import { receiveFiles } from './session-files.ts'

/** Folders that are kept. */
const MAX_KEPT = 32

export class LocalFolders {
  readonly #root: string
  readonly #busy = new Set<string>()

  constructor(root: string) {
    this.#root = root
    fs.mkdirSync(root, { recursive: true, mode: 0o700 })
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
      if (!fs.existsSync(index)) fs.rmSync(place, { recursive: true, force: true })
    }
    fs.mkdirSync(folder, { recursive: true, mode: 0o755 })
    const release = (): void => {
      if (!kept) {
        fs.rmSync(place, { recursive: true, force: true })
        return
      }
      fs.utimesSync(place, new Date(), new Date())
      this.#busy.delete(key)
      this.#trim()
    }
    try {
      await receiveFiles({
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
      return { path: folder, release }
    } catch (error) {
      // Without its index, what came is of no use to the next build.
      fs.rmSync(place, { recursive: true, force: true })
      if (kept) this.#busy.delete(key)
      throw error
    }
  }

  #trim(): void {
    const names = fs.readdirSync(this.#root).filter(name => !this.#busy.has(name))
    if (names.length <= MAX_KEPT) return
    const byAge = names
      .map(name => ({ name, time: fs.statSync(path.join(this.#root, name)).mtimeMs }))
      .sort((a, b) => a.time - b.time)
    for (const { name } of byAge.slice(0, names.length - MAX_KEPT)) {
      fs.rmSync(path.join(this.#root, name), { recursive: true, force: true })
    }
  }
}

/** Everything where the root itself is asked for. */
function followed(paths: string[]): string[] {
  const relative = paths.map(file => file.replace(/^\/+/, '').replace(/\/+$/, ''))
  return relative.includes('') ? [] : relative
}
