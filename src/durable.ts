/**
 * Files that survive a crash. Every write is: write beside, fsync, rename, fsync the folder; so a reader sees the old
 * content or the new, never a part. What a crash leaves beside is named `.tmp-…` and swept at start by {@link sweepTemporary}.
 *
 * The calls are synchronous on purpose: a small file is written in about 0.3 ms, less than a trip through the thread
 * pool costs on a busy engine, and a state that is written synchronously cannot be seen half changed by other code.
 */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { hasCode } from './errors.ts'

const PREFIX = '.tmp-'
let counter = 0

/** A name in `folder` for something that is not yet complete. Swept by {@link sweepTemporary} if it stays. */
export function temporaryPath(folder: string): string {
  return path.join(folder, `${PREFIX}${process.pid}-${Date.now().toString(36)}-${counter++}`)
}

export interface WriteOptions {
  /** Permission bits; 0o600 unless told. */
  mode?: number
  /** `false` where losing the file in a power cut is harmless, because a reboot makes it meaningless (exec-root). */
  sync?: boolean
}

/** Replace the content of `file` atomically. */
export function writeFileDurable(
  file: string,
  content: string | Uint8Array,
  options: WriteOptions = {},
): void {
  const folder = path.dirname(file)
  const sync = options.sync ?? true
  const temporary = temporaryPath(folder)
  try {
    const fd = fs.openSync(temporary, 'wx', options.mode ?? 0o600)
    try {
      fs.writeFileSync(fd, content)
      if (sync) fs.fdatasyncSync(fd)
    } finally {
      fs.closeSync(fd)
    }
    fs.renameSync(temporary, file)
  } catch (error) {
    fs.rmSync(temporary, { force: true })
    throw error
  }
  if (sync) syncFolder(folder)
}

/** {@link writeFileDurable} of a JSON document. */
export function writeJsonDurable(file: string, value: unknown, options?: WriteOptions): void {
  writeFileDurable(file, JSON.stringify(value), options)
}

/** The JSON document in `file`, or `undefined` where there is no such file. Throws on anything else. */
export function readJson<T>(file: string): T | undefined {
  let text: string
  try {
    text = fs.readFileSync(file, 'utf8')
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
  return JSON.parse(text) as T
}

/** Another one after each boot: what was written under this one and not synced is still there. */
export function bootId(): string {
  try {
    return fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return 'unknown'
  }
}

/** Make renames, creations and removals in `folder` survive a power cut. */
export function syncFolder(folder: string): void {
  const fd = fs.openSync(folder, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY)
  try {
    fs.fsyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
}

/** Remove what interrupted writes left in `folder`. Called once at start, before anyone writes there. */
export function sweepTemporary(folder: string): void {
  let names: string[]
  try {
    names = fs.readdirSync(folder)
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return
    throw error
  }
  for (const name of names) {
    if (name.startsWith(PREFIX)) fs.rmSync(path.join(folder, name), { recursive: true, force: true })
  }
}
