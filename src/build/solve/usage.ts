/** How much a folder holds. */
import * as fs from 'node:fs'
import * as path from 'node:path'

/** Bytes in all files below `folder`; a file with several names counts once. */
export function contentLength(folder: string): number {
  const seen = new Set<string>()
  let total = 0
  const visit = (place: string): void => {
    for (const entry of fs.readdirSync(place, { withFileTypes: true })) {
      const file = path.join(place, entry.name)
      if (entry.isDirectory()) visit(file)
      else if (entry.isFile()) {
        const stat = fs.lstatSync(file)
        const key = `${stat.dev}:${stat.ino}`
        if (stat.nlink > 1 && seen.has(key)) continue
        seen.add(key)
        total += stat.size
      }
    }
  }
  visit(folder)
  return total
}
