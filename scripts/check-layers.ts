/**
 * Holds the one direction of imports that ARCHITECTURE.md draws: a folder of src/ imports only from folders below it.
 * Prints each import that climbs and exits 1.
 */
import * as fs from 'node:fs'
import * as path from 'node:path'

/** Each folder with those it may import from, besides itself and the floor (the files directly in src/). */
const below: Record<string, string[]> = {
  linux: [],
  runtime: ['linux'],
  image: ['linux'],
  volume: ['image', 'runtime', 'linux'],
  network: ['runtime', 'linux'],
  registry: ['image', 'linux'],
  engine: ['registry', 'network', 'volume', 'image', 'runtime', 'linux'],
  build: ['engine', 'registry', 'network', 'volume', 'image', 'runtime', 'linux'],
  api: ['build', 'engine', 'registry', 'network', 'volume', 'image', 'runtime', 'linux'],
  cli: ['api', 'build', 'engine', 'registry', 'network', 'volume', 'image', 'runtime', 'linux'],
}

/** Modules of src/ that are not part of any room: the floor, and the package's entry. */
const floor = new Set(['errors.ts', 'durable.ts', 'logger.ts', 'mutex.ts', 'reserve.ts', 'http.ts'])

const root = path.resolve(import.meta.dirname, '../src')
const climbs: string[] = []

for (const entry of fs.readdirSync(root, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || !entry.name.endsWith('.ts') || entry.name.endsWith('.test.ts')) continue
  const file = path.join(entry.parentPath, entry.name)
  const room = roomOf(file)
  if (room === undefined) continue
  for (const [, specifier] of fs
    .readFileSync(file, 'utf8')
    .matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)) {
    const target = path.resolve(path.dirname(file), specifier!)
    const targetRoom = roomOf(target)
    const allowed =
      targetRoom === undefined
        ? floor.has(path.basename(target))
        : targetRoom === room || below[room]?.includes(targetRoom)
    if (!allowed && target.startsWith(root)) {
      climbs.push(`${path.relative(root, file)} imports ${path.relative(root, target)}`)
    }
  }
}

if (climbs.length > 0) {
  console.error(`imports against the direction of ARCHITECTURE.md:\n  ${climbs.join('\n  ')}`)
  process.exit(1)
}

/** The folder of src/ that `file` stands in, or `undefined` for a file of the floor. */
function roomOf(file: string): string | undefined {
  const parts = path.relative(root, file).split(path.sep)
  return parts.length > 1 ? parts[0] : undefined
}
