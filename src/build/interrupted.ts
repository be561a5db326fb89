/**
 * Whether an earlier life of the daemon ended while it built. A file says so for as long as something is built: a daemon that
 * finds it at its start opens the builder, which sweeps; one that does not need not load a builder at all.
 */
import * as fs from 'node:fs'
import * as path from 'node:path'

const fileIn = (dataRoot: string): string => path.join(dataRoot, 'build', 'running')

export function wasBuilding(dataRoot: string): boolean {
  return fs.existsSync(fileIn(dataRoot))
}

/** A build begins, or the last one has ended. */
export function setBuilding(dataRoot: string, building: boolean): void {
  if (building) fs.writeFileSync(fileIn(dataRoot), '')
  else fs.rmSync(fileIn(dataRoot), { force: true })
}
