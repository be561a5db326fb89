/**
 * A container's record on disk, in JSON lines: the record, and then each state that it came to since. Appending a state takes a
 * tenth of the time that replacing the file does, and starting and ending a container do it twice.
 *
 * A line that a power cut left half written is as if it had never been there: the state before it holds, as it would have
 * a moment earlier.
 */
import * as fs from 'node:fs'
import * as path from 'node:path'
import { writeFileDurable } from '../durable.ts'
import { hasCode } from '../errors.ts'
import type { ContainerRecord, ContainerState } from './types.ts'

const FILE = 'container.json'
/** Bytes from which the file is written anew. */
const LONG = 64 * 1024

/** What `folder` holds; `undefined` where it holds no record. Throws a SyntaxError where that cannot be read. */
export function readRecord(folder: string): ContainerRecord | undefined {
  let text: string
  try {
    text = fs.readFileSync(path.join(folder, FILE), 'utf8')
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
  const [first, ...states] = text.split('\n')
  const record = JSON.parse(first!) as ContainerRecord
  for (const line of states) {
    try {
      record.state = JSON.parse(line) as ContainerState
    } catch {
      // An empty line, or a torn one.
    }
  }
  return record
}

export function writeRecord(folder: string, record: ContainerRecord, sync: boolean): void {
  writeFileDurable(path.join(folder, FILE), JSON.stringify(record), { sync })
}

/** Add a state that need not survive a power cut. `false`: the file is too long for that, and wants to be written. */
export function appendState(folder: string, state: ContainerState): boolean {
  const fd = fs.openSync(path.join(folder, FILE), fs.constants.O_WRONLY | fs.constants.O_APPEND)
  try {
    if (fs.fstatSync(fd).size > LONG) return false
    // A line of its own, whatever stands before it.
    fs.writeFileSync(fd, `\n${JSON.stringify(state)}\n`)
    return true
  } finally {
    fs.closeSync(fd)
  }
}
