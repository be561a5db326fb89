/** One engine a data root: a lock that ends with the process that holds it, however that ends. */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { conflict } from '../errors.ts'
import * as linux from '../linux/index.ts'

/** Raises conflict while another engine has it. Answers how to let it go. */
export function acquireRoot(dataRoot: string): () => void {
  const fd = fs.openSync(path.join(dataRoot, 'lock'), 'a', 0o600)
  if (!linux.flock(fd, 'exclusive')) {
    fs.closeSync(fd)
    throw conflict(`the data root ${dataRoot} is in use by another engine`)
  }
  let held = true
  return () => {
    if (held) fs.closeSync(fd)
    held = false
  }
}
