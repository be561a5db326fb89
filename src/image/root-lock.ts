/** One process a root: a lock that ends with the process that holds it, however that ends. */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { conflict } from '../errors.ts'
import * as linux from '../linux/index.ts'

/** Raises conflict while another process has it. Answers how to let it go. */
export function acquireRoot(root: string, kind: 'engine' | 'registry'): () => void {
  const fd = fs.openSync(path.join(root, 'lock'), 'a', 0o600)
  if (!linux.flock(fd, 'exclusive')) {
    fs.closeSync(fd)
    throw conflict(`the ${kind === 'engine' ? 'data ' : ''}root ${root} is in use by another ${kind}`)
  }
  let held = true
  return () => {
    if (held) fs.closeSync(fd)
    held = false
  }
}
