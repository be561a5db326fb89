/** What a folder of the client's holds, as the client told it: enough to say what a copy from it amounts to, with no look at its files. */
import { createHash } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { hasWildcard, IgnoreMatcher } from '../dockerfile/ignore.ts'
import type { Selection } from './checksum.ts'

export interface ListedFile {
  /** As in `st_mode`: kind and permissions. */
  mode: number
  uid: number
  gid: number
  /** A file's SHA-256 in hex, a symbolic link's target. */
  content?: string
}

/** Names that are summed before others have their turn. */
const AT_ONCE = 4096

export class Listing {
  /** Two listings of the same version are the same in everything. */
  readonly version: string
  /** Whether all that counts of the files is listed: none has attributes or a second name, none is a device. */
  readonly isWhole: boolean
  /** By path below the folder, '' for itself. */
  readonly #files: ReadonlyMap<string, ListedFile>
  /** Names in each folder, by its path. */
  #names: Map<string, string[]> | undefined

  constructor(version: string, isWhole: boolean, files: ReadonlyMap<string, ListedFile>) {
    this.version = version
    this.isWhole = isWhole
    this.#files = files
  }

  /** Whether {@link digest} can answer for this selection: no link and no pattern is in its path. */
  tells({ source, parents }: Selection): boolean {
    if (!this.isWhole || parents || hasWildcard(source)) return false
    const parts = partsOf(source)
    if (parts.includes('..') || parts.includes('.')) return false
    return parts.every((_, end) => {
      const found = this.#files.get(parts.slice(0, end + 1).join('/'))
      return !found || kindOf(found) === 'folder' || (kindOf(found) === 'file' && end === parts.length - 1)
    })
  }

  /** The same digest as the files themselves have (see {@link file://./checksum.ts}); `undefined` where nothing is selected. */
  async digest({ source, exclude }: Selection): Promise<string | undefined> {
    const parts = partsOf(source)
    const file = parts.join('/')
    if (!this.#files.has(file)) return undefined
    const sum = createHash('sha256')
    let count = 0
    for (const header of this.#headers(file, parts.at(-1) ?? '', '', new IgnoreMatcher(exclude))) {
      sum.update(JSON.stringify(header))
      if (++count % AT_ONCE === 0) await setImmediate()
    }
    return sum.digest('hex')
  }

  /** Digests of the contents of what a selection may take, by path. */
  sums({ source }: Selection): Map<string, string> {
    const start = source
      .replace('/./', '/')
      .replace(/^\/+/, '')
      .replace(/[*?[\\].*/, '')
    const sums = new Map<string, string>()
    for (const [file, listed] of this.#files) {
      if (kindOf(listed) !== 'file' || listed.content === undefined) continue
      if (file.startsWith(start)) sums.set(file, listed.content)
    }
    return sums
  }

  /** As `addEntry` of {@link file://./checksum.ts} makes them. */
  *#headers(file: string, label: string, relative: string, matcher: IgnoreMatcher): Generator<string[]> {
    const listed = this.#files.get(file)!
    const { mode, uid, gid, content } = listed
    if (relative === '' || !matcher.ignores(relative)) {
      const header = [label, mode.toString(8), String(uid), String(gid)]
      if (content !== undefined) header.push(content)
      yield header
    }
    if (kindOf(listed) !== 'folder') return
    for (const name of this.#namesIn(file)) {
      const below = join(relative, name)
      if (matcher.ignores(below) && !matcher.hasNegation) continue
      yield* this.#headers(join(file, name), `${label}/${name}`, below, matcher)
    }
  }

  #namesIn(folder: string): string[] {
    if (!this.#names) {
      this.#names = new Map()
      for (const file of this.#files.keys()) {
        if (file === '') continue
        const slash = file.lastIndexOf('/')
        const parent = slash < 0 ? '' : file.slice(0, slash)
        const names = this.#names.get(parent)
        if (names) names.push(file.slice(slash + 1))
        else this.#names.set(parent, [file.slice(slash + 1)])
      }
      for (const names of this.#names.values()) names.sort()
    }
    return this.#names.get(folder) ?? []
  }
}

const partsOf = (source: string): string[] => source.split('/').filter(part => part !== '')

const join = (folder: string, name: string): string => (folder === '' ? name : `${folder}/${name}`)

function kindOf({ mode }: ListedFile): 'folder' | 'file' | 'other' {
  const type = mode & 0o170000
  if (type === 0o040000) return 'folder'
  return type === 0o100000 ? 'file' : 'other'
}
