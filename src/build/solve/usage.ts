/** How much a folder holds. */
import * as fs from 'node:fs'
import { type ByteString, fromText } from '../../image/tar/entry.ts'
import { fsPath, joinPath } from '../../image/tar/path.ts'

/** Bytes in all files below `folder`; a file with several names counts once. */
export function contentLength(folder: string): number {
  const seen = new Set<string>()
  let total = 0
  const visit = (place: ByteString): void => {
    for (const entry of fs.readdirSync(fsPath(place), { withFileTypes: true, encoding: 'latin1' })) {
      const file = joinPath(place, entry.name)
      if (entry.isDirectory()) visit(file)
      else if (entry.isFile()) {
        const stat = fs.lstatSync(fsPath(file))
        const key = `${stat.dev}:${stat.ino}`
        if (stat.nlink > 1 && seen.has(key)) continue
        seen.add(key)
        total += stat.size
      }
    }
  }
  visit(fromText(folder))
  return total
}
