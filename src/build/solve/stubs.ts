/**
 * Places that have to be in a root so that something can be mounted there (`/proc`, `/etc/resolv.conf`, a cache's folder) and
 * that were not there before: they are taken away again, so that they do not end in a layer.
 */
import * as fs from 'node:fs'
import { type Place, setTimes } from './place.ts'
import { split, type Tree, using } from './tree.ts'

/** What every container has mounted. */
const USUAL = ['/dev', '/proc', '/sys', '/etc/hosts', '/etc/resolv.conf', '/etc/hostname']

interface ParentTimes {
  atime: bigint
  mtime: bigint
}

export class StubKeeper {
  readonly #tree: Tree
  /** Missing before, deepest last. */
  readonly #missing: string[] = []
  readonly #times = new Map<string, ParentTimes>()

  constructor(tree: Tree, targets: readonly string[]) {
    this.#tree = tree
    for (const target of [...USUAL, ...targets]) {
      const [parent] = split(target)
      this.#remember(parent)
      for (const place of upTo(target)) {
        if (tree.stat(place, true) || this.#missing.includes(place)) continue
        this.#missing.push(place)
      }
    }
  }

  #remember(parent: string): void {
    const stat = this.#tree.stat(parent, true)
    if (stat) this.#times.set(parent, { atime: stat.atimeNs, mtime: stat.mtimeNs })
    else if (parent !== '/') this.#remember(split(parent)[0])
  }

  /** Empty files and folders only: what the step itself put there stays. */
  removeLeftovers(): void {
    const touched = new Set<string>()
    for (const place of [...this.#missing].reverse()) {
      const [parent, name] = split(place)
      const folder = this.#tree.tryFolder(parent)
      if (!folder) continue
      using(folder, open => {
        if (removeIfEmpty(open.at(name))) touched.add(parent)
      })
    }
    for (const parent of touched) {
      const times = this.#times.get(parent)
      const folder = times && this.#tree.tryFolder(parent)
      if (folder) using(folder, open => setTimes(open.at('.'), times.atime, times.mtime))
    }
  }
}

function removeIfEmpty(place: Place): boolean {
  const stat = fs.lstatSync(place, { throwIfNoEntry: false })
  if (!stat) return false
  try {
    if (stat.isDirectory()) fs.rmdirSync(place)
    else if (stat.isFile() && stat.size === 0) fs.unlinkSync(place)
    else return false
    return true
  } catch {
    return false // not empty: the step filled it
  }
}

/** `/a/b/c` is `/a`, `/a/b`, `/a/b/c`. */
function upTo(file: string): string[] {
  const parts = file.split('/').filter(Boolean)
  return parts.map((_, index) => `/${parts.slice(0, index + 1).join('/')}`)
}
