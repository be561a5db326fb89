/** Which files of a tree a `copy` means: a name, or a pattern as Go's `filepath.Match` reads it. */
import { invalid } from '../../errors.ts'
import { hasWildcard, wildcard } from '../dockerfile/ignore.ts'
import { type Tree, using } from './tree.ts'

/** Absolute paths in the tree, in order. A name that is not there, or a pattern that fits nothing, gives none. */
export function findSources(tree: Tree, source: string): string[] {
  const clean = source.replace(/\/+$/, '') || '/'
  if (!hasWildcard(clean)) return tree.stat(clean, true) ? [clean] : []
  let paths = ['']
  const parts = clean.split('/').filter(part => part !== '')
  for (const part of parts) {
    if (!hasWildcard(part)) {
      const plain = part.replace(/\\(.)/g, '$1')
      paths = paths.map(parent => `${parent}/${plain}`).filter(file => tree.stat(file))
      continue
    }
    const fits = wildcard(part)
    paths = paths.flatMap(parent => {
      const folder = tree.tryFolder(parent || '/')
      if (!folder) return []
      return using(folder, open => open.names().filter(name => fits.test(name))).map(
        name => `${parent}/${name}`,
      )
    })
  }
  return paths
}

/** The part of a `--parents` source before `/./`, and the part that is kept. */
export function splitPivot(source: string): { base: string; kept: string } {
  const pivot = source.indexOf('/./')
  if (pivot < 0) throw invalid(`no pivot in ${source}`)
  return { base: source.slice(0, pivot) || '/', kept: source.slice(pivot + 2) }
}
