/** The file that says which process is the daemon. */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { writeFileDurable } from '../../durable.ts'
import { conflict } from '../../errors.ts'

/** Writes this process' id. Raises `conflict` where the file names another living process. Returns how to remove it. */
export function claimPidfile(file: string): () => void {
  let owner = 0
  try {
    owner = Number(fs.readFileSync(file, 'utf8').trim())
  } catch {
    // None there, or none that can be read: it is written anew.
  }
  if (owner > 0 && owner !== process.pid && fs.existsSync(`/proc/${owner}`)) {
    throw conflict(
      `failed to start daemon, ensure docker is not running or delete ${file}: process with PID ${owner} is still running`,
    )
  }
  fs.mkdirSync(path.dirname(file), { recursive: true })
  writeFileDurable(file, String(process.pid), { mode: 0o644, sync: false })
  return () => fs.rmSync(file, { force: true })
}
